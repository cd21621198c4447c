"""MP4 that comes in fragments, each with a small index of its own: the last one tells where all ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from airflow_provider_lipsync.media.kinds import Kind
from airflow_provider_lipsync.media.measure.iso import (
    Box,
    Index,
    Track,
    audio_length,
    boxes,
    number_at,
    read_index,
    video_length,
)
from airflow_provider_lipsync.media.measure.words import UnknownLengthError
from airflow_provider_lipsync.media.ranged import RangedFile

__all__ = ["iso_seconds"]

_TAIL = 512 * 1024  # bytes at the end in which the last fragment is looked for, where no table tells
_MOST_PIECES = 100  # that are looked at one by one
_MOST_SAMPLES = 100_000  # of one fragment
_HANDLERS = {Kind.VIDEO: b"vide", Kind.AUDIO: b"soun"}
_NAMES = {Kind.VIDEO: "video", Kind.AUDIO: "sound"}


def iso_seconds(file: RangedFile, kind: Kind) -> float:
    """Return the length of the first track of a kind, in seconds.

    :raises UnknownLengthError: it has none, is cut off, or its index does not tell.
    """
    index = read_index(file)
    track = next((one for one in index.tracks if one.handler == _HANDLERS[kind]), None)
    if track is None:
        raise UnknownLengthError(f"it holds no {_NAMES[kind]}")
    if index.pieces is not None:
        return float(_pieced_length(file, index, track, kind))
    return float(video_length(track, index) if kind is Kind.VIDEO else audio_length(track, index))


@dataclass
class _Piece:
    """What a fragment holds of a track, in ticks: when it starts and ends, how long its samples are, and the last."""

    start: int = 0
    end: int = 0
    usual: int = 0
    last: int = 0


def _pieced_length(file: RangedFile, index: Index, track: Track, kind: Kind) -> Fraction:
    if not track.scale or index.pieces is None:
        raise UnknownLengthError("its index tells no length")
    first = next(_pieces(file, index.pieces, index, track), None)
    last = _last_pieces(file, index, track)
    if first is None or not last:
        raise UnknownLengthError("it comes in fragments, and the last one is not found")
    end = max(last, key=lambda piece: piece.end)
    if kind is Kind.VIDEO:
        return max(Fraction(end.end, track.scale), index.listed.get(track.number, Fraction(0)))
    start = 0 if track.samples else first.start  # the index itself may hold the first samples
    return Fraction(end.end - start + max(0, first.usual - end.last), track.scale)


def _pieces(file: RangedFile, at: int, index: Index, track: Track) -> Iterator[_Piece]:
    """Yield what each fragment from there on holds of a track."""
    for number, box in enumerate(boxes(file, at, file.size)):
        if number > 2 * _MOST_PIECES:
            raise UnknownLengthError("it comes in too many fragments")
        if box.end > file.size:
            raise UnknownLengthError(f"it is cut off: {box.end - file.size} bytes are missing")
        if box.name == b"moof":
            for inner in boxes(file, box.start, box.end):
                if inner.name == b"traf" and (found := _piece(file, inner, index, track)):
                    yield found


def _piece(file: RangedFile, traf: Box, index: Index, track: Track) -> _Piece | None:
    default, piece = 0, _Piece()
    for box in boxes(file, traf.start, traf.end):
        flags = number_at(file, box.start) & 0xFFFFFF
        match box.name:
            case b"tfhd":
                number = number_at(file, box.start + 4)
                if number != track.number:
                    return None
                at = box.start + 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
                default = number_at(file, at) if flags & 8 else index.defaults.get(number, 0)
            case b"tfdt":
                wide = file.at(box.start, 1) == b"\x01"
                piece.start = piece.end = number_at(file, box.start + 4, 8 if wide else 4)
            case b"trun" if ticks := _run(file, box, flags, default):
                piece.end += sum(ticks)
                piece.last, piece.usual = ticks[-1], Counter(ticks).most_common(1)[0][0]
    return piece


def _run(file: RangedFile, box: Box, flags: int, default: int) -> list[int]:
    count = number_at(file, box.start + 4)
    if count > _MOST_SAMPLES:
        raise UnknownLengthError("its fragments are too large")
    if not flags & 0x100:
        return [default] * count
    width = 4 * sum(1 for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit)
    at = box.start + 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
    table = file.at(at, width * count)
    return [int.from_bytes(table[place : place + 4], "big") for place in range(0, len(table), width)]


def _last_pieces(file: RangedFile, index: Index, track: Track) -> list[_Piece]:
    """Return the last fragments of a track: by the table at the end, or by a look there."""
    end = file.size
    if file.at(end - 12, 4) == b"mfro":
        table = end - number_at(file, end - 4)
        entries = [_last_entry(file, box, track) for box in boxes(file, table + 8, end) if box.name == b"tfra"]
        if places := [place for place in entries if place is not None]:
            return list(_pieces(file, max(places), index, track))
    start = max(0, end - _TAIL)
    tail = file.at(start, end - start)
    at = tail.rfind(b"moof")
    for _ in range(_MOST_PIECES):
        if (
            at >= 4
            and _reaches(file, start + at - 4, end)
            and (found := [*_pieces(file, start + at - 4, index, track)])
        ):
            return found
        at = tail.rfind(b"moof", 0, max(0, at))
    return []


def _last_entry(file: RangedFile, box: Box, track: Track) -> int | None:
    """Return where the last fragment starts that a table of random access points lists for a track."""
    wide, number = file.at(box.start, 1) == b"\x01", number_at(file, box.start + 4)
    sizes, count = number_at(file, box.start + 8), number_at(file, box.start + 12)
    if number != track.number or not count:
        return None
    width = (16 if wide else 8) + 3 + (sizes >> 4 & 3) + (sizes >> 2 & 3) + (sizes & 3)
    entry = box.start + 16 + (count - 1) * width
    return number_at(file, entry + (8 if wide else 4), 8 if wide else 4)


def _reaches(file: RangedFile, start: int, end: int) -> bool:
    """Whether boxes follow each other from there to the end: a name may stand in the media by chance."""
    last = start
    try:
        for box in boxes(file, start, end):
            last = box.end
    except UnknownLengthError:
        return False
    return last == end
