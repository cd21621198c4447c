"""FLAC that is too large to be read whole (RFC 9639): by its header, and by the number of its last frame."""

from __future__ import annotations

from fractions import Fraction

from airflow_provider_lipsync.media.measure.words import UnknownLengthError
from airflow_provider_lipsync.media.ranged import RangedFile

__all__ = ["flac_seconds"]

_TAIL = 128 * 1024  # bytes at the end in which the last frame is looked for; one of eight channels may have as many
_MOST_HEAD = 16  # bytes of a frame's head
_SIZES = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}


def flac_seconds(file: RangedFile, start: int) -> float:
    """Return the length of the stream that begins there, in seconds: the longer of what its header and its end say.

    :raises UnknownLengthError: it does not tell.
    """
    head = file.at(start, 42)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 0x7F:
        raise UnknownLengthError("its header is broken")
    smallest, largest = int.from_bytes(head[8:10], "big"), int.from_bytes(head[10:12], "big")
    packed = int.from_bytes(head[18:26], "big")
    hertz, told = packed >> 44, packed & ((1 << 36) - 1)
    begin = max(0, file.size - _TAIL)
    counted = _last_sample(file.at(begin, _TAIL), largest if smallest == largest else 0)
    if not hertz or not max(told, counted):
        raise UnknownLengthError("its header tells no length, and its last frame is not found")
    return float(Fraction(max(told, counted), hertz))


def _last_sample(tail: bytes, block: int) -> int:
    """Return how many samples there are up to the end of the last frame; 0 where none is found.

    :param block: samples of each frame but the last; 0 = they differ.
    """
    at = tail.rfind(b"\xff")
    while at >= 0:
        end = _frame_end(tail[at : at + _MOST_HEAD], block)
        if end:
            return end
        at = tail.rfind(b"\xff", 0, at)
    return 0


def _frame_end(head: bytes, block: int) -> int:
    """Return the number of the sample behind a frame; 0 where no head of one stands there, as its checksum tells."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return 0
    number, width = _coded_number(head[4:])
    code, rate = head[2] >> 4, head[2] & 0x0F
    at = 4 + width
    extra = {6: 1, 7: 2}.get(code, 0)
    size = int.from_bytes(head[at : at + extra], "big") + 1 if extra else _SIZES.get(code, 0)
    at += extra + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if not width or not size or len(head) <= at or _checksum(head[:at]) != head[at]:
        return 0
    is_variable = head[1] & 1
    if not is_variable and not block:
        return 0
    return (number if is_variable else number * block) + size


def _coded_number(head: bytes) -> tuple[int, int]:
    """Return a number that is coded as UTF-8 codes characters, and its width in bytes; 0 = there is none."""
    ones = 8 - (head[0] ^ 0xFF).bit_length()
    if ones == 0:
        return head[0], 1
    if ones in (1, 8) or len(head) < ones:
        return 0, 0
    number = head[0] & (0x7F >> ones)
    for byte in head[1:ones]:
        number = number << 6 | byte & 0x3F
    return number, ones


def _checksum(head: bytes) -> int:
    """Return the CRC-8 of a head."""
    value = 0
    for byte in head:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
    return value
