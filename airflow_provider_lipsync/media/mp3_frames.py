"""The heads of MPEG audio frames, which is all there is to MP3: ISO/IEC 11172-3 and 13818-3. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Mp3Frame", "mp3_frame"]

# kbit/s by (whether version 1, layer), for the indexes 1 to 14.
_KBITS = {
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HERTZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by the version's two bits


@dataclass(frozen=True)
class Mp3Frame:
    """A frame by its head.

    :param size: bytes, its head included.
    :param samples: for each channel.
    :param hertz: samples a second.
    :param bit_rate: bits a second.
    :param side: bytes between its head and its sound, where a first frame may hold a table instead.
    """

    size: int
    samples: int
    hertz: int
    bit_rate: int
    side: int


def mp3_frame(head: bytes, at: int) -> Mp3Frame | None:
    """Return the frame whose head stands there; None where none does."""
    if len(head) < at + 4 or head[at] != 0xFF or head[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = head[at + 1] >> 3 & 3, 4 - (head[at + 1] >> 1 & 3)
    kbits, hertz, padding = head[at + 2] >> 4, head[at + 2] >> 2 & 3, head[at + 2] >> 1 & 1
    if version == 1 or layer == 4 or kbits in (0, 15) or hertz == 3:
        return None
    rate, speed = _KBITS[version == 3, layer][kbits - 1] * 1000, _HERTZ[version][hertz]
    samples = _samples(version, layer)
    size = (12 * rate // speed + padding) * 4 if layer == 1 else samples // 8 * rate // speed + padding
    return Mp3Frame(size, samples, speed, rate, _side(version == 3, head[at + 3] >> 6 == 3))


def _samples(version: int, layer: int) -> int:
    if layer == 1:
        return 384
    return 576 if layer == 3 and version != 3 else 1152


def _side(is_first_version: bool, is_mono: bool) -> int:
    if is_first_version:
        return 17 if is_mono else 32
    return 9 if is_mono else 17
