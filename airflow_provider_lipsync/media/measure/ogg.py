"""Ogg that is too large to be read whole (RFC 3533): its pages count samples, and the last one has the last count."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from airflow_provider_lipsync.media.measure.words import UnknownLengthError
from airflow_provider_lipsync.media.ranged import RangedFile

__all__ = ["ogg_seconds"]

_MARK = b"OggS\x00"
_NO_COUNT = (1 << 64) - 1  # of a page on which no packet ends
_MOST_HEAD = 27 + 255  # bytes of a page's head
_REACH = 66 * 1024  # bytes in which a page begins, and its head ends: no page is longer
_PLACES = 6  # that are looked at for parts of their own
_BEGINS = 2  # flag of the first page of a stream
_OPUS_HERTZ = 48_000  # whatever it was made from
_MOST_STREAMS = 32


@dataclass(frozen=True)
class _Page:
    flags: int
    count: int
    stream: int
    content: int  # where it starts
    end: int


def ogg_seconds(file: RangedFile) -> float:
    """Return the length of the first stream of sound, in seconds.

    :raises UnknownLengthError: it has none, or is made of several parts after one another.
    """
    sound, behind = _first_sound(file)
    counts: dict[int, int] = {}
    step = file.size // (_PLACES + 1)
    for place in range(_PLACES):
        counts |= _counts(file, (place + 1) * step, _REACH, sound.stream, behind)
    last = _counts(file, max(0, file.size - 2 * _REACH), 2 * _REACH, sound.stream, behind)
    if not last:
        raise UnknownLengthError("its last pages are of another stream: it is made of several parts")
    in_order = [count for _, count in sorted((counts | last).items())]
    if in_order != sorted(in_order):
        raise UnknownLengthError("it is made of several parts")
    return float(Fraction(max(0, in_order[-1] - sound.skipped), sound.hertz))


@dataclass(frozen=True)
class _Sound:
    """A stream of sound: its number, its samples a second, and those at its beginning that are not heard."""

    stream: int
    hertz: int
    skipped: int = 0


def _first_sound(file: RangedFile) -> tuple[_Sound, int]:
    """Return the first stream of sound, and where the heads of all streams end."""
    at, found = 0, None
    for _ in range(_MOST_STREAMS):
        page = _page(file.at(at, _MOST_HEAD), at)
        if page is None or not page.flags & _BEGINS:
            break
        found = found or _sound(file.at(page.content, 64), page.stream)
        at = page.end
    if found is None:
        raise UnknownLengthError("it holds no sound that is known here")
    return found, at


def _sound(head: bytes, stream: int) -> _Sound | None:
    if head.startswith(b"\x01vorbis"):
        return _Sound(stream, int.from_bytes(head[12:16], "little") or 1)
    if head.startswith(b"OpusHead"):
        return _Sound(stream, _OPUS_HERTZ, int.from_bytes(head[10:12], "little"))
    if head.startswith(b"\x7fFLAC"):
        return _Sound(stream, int.from_bytes(head[27:30], "big") >> 4 or 1)
    if head.startswith(b"Speex   "):
        return _Sound(stream, int.from_bytes(head[36:40], "little") or 1)
    return None


def _counts(file: RangedFile, start: int, reach: int, stream: int, behind: int) -> dict[int, int]:
    """Return the counts of a stream's pages in some part of the file, by where they start.

    :param behind: where no stream may begin any more.
    :raises UnknownLengthError: one does.
    """
    area = file.at(start, reach)
    counts, at = {}, area.find(_MARK)
    while at >= 0:
        page = _page(area[at : at + _MOST_HEAD], start + at)
        if page is not None and start + at >= behind and page.flags & _BEGINS:
            raise UnknownLengthError("it is made of several parts")
        if page is not None and page.stream == stream and page.count != _NO_COUNT:
            counts[start + at] = page.count
        at = area.find(_MARK, at + 1)
    return counts


def _page(head: bytes, at: int) -> _Page | None:
    """Return the page that begins there; None where none does."""
    if len(head) < 27 or not head.startswith(_MARK):
        return None
    segments = head[26]
    size = sum(head[27 : 27 + segments])
    count, stream = int.from_bytes(head[6:14], "little"), int.from_bytes(head[14:18], "little")
    content = at + 27 + segments
    return _Page(head[5], count, stream, content, content + size)
