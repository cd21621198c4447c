"""Backgrounds: a picture or the frames of a video, scaled to the lines of the result, as RGB arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from airflow_provider_lipsync.sandbox.render.demux import open_film, open_still, refusing
from airflow_provider_lipsync.sandbox.render.plan import FRAMES_PER_SECOND, UnreadableMediaError

__all__ = ["Frame", "measure_video", "read_picture", "read_still", "read_video", "scale"]

Frame = npt.NDArray[np.uint8]

_BAD_VIDEO = "Invalid video format"
_MAX_PIXELS = 64_000_000  # a camera's picture; more is a mistake, or meant to fill the memory
_MAX_ASPECT = 4.0  # wider or narrower than this, and the encoder's limits come near


def read_picture(path: Path, lines: int) -> Frame:
    """Return a picture scaled to so many lines, its transparent parts white.

    :raises UnreadableMediaError: it cannot be read as a picture.
    """
    with refusing("Invalid image format"):
        frame = read_still(path)
        pixels = scale(frame, _fit(frame, lines), lines, "rgba").astype(np.float32)
    alpha = pixels[..., 3:] / 255
    return np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def read_still(path: Path) -> av.VideoFrame:
    """Return a picture as it is; whatever PyAV raises comes through."""
    with open_still(path) as container:
        return next(container.decode(video=0))


def measure_video(path: Path) -> float:
    """Return the length of a video in seconds, as its header gives it, or else as its frames do.

    :raises UnreadableMediaError: it cannot be read as a video.
    """
    with refusing(_BAD_VIDEO), open_film(path) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if container.duration:
            return container.duration / av.time_base
        return sum(1 for _ in container.decode(stream)) / float(stream.average_rate or FRAMES_PER_SECOND)


def read_video(path: Path, lines: int) -> Iterator[Frame]:
    """Yield the frames of a video at 25 a second, from the start again after the end, for ever.

    :raises UnreadableMediaError: it cannot be read as a video.
    """
    while True:
        count = 0
        for frame in _read_once(path, lines):
            count += 1
            yield frame
        if count == 0:
            raise UnreadableMediaError(_BAD_VIDEO)


def _read_once(path: Path, lines: int) -> Iterator[Frame]:
    with refusing(_BAD_VIDEO), open_film(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        length = Fraction(1) / (stream.average_rate or FRAMES_PER_SECOND)
        yield from _resample(container.decode(stream), length, lines)


def _resample(frames: Iterator[av.VideoFrame], length: Fraction, lines: int) -> Iterator[Frame]:
    """Show each frame for as many ticks of the 25 as pass before the next one; ``length`` is that of the last."""
    tick = itertools.count()
    due = next(tick)
    start: Fraction | None = None
    columns = 0
    shown: Frame | None = None
    end = Fraction(0)
    for frame in frames:
        time = Fraction(frame.pts or 0) * (frame.time_base or 0)
        start = time if start is None else start
        columns = columns or _fit(frame, lines)  # of the first frame: a film does not change its size
        while shown is not None and Fraction(due, FRAMES_PER_SECOND) < time - start:
            yield shown
            due = next(tick)
        shown, end = scale(frame, columns, lines, "rgb24"), time - start + length
    while shown is not None and Fraction(due, FRAMES_PER_SECOND) < end:
        yield shown
        due = next(tick)


def scale(frame: av.VideoFrame, columns: int, lines: int, pixel_format: str) -> Frame:
    """Return a frame in another size and format, as an array."""
    if frame.width * frame.height > _MAX_PIXELS:
        raise ValueError("too many pixels")
    scaled = frame.reformat(width=columns, height=lines, format=pixel_format, interpolation="AREA")
    return scaled.to_ndarray().astype(np.uint8, copy=False)


def _fit(frame: av.VideoFrame, lines: int) -> int:
    """Return the width that keeps the aspect of a frame."""
    aspect = frame.width / frame.height
    if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        raise ValueError("too wide or too narrow")
    return max(2, 2 * round(lines * aspect / 2))  # 4:2:0 colour needs even widths
