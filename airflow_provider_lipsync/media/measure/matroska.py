"""WebM and Matroska by their elements (RFC 9559): the duration in the header, or the last block where it has none."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_provider_lipsync.media.kinds import Kind
from airflow_provider_lipsync.media.measure.words import UnknownLengthError
from airflow_provider_lipsync.media.ranged import RangedFile

__all__ = ["matroska_seconds"]

_SEGMENT, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK, _NUMBER, _TYPE, _CODEC, _FRAME, _DELAY = 0xAE, 0xD7, 0x83, 0x86, 0x23E383, 0x56AA
_TIME, _SIMPLE_BLOCK, _GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_TYPES = {Kind.VIDEO: 1, Kind.AUDIO: 2}
_NAMES = {Kind.VIDEO: "video", Kind.AUDIO: "sound"}
_TRIMMED = ("A_OPUS", "A_VORBIS", "A_PCM", "A_FLAC")  # what a decoder gives of these ends with the last sample
_PACKET = 0.07  # seconds: more than a frame of any other codec of sound
_LAST = 0.13  # seconds that the last block lasts at most, where nothing tells: the longest packet of Opus
_TAILS = (256 * 1024, 1024 * 1024)  # bytes at the end in which the last cluster is looked for
_MOST_ELEMENTS = 20_000  # next to each other; a cluster has some thousands
_MOST_MARKS = 20  # that may be the last cluster's, or stand in the media by chance
_CLUSTER_MARK = _CLUSTER.to_bytes(4, "big")


@dataclass(frozen=True)
class _Element:
    name: int
    start: int
    end: int  # the end of the file where the size is not known


@dataclass
class _Header:
    """What stands before the first cluster.

    :param scale: nanoseconds a tick.
    :param ticks: duration; 0 = not told.
    :param track: number of the first track of the kind; 0 = there is none.
    :param frame: nanoseconds that each of its blocks lasts; 0 = not told.
    :param delay: nanoseconds at its beginning that are not heard.
    """

    scale: int = 1_000_000
    ticks: float = 0.0
    track: int = 0
    codec: str = ""
    frame: int = 0
    delay: int = 0
    has_tracks: bool = field(default=False)


def matroska_seconds(file: RangedFile, kind: Kind) -> float:
    """Return the length of the first track of a kind, in seconds.

    :raises UnknownLengthError: it has none, or does not tell.
    """
    header = _read_header(file, kind)
    if not header.has_tracks:
        raise UnknownLengthError("it does not tell what it holds")
    if not header.track:
        raise UnknownLengthError(f"it holds no {_NAMES[kind]}")
    if not header.ticks:
        return _last_block_end(file, header)
    seconds = header.ticks * header.scale / 1e9
    if kind is Kind.VIDEO:
        return seconds
    return max(0.0, seconds - header.delay / 1e9) + (0 if header.codec.startswith(_TRIMMED) else _PACKET)


def _read_header(file: RangedFile, kind: Kind) -> _Header:
    header = _Header()
    segment = next((one for one in _elements(file, 0, file.size) if one.name == _SEGMENT), None)
    if segment is None:
        raise UnknownLengthError("its elements are broken")
    for element in _elements(file, segment.start, segment.end):
        if element.name == _CLUSTER:
            break
        if element.name == _INFO:
            _read_info(file, element, header)
        elif element.name == _TRACKS:
            header.has_tracks = True
            _read_tracks(file, element, header, _TYPES[kind])
    return header


def _read_info(file: RangedFile, info: _Element, header: _Header) -> None:
    for element in _elements(file, info.start, info.end):
        content = file.at(element.start, min(8, element.end - element.start))
        if element.name == _SCALE:
            header.scale = int.from_bytes(content, "big") or header.scale
        elif element.name == _DURATION and len(content) in (4, 8):
            (ticks,) = struct.unpack(">f" if len(content) == 4 else ">d", content)
            header.ticks = ticks if math.isfinite(ticks) and ticks > 0 else 0.0


def _read_tracks(file: RangedFile, tracks: _Element, header: _Header, wanted: int) -> None:
    for entry in _elements(file, tracks.start, tracks.end):
        if entry.name != _TRACK or header.track:
            continue
        told = {one.name: file.at(one.start, min(40, one.end - one.start)) for one in _elements(file, *_span(entry))}
        if int.from_bytes(told.get(_TYPE, b""), "big") == wanted:
            header.track = int.from_bytes(told.get(_NUMBER, b""), "big")
            header.codec = told.get(_CODEC, b"").decode("ascii", "replace")
            header.frame = int.from_bytes(told.get(_FRAME, b""), "big")
            header.delay = int.from_bytes(told.get(_DELAY, b""), "big")


def _last_block_end(file: RangedFile, header: _Header) -> float:
    """Return when the last block of the track ends, by the clusters at the end of the file."""
    for reach in _TAILS:
        start = max(0, file.size - reach)
        tail = file.at(start, file.size - start)
        at = len(tail)
        for _ in range(_MOST_MARKS):
            at = tail.rfind(_CLUSTER_MARK, 0, at)
            if at >= 0 and (times := _times(file, start + at, header.track)):
                return _end(sorted(times), header)
    raise UnknownLengthError("its header tells no length, and its last cluster is not found")


def _end(times: list[int], header: _Header) -> float:
    """Return when the last of some blocks ends, in seconds."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    lasts = max(max(gaps, default=0) * header.scale / 1e9, header.frame / 1e9)
    return times[-1] * header.scale / 1e9 + (lasts or _LAST)


def _times(file: RangedFile, start: int, track: int) -> list[int]:
    """Return the ticks of a track's blocks in a cluster; empty where none stands there, or it has none of the track."""
    try:
        return _block_times(file, next(_elements(file, start, file.size)), track)
    except UnknownLengthError:
        return []


def _block_times(file: RangedFile, cluster: _Element, track: int) -> list[int]:
    base, times = 0, []
    for element in _elements(file, cluster.start, cluster.end):
        if element.name == _TIME:
            base = int.from_bytes(file.at(element.start, min(8, element.end - element.start)), "big")
        blocks = [element] if element.name == _SIMPLE_BLOCK else []
        if element.name == _GROUP:
            blocks = [one for one in _elements(file, *_span(element)) if one.name == _BLOCK]
        for block in blocks:
            number, width = _number(file.at(block.start, 8))
            if number == track:
                times.append(base + int.from_bytes(file.at(block.start + width, 2), "big", signed=True))
    return times


def _span(element: _Element) -> tuple[int, int]:
    return element.start, element.end


def _elements(file: RangedFile, start: int, end: int) -> Iterator[_Element]:
    """Yield the elements between two places; one of no size reaches to the end, or to the next cluster."""
    for _ in range(_MOST_ELEMENTS):
        if start >= end:
            return
        head = file.at(start, 12)
        width = 9 - head[0].bit_length() if head and head[0] else 0
        if not 1 <= width <= 4:
            raise UnknownLengthError("its elements are broken")
        name = int.from_bytes(head[:width], "big")
        size, length = _number(head[width:])
        if not length:
            raise UnknownLengthError("its elements are broken")
        begin = start + width + length
        start = end if size is None else min(end, begin + size)
        yield _Element(name, begin, start)
    raise UnknownLengthError("it has too many elements")


def _number(head: bytes) -> tuple[int | None, int]:
    """Return a number of variable width, None = not known, and its width in bytes, 0 = there is none."""
    width = 9 - head[0].bit_length() if head and head[0] else 0
    if not width or len(head) < width:
        return None, 0
    value = int.from_bytes(head[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width
