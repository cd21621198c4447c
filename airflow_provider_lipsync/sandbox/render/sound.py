"""Sound in and how loud it is: any format that PyAV reads becomes stereo samples, and a mouth's opening per frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler

from airflow_provider_lipsync.api.models import Order
from airflow_provider_lipsync.sandbox.render.plan import FRAMES_PER_SECOND, SAMPLE_RATE, UnreadableMediaError

__all__ = ["Dialogue", "Openings", "Samples", "combine", "measure_openings", "read_sound", "seconds_of"]

Samples = npt.NDArray[np.float32]
Openings = npt.NDArray[np.floating[Any]]

# Of the demuxers only those of media: a playlist could name other files of this machine.
CONTAINERS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,opus,w64,wav,webm,3gp,mj2"
)
_MAX_SECONDS = 600.0  # not stated by the vendor; keeps the samples of a job in memory below 250 MB
_FRAME_SAMPLES = SAMPLE_RATE // FRAMES_PER_SECOND
_SILENCE = 0.004  # root mean square; below is noise of a quiet recording
_PAN = 0.75  # of a speaker's sound on the speaker's own side: in the picture, and yet heard in both ears


@dataclass(frozen=True)
class Dialogue:
    """Two sounds as one, each still alone on the same clock, so that its own mouth follows it.

    :param mixed: what is heard.
    :param left: the left speaker, silence included.
    :param right: the right speaker, likewise.
    """

    mixed: Samples
    left: Samples
    right: Samples


def read_sound(path: Path) -> Samples:
    """Return the sound of a file as float samples of shape (2, n).

    :raises UnreadableMediaError: it cannot be read, has no sound, or is too long.
    """
    try:
        samples = _decode(path)
    except (av.FFmpegError, ValueError):
        raise UnreadableMediaError("Invalid audio format") from None
    if samples.shape[1] == 0:
        raise UnreadableMediaError("Invalid audio format")
    return samples


def seconds_of(samples: Samples) -> float:
    """Return the length of a sound in seconds."""
    return float(samples.shape[1] / SAMPLE_RATE)


def combine(left: Samples, right: Samples, order: Order) -> Dialogue:
    """Put two speakers' sounds together: at once, or one after the other."""
    start_left = right.shape[1] if order is Order.RIGHT_LEFT else 0
    start_right = left.shape[1] if order is Order.LEFT_RIGHT else 0
    size = max(start_left + left.shape[1], start_right + right.shape[1])
    placed_left, placed_right = _place(left, start_left, size), _place(right, start_right, size)
    near, far = _PAN, 1 - _PAN
    heard_left = near * placed_left[0] + far * placed_right[0]
    heard_right = far * placed_left[1] + near * placed_right[1]
    mixed: Samples = np.stack([heard_left, heard_right])
    mixed /= max(1.0, float(np.abs(mixed).max()))
    return Dialogue(mixed, placed_left, placed_right)


def measure_openings(samples: Samples, frames: int) -> Openings:
    """Return how far a mouth is open in each frame, from 0 to 1: how loud it is, next to the loud parts."""
    mono = np.zeros(frames * _FRAME_SAMPLES, dtype=np.float32)
    used = min(mono.size, samples.shape[1])
    mono[:used] = samples[:, :used].mean(axis=0)
    loudness = np.sqrt(np.square(mono.reshape(frames, _FRAME_SAMPLES)).mean(axis=1))
    loud = float(np.percentile(loudness[loudness > _SILENCE], 90)) if (loudness > _SILENCE).any() else 1.0
    openings: Openings = np.clip((loudness - _SILENCE) / max(loud - _SILENCE, _SILENCE), 0, 1) ** 0.75
    return openings


def _decode(path: Path) -> Samples:
    resampler = AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE)
    chunks: list[npt.NDArray[Any]] = []
    size = 0
    with av.open(str(path), options={"format_whitelist": CONTAINERS}) as container:
        if not container.streams.audio:
            raise ValueError("no sound")
        for frame in container.decode(container.streams.audio[0]):
            for part in resampler.resample(frame):
                chunks.append(part.to_ndarray())
                size += part.samples
            if size > _MAX_SECONDS * SAMPLE_RATE:
                raise UnreadableMediaError(f"Audio is longer than {_MAX_SECONDS:.0f} seconds")
    chunks += [part.to_ndarray() for part in resampler.resample(None)]
    return np.concatenate([np.zeros((2, 0), dtype=np.float32), *chunks], axis=1)


def _place(samples: Samples, start: int, size: int) -> Samples:
    placed = np.zeros((2, size), dtype=np.float32)
    placed[:, start : start + samples.shape[1]] = samples
    return placed
