"""MP3 that is too large to be read whole: by the table in its first frame, or by its size if all frames are alike."""

from __future__ import annotations

import math
from fractions import Fraction

from airflow_provider_lipsync.media.measure.words import UnknownLengthError
from airflow_provider_lipsync.media.mp3_frames import Mp3Frame, mp3_frame
from airflow_provider_lipsync.media.ranged import RangedFile

__all__ = ["mp3_seconds", "tags_end"]

_MOST_TAGS = 8
_PADDING = 64 * 1024  # bytes between tags and sound in which a first frame is looked for
_PLACES = 12  # that are looked at for another bit rate
_PIECE = 4 * 1024  # bytes of each of them: some frames
_MOST_FRAME = 2 * 1441  # bytes in which two frames in a row begin
_JOINED = 1.02  # times as many bytes as the table knows: something was put behind, which it does not count
_TAGS = 16 * 1024  # bytes of tags at the end that say nothing against a table
_XING_DELAY = 529  # samples that a decoder itself lags behind, by the tag of LAME
_AT_THE_END = ((b"TAG", 128, 0), (b"APETAGEX", 32, 12))  # what ends a file: its mark, its size, where its length stands


def tags_end(file: RangedFile) -> int:
    """Return where the tags (ID3v2) at the beginning of a file end; 0 where there are none."""
    at = 0
    for _ in range(_MOST_TAGS):
        head = file.at(at, 10)
        if len(head) < 10 or head[:3] != b"ID3" or any(byte > 0x7F for byte in head[6:10]):
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        at += size + (20 if head[5] & 0x10 else 10)
    return at


def mp3_seconds(file: RangedFile, start: int) -> float:
    """Return the length of the sound that begins there, in seconds.

    :raises UnknownLengthError: it cannot be told without reading all of it.
    """
    begin = _first_frame(file, start)
    head = file.at(begin, 2 * 1024)
    frame = mp3_frame(head, 0)
    if frame is None:
        raise UnknownLengthError("it begins with no MP3 frame")
    end = _sound_end(file)
    told = _by_xing(head, frame) or _by_vbri(head, frame)
    if told is not None:
        samples, size = told
        if size and end - begin > size * _JOINED + _TAGS:
            raise UnknownLengthError("it is longer than the table in its first frame says")
        return float(Fraction(max(0, samples), frame.hertz))
    return _by_size(file, begin, end, frame)


def _first_frame(file: RangedFile, start: int) -> int:
    """Return where the first frame begins that another one follows: a mark of 11 bits comes up by chance."""
    area = file.at(start, _PADDING + _MOST_FRAME)
    at = area.find(b"\xff")
    while 0 <= at < _PADDING:
        frame = mp3_frame(area, at)
        if frame is not None and mp3_frame(area, at + frame.size) is not None:
            return start + at
        at = area.find(b"\xff", at + 1)
    raise UnknownLengthError("it begins with no MP3 frame")


def _sound_end(file: RangedFile) -> int:
    """Return where the tags begin that end the file."""
    end = file.size
    for mark, size, length_at in _AT_THE_END:
        tail = file.at(max(0, end - size), size)
        if tail.startswith(mark):
            length = int.from_bytes(tail[length_at : length_at + 4], "little") if length_at else size
            has_head = bool(length_at) and tail[23] & 0x80
            end -= max(size, min(length + (size if has_head else 0), end))
    return end


def _by_xing(head: bytes, frame: Mp3Frame) -> tuple[int, int] | None:
    """Return how many samples, and bytes, the table of Xing or LAME counts; None where there is none that counts."""
    at = 4 + frame.side
    if head[at : at + 4] not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(head[at + 4 : at + 8], "big")
    frames = int.from_bytes(head[at + 8 : at + 12], "big") if flags & 1 else 0
    size_at = at + (12 if flags & 1 else 8)
    size = int.from_bytes(head[size_at : size_at + 4], "big") if flags & 2 else 0
    if not frames:
        return None
    lame = size_at + (4 if flags & 2 else 0) + (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    samples = frames * frame.samples
    if head[lame : lame + 4] in (b"LAME", b"Lavf", b"Lavc"):
        pads = int.from_bytes(head[lame + 21 : lame + 24], "big")
        samples -= (pads >> 12) + _XING_DELAY + max(0, (pads & 0xFFF) - _XING_DELAY)
    return samples, size


def _by_vbri(head: bytes, frame: Mp3Frame) -> tuple[int, int] | None:
    """Return the same of the table of Fraunhofer."""
    if head[36:40] != b"VBRI":
        return None
    size, frames = int.from_bytes(head[46:50], "big"), int.from_bytes(head[50:54], "big")
    return (frames * frame.samples, size) if frames else None


def _by_size(file: RangedFile, begin: int, end: int, frame: Mp3Frame) -> float:
    """Return the length of sound of one bit rate; places all over the file must show no other."""
    step = max(1, (end - begin - _PIECE) // (_PLACES - 1))
    for place in range(begin, max(begin + 1, end - _PIECE + 1), step):
        piece = file.at(place, _PIECE)
        at = _frame_like(piece, frame)
        while at is not None and at + 4 <= len(piece):
            found = mp3_frame(piece, at)
            if found is None or (found.bit_rate, found.hertz) != (frame.bit_rate, frame.hertz):
                raise UnknownLengthError("its bit rate varies, and no table in it tells its length")
            at += found.size
    frames = (end - begin) * 8 * Fraction(frame.hertz, frame.bit_rate * frame.samples)
    return float(Fraction(math.ceil(frames - Fraction(1, 100)) * frame.samples, frame.hertz))


def _frame_like(piece: bytes, frame: Mp3Frame) -> int | None:
    """Return where the first frame of a piece begins that another one follows.

    :raises UnknownLengthError: there is none.
    """
    at = piece.find(b"\xff")
    while at >= 0:
        found = mp3_frame(piece, at)
        if found is not None and found.hertz == frame.hertz and mp3_frame(piece, at + found.size) is not None:
            return at
        at = piece.find(b"\xff", at + 1)
    raise UnknownLengthError("there is something else than MP3 in it")
