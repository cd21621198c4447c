"""What is looked at in a finished video: that it plays and has sound, and the frames where somebody speaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["NotPlayable", "Video", "inspect_video", "speech_frames", "write_png"]

_SILENCE = 0.001  # of full scale: anything that speaks is far above it


class NotPlayable(Exception):
    """The file is not an MP4 that plays with sound; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """What a decoded video turned out to be.

    :param seconds: its length.
    :param width: pixels.
    :param height: pixels.
    :param codecs: of picture and sound.
    """

    seconds: float
    width: int
    height: int
    codecs: tuple[str, str]


def inspect_video(path: Path) -> Video:
    """Decode the whole file.

    :raises NotPlayable: it is no MP4, has no picture, or no sound that could be heard.
    """
    import av

    if path.read_bytes()[4:8] != b"ftyp":
        raise NotPlayable(f"{path} is not an MP4")
    try:
        with av.open(str(path)) as media:
            if not media.streams.video or not media.streams.audio:
                raise NotPlayable(f"{path} has no picture, or no sound")
            picture, sound = media.streams.video[0], media.streams.audio[0]
            codecs = (picture.codec_context.name, sound.codec_context.name)
            frames = sum(1 for _ in media.decode(picture))
            seconds = float(frames / (picture.average_rate or Fraction(25)))
            size = {"width": picture.width, "height": picture.height}
        loudest = max((loudness for _, loudness in _loudness(path)), default=0.0)
    except av.FFmpegError as error:
        raise NotPlayable(f"{path} cannot be decoded: {error}") from error
    if not frames or loudest < _SILENCE:
        raise NotPlayable(f"{path} has {frames} frames, and its loudest sound is {loudest:.4f} of full scale")
    return Video(seconds=round(seconds, 2), codecs=codecs, **size)


def speech_frames(path: Path, loudness: Sequence[float] = (1.0,)) -> list[NDArray[numpy.uint8]]:
    """Return frames from the middle of the video, one for each loudness asked for.

    :param loudness: 0 = the most silent moment, 1 = the loudest, which is where a mouth is open.
    """
    moments = sorted(_loudness(path))
    middle = moments[len(moments) // 5 : -len(moments) // 5] or moments
    ranked = [time for time, _ in sorted(middle, key=lambda moment: moment[1])]
    return [_frame_at(path, ranked[round(rank * (len(ranked) - 1))]) for rank in loudness]


def write_png(frames: Sequence[NDArray[numpy.uint8]], path: Path) -> None:
    """Write pictures of the same size side by side."""
    import av
    import numpy

    gap = numpy.full((frames[0].shape[0], 12, 3), 255, numpy.uint8)
    row = numpy.hstack([part for frame in frames for part in (gap, frame)][1:])
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.height, encoder.width, _ = row.shape
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(row, format="rgb24")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None))))


def _loudness(path: Path) -> Iterator[tuple[float, float]]:
    """Give the time in seconds, and the loudness between 0 and 1, of every piece of sound."""
    import av
    import numpy

    with av.open(str(path)) as media:
        resampler = av.AudioResampler(format="flt", layout="mono")
        for frame in media.decode(audio=0):
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray()
                yield float(piece.time or 0), float(numpy.sqrt(numpy.mean(samples**2)))


def _frame_at(path: Path, moment: float) -> NDArray[numpy.uint8]:
    import av

    with av.open(str(path)) as media:
        frames = media.decode(video=0)
        frame: Any = next(frames)
        for later in frames:
            if float(later.time or 0) > moment:
                break
            frame = later
        picture: NDArray[numpy.uint8] = frame.to_ndarray(format="rgb24")
    return picture
