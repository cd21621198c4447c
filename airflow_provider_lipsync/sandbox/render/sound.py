"""Sound in and how loud it is: any format that PyAV reads becomes stereo samples, and a mouth's opening per frame.

A sound is read twice, once to hear how long and how loud it is, once to be written, and never stands in memory whole:
ten minutes of it would take 230 MB, and a dialogue several times that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler

from airflow_provider_lipsync.api.models import Order
from airflow_provider_lipsync.sandbox.render.demux import open_film, refusing
from airflow_provider_lipsync.sandbox.render.plan import FRAMES_PER_SECOND, SAMPLE_RATE, UnreadableMediaError

__all__ = ["Dialogue", "Openings", "Samples", "Sound", "combine", "cut", "hear", "measure_openings", "read_sound"]

Samples = npt.NDArray[np.float32]  # of the shape (2, n), for left and right
Openings = npt.NDArray[np.floating[Any]]
Loudness = npt.NDArray[np.float64]

_MAX_SECONDS = 600.0  # not stated by the vendor
_FRAME_SAMPLES = SAMPLE_RATE // FRAMES_PER_SECOND
_SILENCE = 0.004  # root mean square; below is noise of a quiet recording
_PAN = 0.75  # of a speaker's sound on the speaker's own side: in the picture, and yet heard in both ears


@dataclass(frozen=True, eq=False)
class Heard:
    """What is known of a sound that was heard to its end.

    :param size: its length in samples.
    :param loudness: its root mean square in each frame of the film.
    :param peak: its largest sample.
    """

    size: int
    loudness: Loudness
    peak: float

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.size / SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class Sound(Heard):
    """The sound of a file.

    :param path: its file.
    """

    path: Path

    def blocks(self) -> Iterator[Samples]:
        """Read it again, in blocks as :func:`cut` makes them."""
        return cut(_decode(self.path))


@dataclass(frozen=True, eq=False)
class Dialogue:
    """Two sounds as one.

    :param left: the left speaker's.
    :param right: the right speaker's.
    :param left_start: the sample at which the left one begins.
    :param right_start: likewise.
    """

    left: Sound
    right: Sound
    left_start: int
    right_start: int

    @property
    def size(self) -> int:
        """Its length in samples."""
        return max(self.left_start + self.left.size, self.right_start + self.right.size)

    def blocks(self) -> Iterator[Samples]:
        """What is heard, in blocks as :func:`cut` makes them."""
        calm = 1 / max(1.0, self.left.peak, self.right.peak)  # neither alone nor both together are clipped
        near, far = np.float32(calm * _PAN), np.float32(calm * (1 - _PAN))
        lefts = cut(itertools.chain(_silence(self.left_start), self.left.blocks()))
        rights = cut(itertools.chain(_silence(self.right_start), self.right.blocks()))
        for left, right in _pair(lefts, rights):
            yield np.stack([near * left[0] + far * right[0], far * left[1] + near * right[1]])


def read_sound(path: Path) -> Sound:
    """Hear the sound of a file to its end.

    :raises UnreadableMediaError: it cannot be read, has no sound, or is too long.
    """
    with refusing("Invalid audio format"):
        heard = hear(cut(_decode(path)))
        if heard.size == 0:
            raise ValueError("no samples")
    return Sound(heard.size, heard.loudness, heard.peak, path)


def hear(blocks: Iterable[Samples]) -> Heard:
    """Return what is to be known of a sound in blocks as :func:`cut` makes them."""
    size, peak, loudness = 0, 0.0, []
    for block in blocks:
        size += block.shape[1]
        if size > _MAX_SECONDS * SAMPLE_RATE:
            raise UnreadableMediaError(f"Audio is longer than {_MAX_SECONDS:.0f} seconds")
        peak = max(peak, float(np.abs(block).max()))
        power = float(np.square(block, dtype=np.float64).sum()) / (block.shape[0] * _FRAME_SAMPLES)
        loudness.append(power**0.5)
    return Heard(size, np.array(loudness, dtype=np.float64), peak)


def combine(left: Sound, right: Sound, order: Order) -> Dialogue:
    """Put two speakers' sounds together: at once, or one after the other."""
    left_start = right.size if order is Order.RIGHT_LEFT else 0
    right_start = left.size if order is Order.LEFT_RIGHT else 0
    return Dialogue(left, right, left_start, right_start)


def measure_openings(heard: Heard, frames: int, start: int = 0) -> Openings:
    """Return how far a mouth is open in each frame, from 0 to 1: how loud it is, next to the loud parts.

    :param start: the sample of the film at which the sound begins; the mouth is closed before.
    """
    loudness = np.zeros(frames, dtype=np.float64)
    first = round(start / _FRAME_SAMPLES)
    spoken = heard.loudness[: max(0, frames - first)]
    loudness[first : first + spoken.size] = spoken
    loud = float(np.percentile(loudness[loudness > _SILENCE], 90)) if (loudness > _SILENCE).any() else 1.0
    openings: Openings = np.clip((loudness - _SILENCE) / max(loud - _SILENCE, _SILENCE), 0, 1) ** 0.75
    return openings


def cut(parts: Iterable[Samples]) -> Iterator[Samples]:
    """Cut parts of any size into blocks as long as a frame of the film; the last one may be shorter."""
    kept = np.zeros((2, 0), dtype=np.float32)
    for part in parts:
        kept = np.concatenate([kept, part], axis=1) if kept.size else part
        while kept.shape[1] >= _FRAME_SAMPLES:
            yield kept[:, :_FRAME_SAMPLES]
            kept = kept[:, _FRAME_SAMPLES:]
    if kept.size:
        yield kept


def _decode(path: Path) -> Iterator[Samples]:
    resampler = AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE)
    with open_film(path) as container:
        if not container.streams.audio:
            raise ValueError("no sound")
        for frame in itertools.chain(container.decode(container.streams.audio[0]), [None]):
            for part in resampler.resample(frame):
                yield part.to_ndarray().astype(np.float32, copy=False)


def _silence(size: int) -> Iterator[Samples]:
    for start in range(0, size, _FRAME_SAMPLES):
        yield np.zeros((2, min(_FRAME_SAMPLES, size - start)), dtype=np.float32)


def _pair(lefts: Iterator[Samples], rights: Iterator[Samples]) -> Iterator[tuple[Samples, Samples]]:
    """Yield the blocks of two sounds side by side, silence after the end of the shorter one."""
    nothing = np.zeros((2, 0), dtype=np.float32)
    for left, right in itertools.zip_longest(lefts, rights, fillvalue=nothing):
        size = max(left.shape[1], right.shape[1])
        yield _fill(left, size), _fill(right, size)


def _fill(block: Samples, size: int) -> Samples:
    if block.shape[1] == size:
        return block
    return np.pad(block, ((0, 0), (0, size - block.shape[1])))
