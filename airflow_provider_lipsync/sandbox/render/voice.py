"""Sample voices: syllables and pauses from harmonics under moving formants; nobody's voice, and no speech engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["RATE", "VOICES", "Voice", "speak"]

RATE = 24_000  # samples a second: enough for speech, half the size
Signal = npt.NDArray[np.float64]

# First three formants of vowels in Hz, and how loud the vowel is.
_VOWELS = {
    "a": (750, 1250, 2550, 1.0),
    "e": (500, 1850, 2500, 0.85),
    "i": (300, 2250, 3000, 0.6),
    "o": (480, 900, 2400, 0.9),
    "u": (330, 800, 2250, 0.6),
}
_BANDWIDTHS = (90.0, 120.0, 180.0)  # Hz
_HARMONICS_BELOW = 4500.0  # Hz


@dataclass(frozen=True)
class Voice:
    """Who speaks what.

    :param pitch: of the voice, in Hz.
    :param words: vowels of the syllables, a space for a pause.
    :param seconds: length of the whole.
    :param tract: how much shorter the speaker's throat is: formants are multiplied by it.
    """

    pitch: float
    words: str
    seconds: float
    tract: float


VOICES = {
    "voice.wav": Voice(196, "eoa ioie aue oia  eiao uea ioe", 6.0, 1.12),
    "voice-left.wav": Voice(205, "aeio uai  oea iue", 4.0, 1.14),
    "voice-right.wav": Voice(118, "oua eio  aia", 3.0, 1.0),
}


def speak(voice: Voice) -> npt.NDArray[np.int16]:
    """Return a voice's words as 16-bit samples."""
    size = round(voice.seconds * RATE)
    loudness, formants = _articulate(voice.words, size)
    seconds = np.arange(size) / RATE
    sentence = seconds / voice.seconds
    pitch = voice.pitch * (1.10 - 0.2 * sentence + 0.05 * np.sin(9.5 * seconds) + 0.015 * np.sin(33 * seconds))
    sung = _sing(pitch, formants * voice.tract, loudness)
    breath = 0.02 * loudness * np.random.default_rng(7).standard_normal(size)
    signal = sung / np.abs(sung).max() + breath
    spoken: npt.NDArray[np.int16] = (0.7 * 32767 * signal / np.abs(signal).max()).astype(np.int16)
    return spoken


def _articulate(words: str, size: int) -> tuple[Signal, Signal]:
    """Return loudness and formants over time: each syllable swells and fades, each pause is silent."""
    lengths = [0.7 if word == " " else 1.0 for word in words]
    edges = np.round(np.cumsum([0.0, *lengths]) / sum(lengths) * size).astype(int)
    loudness, formants = np.zeros(size), np.tile(np.array([500.0, 1500.0, 2500.0]), (size, 1))
    for word, start, end in zip(words, edges[:-1], edges[1:], strict=True):
        if word == " ":
            continue
        *places, strength = _VOWELS[word]
        shape = np.sin(np.pi * np.linspace(0, 1, end - start)) ** 0.6
        loudness[start:end] = strength * shape
        formants[start:end] = places
    glide = np.hanning(RATE // 12)
    glide /= glide.sum()
    for column in range(formants.shape[1]):
        formants[:, column] = np.convolve(formants[:, column], glide, mode="same")
    return loudness, formants


def _sing(pitch: Signal, formants: Signal, loudness: Signal) -> Signal:
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sung = np.zeros_like(pitch)
    for harmonic in range(1, int(_HARMONICS_BELOW / pitch.min())):
        frequency = harmonic * pitch
        envelope = np.zeros_like(pitch)
        for column, bandwidth in enumerate(_BANDWIDTHS):
            distance = (frequency - formants[:, column]) / bandwidth
            envelope += 0.6**column / (1 + np.square(distance))
        sung += (envelope + 0.02) / harmonic**0.5 * np.sin(harmonic * phase)
    return sung * loudness
