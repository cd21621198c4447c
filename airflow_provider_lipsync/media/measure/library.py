"""What PyAV tells of a medium's length; loads it when it is first asked for, and never lets it follow a playlist.

Files of strangers are read here: what one of them can cost is bounded in packets and in seconds.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.media.kinds import Kind
from airflow_provider_lipsync.media.measure.words import UnknownLengthError

if TYPE_CHECKING:
    from airflow_provider_lipsync.media.ranged import RangedFile

__all__ = ["Limits", "head_seconds", "is_installed", "whole_seconds"]

# Of the demuxers only those of media: a playlist could name other files of this machine.
_CONTAINERS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,opus,w64,wav,webm,3gp,mj2"
)
_MOST_PIXELS = 64_000_000  # of a picture that is decoded to learn what a stream is
_MOST_PACKETS = 2_000_000
_LONGEST = 24 * 3600  # seconds of sound: silence can be packed a thousandfold
_PROBED = 400_000  # bytes that the library may read to learn what the streams of a large file are
_FINEST = 48_000  # samples a second that sound for video is resampled to; the last one begun counts
_LOST = 0.5  # of the packets: with more of them broken, a length means nothing
_ODD = 0.5  # seconds that frames may go on behind the end that a header gives, and it is still believed


class Limits:
    """How long a measurement may take.

    :param seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def check(self, packets: int = 0) -> None:
        """Stop what takes too long.

        :raises UnknownLengthError: it does.
        """
        if time.monotonic() > self._deadline:
            raise UnknownLengthError(f"measuring it takes longer than {self._seconds:g} s")
        if packets > _MOST_PACKETS:
            raise UnknownLengthError(f"it has more than {_MOST_PACKETS} packets")


def is_installed() -> bool:
    """Whether PyAV can be used."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def whole_seconds(content: bytes, kind: Kind, limits: Limits) -> float:
    """Return the length of a medium whose bytes are all here.

    :raises UnknownLengthError: it has no such stream, or cannot be read.
    """
    with _opened(io.BytesIO(content)) as container:
        if kind is Kind.VIDEO:
            return _video_seconds(container, limits)
        return _audio_seconds(container, limits)


def head_seconds(file: RangedFile, limits: Limits) -> float:
    """Return the length of a large video as its header gives it, or the stamps at its end.

    :raises UnknownLengthError: it has no video, or does not tell.
    """
    feed = _Feed(file)
    with _opened(feed, probesize=str(_PROBED)) as container:
        stream = _video_of(container)
        seconds = _told_seconds(stream, container)
    feed.verify()
    limits.check()
    if not seconds:
        raise UnknownLengthError("its header tells no length, and it is too large to be read whole")
    return seconds


@contextmanager
def _opened(file: Any, **options: str) -> Iterator[Any]:
    import av

    wanted = {"format_whitelist": _CONTAINERS, "max_pixels": str(_MOST_PIXELS), **options}
    try:
        with av.open(file, metadata_errors="ignore", options=wanted) as container:
            yield container
    except av.FFmpegError as error:
        raise UnknownLengthError(f"it cannot be read as media ({error.strerror})") from None
    except (ValueError, IndexError, ArithmeticError) as error:
        raise UnknownLengthError(f"it cannot be read as media ({type(error).__name__})") from None


class _Feed:
    """A file as the library takes it: no error goes through it, since it would read on, and meet the next one."""

    def __init__(self, file: RangedFile) -> None:
        self._file = file
        self._trouble: OSError | None = None
        self.tell: Callable[[], int] = file.tell

    def read(self, count: int) -> bytes:
        if self._trouble is None:
            try:
                return self._file.read(count) or b""
            except OSError as error:
                self._trouble = error
        return b""

    def seek(self, offset: int, whence: int) -> int:
        return self._file.seek(offset, whence)

    def verify(self) -> None:
        """Raise what went wrong, if anything did: then the library knows less than the file holds."""
        if self._trouble is not None:
            raise self._trouble


def _video_of(container: Any) -> Any:
    """Return the first stream of moving pictures: the cover of an album is none."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise UnknownLengthError("it holds no video")


def _told_seconds(stream: Any, container: Any) -> float:
    """Return what the header says, in seconds; 0 where it says nothing."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(Fraction(container.duration or 0, 1_000_000))


def _video_seconds(container: Any, limits: Limits) -> float:
    """Return what the header says; what the frames say where it says nothing, or they go on far behind its end."""
    stream = _video_of(container)
    told = _told_seconds(stream, container)
    rate = stream.average_rate
    counted, first, end = 0, None, 0.0
    for number, packet in enumerate(_packets(container, stream)):
        limits.check(number)
        if packet.size == 0 or packet.pts is None:
            continue
        counted += 1
        at = float(packet.pts * packet.time_base)
        first = at if first is None else min(first, at)
        end = max(end, at + float((packet.duration or 0) * packet.time_base))
    lasted = end - (first or 0.0)
    if told and lasted <= told + _ODD:
        return told
    if not counted:
        raise UnknownLengthError("it holds no frames")
    return max(told, lasted, counted / float(rate) if rate else 0.0)


def _audio_seconds(container: Any, limits: Limits) -> float:
    """Return how long the sound is that comes out of a decoder; a packet that is broken counts as one that is not."""
    import av

    if not container.streams.audio:
        raise UnknownLengthError("it holds no sound")
    stream = container.streams.audio[0]
    seconds, usual, broken, number = Fraction(0), Fraction(0), 0, 0
    for number, packet in enumerate(_packets(container, stream)):
        limits.check(number)
        try:
            lengths = [Fraction(frame.samples, frame.sample_rate) for frame in packet.decode()]
        except av.FFmpegError:
            broken += 1
            lengths = [usual]
        seconds += sum(lengths)
        usual = max(lengths, default=usual)
        if seconds > _LONGEST:
            raise UnknownLengthError(f"its sound is longer than {_LONGEST // 3600} hours")
    if broken > _LOST * (number + 1) or not seconds:
        raise UnknownLengthError("its sound cannot be decoded")
    return math.ceil(seconds * _FINEST) / _FINEST


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    yield from container.demux(stream)
