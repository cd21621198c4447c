"""A file that is read by ranges, wherever it stands: what is not looked at is not transferred, and what is, is counted.

For what reads indexes and tails of large media: a length before a purchase, a poster frame.
"""

from __future__ import annotations

import io
import os
import time
from collections import OrderedDict
from typing import Any

from airflow_provider_lipsync.media.origins import BudgetSpent, FileChanged, RangeFault, origin_of
from airflow_provider_lipsync.media.sources import Source
from airflow_provider_lipsync.media.web import Web

__all__ = ["BudgetSpent", "FileChanged", "RangeFault", "RangedFile"]

_LARGEST_BLOCK = 64 * 1024  # bytes: what a look into a box of an index mostly needs, and no server minds
_SMALLEST_BLOCK = 4 * 1024
_BLOCKS_IN_A_BUDGET = 16  # at least: so many places can be looked at
_KEPT = 32  # blocks in memory
_MOST_AHEAD = 8  # blocks that one request fetches, where the file is read on and on
_SECONDS = 60.0


class RangedFile(io.RawIOBase):
    """Reads a source by ranges, in blocks of which some are kept; to be closed.

    Where a web server ignores ranges, only the beginning of the file can be had, as far as the budget reaches.
    Everything raises :class:`RangeFault`, an ``OSError``, where bytes cannot be had: the server or storage refuses or
    breaks off, :class:`FileChanged` where it gives another file than before, :class:`BudgetSpent` where it would cost
    too much. No message holds a signature.

    :param source: what to read.
    :param web: what fetches http(s) URLs.
    :param budget: bytes that may be read at most; no read is begun that may bring more.
    :param seconds: from the first look, after which nothing more is fetched.
    """

    def __init__(self, source: Source, *, web: Web, budget: int, seconds: float = _SECONDS) -> None:
        super().__init__()
        self.bytes_read = 0  # that really came
        self._budget, self._seconds = budget, seconds
        self._deadline: float | None = None
        self._origin = origin_of(source, web=web, afford=self._afford, count=self._count)
        self._shown = source.shown
        self._block = max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, budget // _BLOCKS_IN_A_BUDGET))
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._size: int | None = None
        self._is_open = False
        self._at = 0
        self._next, self._ahead = -1, 1

    @property
    def size(self) -> int:
        """Bytes of the whole file; where a server does not tell, it is read to its end."""
        self._open()
        known = 0
        while self._size is None:
            came = len(self._origin.read(known, known + self._block))
            known += came
            if came < self._block:
                self._size = known
        return self._size

    @property
    def left(self) -> int:
        """Bytes that may still be transferred."""
        return max(0, self._budget - self.bytes_read)

    def at(self, start: int, count: int) -> bytes:
        """Return so many bytes from there on; fewer where the file ends, or nothing for a place outside of it."""
        end = min(start + count, self.size)
        self._check_time()
        parts = []
        while 0 <= start < end:
            part = self._piece(start, end)
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def verify_unchanged(self) -> None:
        """Make sure that all that was read is of one file, as far as its storage tells.

        :raises FileChanged: it is not.
        """
        if self._is_open:
            self._origin.verify_unchanged()

    def readinto(self, buffer: Any) -> int:
        """Read some of the next bytes, at least one unless the file ends."""
        view = memoryview(buffer).cast("B")
        end = min(self._at + len(view), self.size)
        if self._at >= end:
            return 0
        piece = self._piece(self._at, end)
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, which may lie behind the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        target = offset + (self.size if base is None else base)
        if target < 0:
            raise ValueError(f"a place before the beginning: {target}")
        self._at = target
        return target

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Let go of connections and blocks."""
        if not self.closed:
            self._origin.close()
            self._blocks.clear()
        super().close()

    def _open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")
        if self._is_open:
            return
        self._deadline = time.monotonic() + self._seconds
        first = min(self._block, self._budget)
        self._size, head = self._origin.open(first)
        self._is_open = True
        if len(head) == self._block or len(head) == self._size:
            self._blocks[0], self._next = head, 1

    def _piece(self, start: int, end: int) -> bytes:
        """Return bytes of one block, from the first that is wanted to the last that is wanted and in it."""
        number = start // self._block
        if number not in self._blocks:
            self._load(number, last=(end - 1) // self._block)
        self._blocks.move_to_end(number)
        within = start - number * self._block
        return self._blocks[number][within : within + end - start]

    def _load(self, number: int, last: int) -> None:
        """Fetch a block, and some of the next ones if they are wanted, or the file is read on and on."""
        self._ahead = min(2 * self._ahead, _MOST_AHEAD) if number == self._next else 1
        size, left = self.size, self._budget - self.bytes_read
        wanted = max(self._ahead, min(last - number + 1, _KEPT // 2))
        while wanted > 1 and self._length(number, wanted, size) > left:
            wanted -= 1
        came = self._fetch(number * self._block, min((number + wanted) * self._block, size))
        for place in range(wanted):
            piece = came[place * self._block : (place + 1) * self._block]
            if piece:
                self._blocks[number + place] = piece
                self._blocks.move_to_end(number + place)
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        self._next = number + wanted

    def _length(self, number: int, count: int, size: int) -> int:
        return min((number + count) * self._block, size) - number * self._block

    def _fetch(self, start: int, end: int) -> bytes:
        came = self._origin.read(start, end)
        if len(came) < end - start:
            raise FileChanged(f"{self._shown} is shorter than it was")
        return came

    def _afford(self, count: int) -> None:
        if self.bytes_read + count > self._budget or (count == 0 and self.bytes_read >= self._budget):
            raise BudgetSpent(f"{self._shown}: more than {self._budget} bytes of it would have to be read")
        self._check_time()

    def _check_time(self) -> None:
        """Stop what takes too long, be it the server or whoever reads on and on in what is here."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise RangeFault(f"{self._shown} takes longer than {self._seconds:g} s to read", may_pass=True)

    def _count(self, count: int) -> None:
        self.bytes_read += count
