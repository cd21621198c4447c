"""HTTP's conditions and ranges (RFC 9110, 13 and 14): which bytes of a file an answer gives. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Span", "UnsatisfiableRange", "is_known", "span_of"]

_MOST_DIGITS = 18


class UnsatisfiableRange(ValueError):
    """A range that begins behind the end of the file: 416."""


@dataclass(frozen=True)
class Span:
    """Bytes of a file, from ``start`` up to before ``end``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many they are."""
        return self.end - self.start


def span_of(header: str | None, *, size: int, etag: str, if_range: str | None) -> Span | None:
    """Return which bytes are asked for; None = all of them.

    A header that cannot be understood counts as none, as the RFC has it; so do several ranges at once, which no player
    asks for, and a range of another version of the file.

    :param header: ``Range``.
    :param size: bytes of the file.
    :param etag: of the file, in quotes.
    :param if_range: ``If-Range``.
    :raises UnsatisfiableRange: the range begins behind the end.
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    found = re.fullmatch(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", header, flags=re.ASCII | re.IGNORECASE)
    if found is None or max(map(len, found.groups())) > _MOST_DIGITS or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return _last_bytes(int(last), size)
    start, end = int(first), min(size, int(last) + 1) if last else size
    if last and int(last) < int(first):
        return None
    if start >= size:
        raise UnsatisfiableRange
    return Span(start, end)


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the browser has this very version already (``If-None-Match``)."""
    if if_none_match is None:
        return False
    held = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return etag in held or "*" in held


def _last_bytes(count: int, size: int) -> Span:
    if count == 0:
        raise UnsatisfiableRange
    return Span(max(0, size - count), size)
