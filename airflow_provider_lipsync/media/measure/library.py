"""What PyAV finds when it decodes a medium; runs in a process of its own, since broken media may crash a decoder.

Files of strangers are read here: what one of them can cost is bounded in packets and in seconds of sound.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
from av.stream import Disposition

from airflow_provider_lipsync.media.kinds import Kind
from airflow_provider_lipsync.media.measure.words import UnknownLengthError

__all__ = ["decoded_seconds"]

# Of the demuxers only those of media: a playlist could name other files of this machine.
_CONTAINERS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,opus,w64,wav,webm,3gp,mj2"
)
_MOST_PACKETS = 2_000_000
_LONGEST = 24 * 3600  # seconds of sound: silence can be packed a thousandfold
_LOST = 0.5  # of the packets: with more of them broken, a length means nothing
_ODD = 0.5  # seconds that frames may go on behind the end that a header gives, and it is still believed


def decoded_seconds(content: bytes, kind: Kind) -> float:
    """Return the length of a medium whose bytes are all here: of its first sound as decoded, or of its first video.

    :raises UnknownLengthError: it has no such stream, or cannot be read.
    """
    with _opened(content) as container:
        return _video_seconds(container) if kind is Kind.VIDEO else _audio_seconds(container)


@contextmanager
def _opened(content: bytes) -> Iterator[Any]:
    only = {"format_whitelist": _CONTAINERS}  # not as `options`: with them PyAV below 18 crashes over FLV and MPEG-TS
    try:
        with av.open(io.BytesIO(content), metadata_errors="ignore", container_options=only) as container:
            yield container
    except av.FFmpegError as error:
        raise UnknownLengthError(f"it cannot be read as media ({error.strerror})") from None
    except (ValueError, IndexError, ArithmeticError, MemoryError) as error:
        raise UnknownLengthError(f"it cannot be read as media ({type(error).__name__})") from None


def _video_seconds(container: Any) -> float:
    """Return what the header says; what the frames say where it says nothing, or they go on far behind its end."""
    moving = (one for one in container.streams.video if not one.disposition & Disposition.attached_pic)
    stream = next(moving, None)  # the cover of an album is no video
    if stream is None:
        raise UnknownLengthError("it holds no video")
    told = _told_seconds(stream, container)
    counted, first, end = 0, math.inf, 0.0
    for packet in _packets(container, stream):
        if packet.size and packet.pts is not None:
            at = float(packet.pts * packet.time_base)
            counted, first = counted + 1, min(first, at)
            end = max(end, at + float((packet.duration or 0) * packet.time_base))
    if told and end - first <= told + _ODD:
        return told
    if not counted:
        raise UnknownLengthError("it holds no frames")
    return max(told, end - first, counted / float(stream.average_rate or math.inf))


def _told_seconds(stream: Any, container: Any) -> float:
    """Return what the header says, in seconds; 0 where it says nothing."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(Fraction(container.duration or 0, av.time_base))


def _audio_seconds(container: Any) -> float:
    """Return how long the sound is that comes out of a decoder; a packet that is broken counts as one that is not."""
    if not container.streams.audio:
        raise UnknownLengthError("it holds no sound")
    seconds, usual, packets, broken = Fraction(0), Fraction(0), 0, 0
    for packet in _packets(container, container.streams.audio[0]):
        packets += 1
        try:
            lengths = [Fraction(frame.samples, frame.sample_rate) for frame in packet.decode()]
        except av.FFmpegError:
            broken += 1
            lengths = [usual]
        seconds += sum(lengths)
        usual = max(lengths, default=usual)
        if seconds > _LONGEST:
            raise UnknownLengthError(f"its sound is longer than {_LONGEST // 3600} hours")
    if broken > _LOST * packets or not seconds:
        raise UnknownLengthError("its sound cannot be decoded")
    return float(seconds)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    for number, packet in enumerate(container.demux(stream)):
        if number > _MOST_PACKETS:
            raise UnknownLengthError(f"it has more than {_MOST_PACKETS} packets")
        yield packet
