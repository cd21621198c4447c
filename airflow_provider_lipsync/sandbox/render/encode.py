"""Frames and sound out: H.264 and AAC in an MP4 with its index in front."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from airflow_provider_lipsync.sandbox.render.picture import Frame
from airflow_provider_lipsync.sandbox.render.plan import FRAMES_PER_SECOND, SAMPLE_RATE
from airflow_provider_lipsync.sandbox.render.sound import Samples

__all__ = ["count_frames", "write_film"]

_AAC_FRAME = 1024  # samples
_X264 = {
    "preset": "veryfast",
    "crf": "22",
    "x264-params": "colormatrix=smpte170m:colorprim=smpte170m:transfer=smpte170m",
}


def count_frames(samples: Samples) -> int:
    """Return how many frames are as long as a sound."""
    return max(1, round(float(samples.shape[1] * FRAMES_PER_SECOND / SAMPLE_RATE)))


def write_film(output: Path, frames: Iterable[Frame], samples: Samples) -> None:
    """Write a film, as long as its frames and its sound are.

    :param output: its file.
    :param frames: RGB pictures of the same even size, 25 a second.
    :param samples: stereo sound.
    """
    with av.open(str(output), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        writer = _Writer(container, samples)
        for number, frame in enumerate(frames):
            writer.add_picture(number, frame)
            writer.add_sound((number + 1) / FRAMES_PER_SECOND)
        writer.finish()


class _Writer:
    """Keeps picture and sound side by side in the file, so that a player need not jump."""

    def __init__(self, container: av.container.OutputContainer, samples: Samples) -> None:
        self._container = container
        self._samples = samples
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

    def add_sound(self, until: float) -> None:
        end = min(self._samples.shape[1], int(until * SAMPLE_RATE))
        while self._sent < end:
            part = np.ascontiguousarray(self._samples[:, self._sent : self._sent + _AAC_FRAME])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._sent, Fraction(1, SAMPLE_RATE)
            self._container.mux(self._audio.encode(frame))
            self._sent += part.shape[1]

    def finish(self) -> None:
        self.add_sound(self._samples.shape[1] / SAMPLE_RATE + 1)
        if self._video is not None:
            self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))

    def _add_video_stream(self, pixels: Frame) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=_X264)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # one video per core is rendered; and the same input gives the same bytes
        return stream
