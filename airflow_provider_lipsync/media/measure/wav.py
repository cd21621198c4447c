"""WAV of any size by its chunks: what a sample takes, and how many bytes of samples there are, whatever is promised."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

from airflow_provider_lipsync.media.measure.words import UnknownLengthError
from airflow_provider_lipsync.media.ranged import RangedFile

__all__ = ["wav_seconds"]

_PLAIN = (1, 3, 6, 7)  # PCM, float, A-law, mu-law: every sample takes the same
_EXTENSIBLE = 0xFFFE  # the format stands in the first two bytes of its GUID
_MOST_CHUNKS = 1_000
_NOT_KNOWN = (0, 0xFFFFFFFF)  # sizes of data that were written into a pipe


def wav_seconds(file: RangedFile) -> float:
    """Return the length in seconds.

    :raises UnknownLengthError: it is compressed, or its chunks are broken.
    """
    is_wide = file.at(0, 4) in (b"RF64", b"BW64")
    sizes: dict[bytes, int] = {}
    frame, hertz, total = 0, 0, 0
    for name, start, size in _chunks(file, sizes):
        if name == b"ds64" and is_wide:
            sizes[b"data"] = int.from_bytes(file.at(start + 8, 8), "little")
        elif name == b"fmt ":
            frame, hertz = _format(file.at(start, 40))
        elif name == b"data":
            total += min(size, file.size - start)
    if not frame or not hertz or not total:
        raise UnknownLengthError("its chunks are broken")
    return float(Fraction(total // frame, hertz))


def _chunks(file: RangedFile, sizes: dict[bytes, int]) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and size of each chunk; one of data whose size is not known goes to the end.

    :param sizes: of chunks that are too large for their own heads.
    """
    at = 12
    for _ in range(_MOST_CHUNKS):
        head = file.at(at, 8)
        if len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        if size == 0xFFFFFFFF:
            size = sizes.get(name, size)
        if name == b"data" and size in _NOT_KNOWN:
            size = file.size - at - 8
        yield name, at + 8, size
        at += 8 + size + size % 2
    raise UnknownLengthError("it has too many chunks")


def _format(content: bytes) -> tuple[int, int]:
    """Return the bytes of one moment's samples of all channels, and how many a second there are."""
    if len(content) < 16:
        raise UnknownLengthError("its chunks are broken")
    tag, channels, hertz, _, block, bits = struct.unpack_from("<HHIIHH", content)
    if tag == _EXTENSIBLE and len(content) >= 26:
        tag = int.from_bytes(content[24:26], "little")
    if tag not in _PLAIN:
        raise UnknownLengthError("it is a compressed WAV, and too large to be read whole")
    return channels * ((bits + 7) // 8) or block, hertz
