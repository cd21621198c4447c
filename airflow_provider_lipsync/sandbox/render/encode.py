"""Frames and sound out: H.264 and AAC in an MP4 with its index in front."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from airflow_provider_lipsync.sandbox.render.picture import Frame
from airflow_provider_lipsync.sandbox.render.plan import FRAMES_PER_SECOND, SAMPLE_RATE
from airflow_provider_lipsync.sandbox.render.sound import Samples

__all__ = ["count_frames", "write_film"]

_X264 = {
    "preset": "veryfast",
    "crf": "22",
    # MB-tree, in x264 with B-frames, depends on what its memory held before: the same frames gave other bytes.
    "x264-params": "mbtree=0:colormatrix=smpte170m:colorprim=smpte170m:transfer=smpte170m",
}


def count_frames(samples: int) -> int:
    """Return how many frames are as long as a sound of so many samples."""
    return max(1, round(samples * FRAMES_PER_SECOND / SAMPLE_RATE))


def write_film(output: Path, frames: Iterable[Frame], sound: Iterable[Samples]) -> None:
    """Write a film, as long as its frames and its sound are: the same bytes from the same frames and sound.

    :param output: its file.
    :param frames: RGB pictures of the same even size, 25 a second.
    :param sound: in blocks, each as long as a frame.
    """
    with av.open(str(output), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        writer = _Writer(container)
        for number, (frame, block) in enumerate(itertools.zip_longest(frames, sound)):
            if frame is not None:
                writer.add_picture(number, frame)
            if block is not None:
                writer.add_sound(block)
        writer.finish()


class _Writer:
    """Keeps picture and sound side by side in the file, so that a player need not jump."""

    def __init__(self, container: av.container.OutputContainer) -> None:
        self._container = container
        self._sent = 0
        self._video: av.VideoStream | None = None
        self._audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        self._audio.bit_rate = 128_000

    def add_picture(self, number: int, pixels: Frame) -> None:
        if self._video is None:
            self._video = self._add_video_stream(pixels)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
        self._container.mux(self._video.encode(frame))

    def add_sound(self, block: Samples) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._sent, Fraction(1, SAMPLE_RATE)
        self._container.mux(self._audio.encode(frame))
        self._sent += block.shape[1]

    def finish(self) -> None:
        if self._video is not None:
            self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))

    def _add_video_stream(self, pixels: Frame) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=_X264)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # one video per core is rendered; and the same input gives the same bytes
        return stream
