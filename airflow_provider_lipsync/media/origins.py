"""Where the bytes of one file come from: ranges of it, by http(s), from an object storage or from a disk.

No error holds more of a URL than its showable part, and none is chained to a library's own, which may hold the rest.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, assert_never

import httpx

from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncMediaUnavailable
from airflow_provider_lipsync.media.places import is_definite, words
from airflow_provider_lipsync.media.sources import LocalSource, ObjectSource, Source, WebSource
from airflow_provider_lipsync.media.web import LEAST_AT_ONCE, AddressRefused, RedirectRefused, Web

__all__ = ["BudgetSpent", "FileChanged", "Origin", "RangeFault", "origin_of"]

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_WAITS = (0.5, 2.0)  # seconds before a range is asked for again; a server that is down for longer is one
_PASSING = (408, 425, 429)  # of the 4xx: may answer otherwise a moment later
_NOT_ENCODED = ("", "identity", "aws-chunked")  # the last is how S3 was written to: some storages repeat it
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_BEHIND_THE_END = re.compile(r"bytes \*/(\d+)")


class RangeFault(OSError):
    """Bytes of a file that cannot be had.

    :param may_pass: whether another try, later, may have more luck.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class BudgetSpent(RangeFault):
    """What is asked for cannot be had without more bytes than may be transferred."""


class FileChanged(RangeFault):
    """The file is another one than it was when it was first read."""

    def __init__(self, message: str) -> None:
        super().__init__(message, may_pass=True)


class Origin(Protocol):
    """Gives ranges of one file."""

    def open(self, first: int) -> tuple[int | None, bytes]:
        """Return the file's size in bytes, None = not told, and at least its first byte if it has any.

        :param first: bytes that are wanted.
        """

    def read(self, start: int, end: int) -> bytes:
        """Return these bytes; fewer where the file ends."""

    def verify_unchanged(self) -> None:
        """Raise :class:`FileChanged` where the file is not the one that was opened, as far as that can be seen."""

    def close(self) -> None:
        """Let go of it."""


def origin_of(source: Source, *, web: Web, afford: Callable[[int], None], count: Callable[[int], None]) -> Origin:
    """Return where a source's bytes come from; nothing is asked for yet.

    :param afford: asked before bytes come; raises where so many more are too many, 0 = any, or it takes too long.
    :param count: told of the bytes that came.
    """
    match source:
        case WebSource():
            return _Answers(source, web, afford, count)
        case ObjectSource():
            return _Objects(source, afford, count)
        case LocalSource():
            return _Disk(source, afford, count)
        case _:
            assert_never(source)


class _Answers:
    """A web server, which may know ranges or send all of the file from its beginning."""

    def __init__(
        self, source: WebSource, web: Web, afford: Callable[[int], None], count: Callable[[int], None]
    ) -> None:
        self._source, self._web, self._afford, self._count = source, web, afford, count
        self._size: int | None = None
        self._marks: dict[str, str] | None = None
        self._beginning: _Beginning | None = None

    def open(self, first: int) -> tuple[int | None, bytes]:
        head = self.read(0, first)
        return self._size, head

    def read(self, start: int, end: int) -> bytes:
        came = b""
        while self._beginning is None and start + len(came) < end:
            part = self._try(start + len(came), end)
            if not part:
                break
            came += part
        return came if self._beginning is None else self._beginning.read(start, end)

    def verify_unchanged(self) -> None:
        """Nothing to do: each answer was compared with the first."""

    def close(self) -> None:
        if self._beginning is not None:
            self._beginning.close()

    def _try(self, start: int, end: int) -> bytes:
        """Ask for a range, and again, and once more, where that may help."""
        for wait in _WAITS:
            self._afford(end - start)
            try:
                return self._ask(start, end)
            except RangeFault as fault:
                if not fault.may_pass or isinstance(fault, FileChanged):
                    raise
            time.sleep(wait)
        self._afford(end - start)
        return self._ask(start, end)

    def _ask(self, start: int, end: int) -> bytes:
        """Return a range or its beginning; nothing behind the end, or where the server sends the whole file instead."""
        headers = {"Range": f"bytes={start}-{end - 1}"}
        with contextlib.ExitStack() as stack:
            try:
                got = self._web.get(self._source.url, headers=headers, timeout=_TIMEOUT, at_once=LEAST_AT_ONCE)
                answer = stack.enter_context(got)
            except (httpx.TransportError, AddressRefused, RedirectRefused) as error:
                raise self._fault(words(error), may_pass=isinstance(error, httpx.TransportError)) from None
            return self._understand(answer, start, end, stack)

    def _understand(self, answer: httpx.Response, start: int, end: int, stack: contextlib.ExitStack) -> bytes:
        status, headers = answer.status_code, answer.headers
        if status == 416 and (behind := _BEHIND_THE_END.fullmatch(headers.get("content-range", ""))):
            self._keep(int(behind[1]), {})
            return b""
        if status not in (200, 206):
            raise self._fault(f"it answered {status}", may_pass=status >= 500 or status in _PASSING)
        if (encoding := headers.get("content-encoding", "").strip().lower()) not in _NOT_ENCODED:
            raise self._fault(f"it sends the file encoded ({encoding[:40]!r}), which was not asked for")
        if status == 206:
            return self._part(answer, start, end)
        told = headers.get("content-length", "")
        length = int(told) if told.isdecimal() else None
        self._keep(length, _marks_of(headers))
        self._beginning = _Beginning(self._whole(answer, length), self._afford, stack.pop_all())
        return b""

    def _part(self, answer: httpx.Response, start: int, end: int) -> bytes:
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if not found or int(found[1]) != start:
            raise self._fault("it sends other bytes than those that were asked for")
        self._keep(int(found[3]) if found[3] != "*" else None, _marks_of(answer.headers))
        wanted, came = min(end, int(found[2]) + 1) - start, bytearray()
        for chunk in self._chunks(answer):
            came += chunk
            if len(came) >= wanted:  # what a server sends beyond that stays unread
                return bytes(came[:wanted])
        raise self._fault(f"it broke off after {len(came)} of {wanted} bytes", may_pass=True)

    def _whole(self, answer: httpx.Response, length: int | None) -> Iterator[bytes]:
        """Yield the body of a server that sends all there is: no read is begun that may bring more than is left.

        :param length: of it in bytes; None = not told.
        """
        chunks, came = self._chunks(answer), 0
        while True:
            self._afford(LEAST_AT_ONCE if length is None else min(LEAST_AT_ONCE, length - came))
            chunk = next(chunks, b"")
            if not chunk:
                return
            came += len(chunk)
            yield chunk

    def _chunks(self, answer: httpx.Response) -> Iterator[bytes]:
        chunks = answer.iter_raw()
        while True:
            self._afford(0)
            try:
                chunk = next(chunks, b"")
            except httpx.TransportError as error:
                raise self._fault(words(error), may_pass=True) from None
            if not chunk:
                return
            self._count(len(chunk))
            yield chunk

    def _keep(self, size: int | None, marks: dict[str, str]) -> None:
        """Remember what the first answer said of the file; a later one must not say otherwise."""
        if self._marks is None:
            self._marks = marks
        if self._size is None:
            self._size = size
        other_size = size is not None and size != self._size
        if other_size or any(marks.get(name, told) != told for name, told in self._marks.items()):
            raise FileChanged(f"{self._source.shown} changes while it is read")

    def _fault(self, what: str, *, may_pass: bool = False) -> RangeFault:
        return RangeFault(f"{self._source.shown} cannot be read: {what}", may_pass=may_pass)


class _Beginning:
    """The body of a server that knows no ranges: what came of it is kept, what lies further costs all before it."""

    def __init__(self, chunks: Iterator[bytes], afford: Callable[[int], None], stack: contextlib.ExitStack) -> None:
        self._chunks, self._afford, self._stack = chunks, afford, stack
        self._came = bytearray()
        self._is_whole = False

    def read(self, start: int, end: int) -> bytes:
        if not self._is_whole and len(self._came) < end:
            self._afford(end - len(self._came))
        while not self._is_whole and len(self._came) < end:
            chunk = next(self._chunks, b"")
            self._is_whole = not chunk
            self._came += chunk
        return bytes(self._came[start:end])

    def close(self) -> None:
        """Hang up: the rest is not drained."""
        self._stack.close()


class _Objects:
    """An object storage that Airflow knows."""

    def __init__(self, source: ObjectSource, afford: Callable[[int], None], count: Callable[[int], None]) -> None:
        self._source, self._afford, self._count = source, afford, count
        self._mark = ""

    def open(self, first: int) -> tuple[int | None, bytes]:
        try:
            size, self._mark = self._source.size_and_identity()
        except LipsyncError as error:
            raise _told(error) from None
        return size, self.read(0, min(first, size))

    def read(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        self._afford(end - start)
        try:
            came = bytes(self._source.path.fs.cat_file(self._source.path.path, start=start, end=end))
        except LipsyncError as error:
            raise _told(error) from None
        except Exception as error:  # noqa: BLE001 - each storage has errors of its own
            message = f"{self._source.shown} cannot be read: {words(error)}"
            raise RangeFault(message, may_pass=not is_definite(error)) from None
        self._count(len(came))
        return came

    def verify_unchanged(self) -> None:
        try:
            mark = self._source.identity()
        except LipsyncError as error:
            raise _told(error) from None
        if mark != self._mark:
            raise FileChanged(f"{self._source.shown} changes while it is read")

    def close(self) -> None:
        """Nothing is held."""


class _Disk:
    """A file of this machine."""

    def __init__(self, source: LocalSource, afford: Callable[[int], None], count: Callable[[int], None]) -> None:
        self._source, self._afford, self._count = source, afford, count
        self._file: int | None = None
        self._marks: tuple[int, ...] = ()

    def open(self, first: int) -> tuple[int | None, bytes]:
        try:
            self._source.look()  # refuses what is no regular file: a pipe would be read for ever
            self._file = os.open(self._source.path, os.O_RDONLY | os.O_CLOEXEC)
            self._marks = self._now()
        except LipsyncError as error:
            raise _told(error) from None
        except OSError as error:
            raise self._fault(error) from None
        return self._marks[0], self.read(0, first)

    def read(self, start: int, end: int) -> bytes:
        if self._file is None:
            raise ValueError("read before it was opened, or after it was closed")
        if start >= end:
            return b""
        self._afford(min(end, self._marks[0]) - start)
        try:
            came = os.pread(self._file, end - start, start)
        except OSError as error:
            raise self._fault(error) from None
        self._count(len(came))
        return came

    def verify_unchanged(self) -> None:
        if self._file is not None and self._now() != self._marks:
            raise FileChanged(f"{self._source.shown} changes while it is read")

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _now(self) -> tuple[int, ...]:
        found = os.stat(self._file if self._file is not None else self._source.path)
        return found.st_size, found.st_mtime_ns, found.st_ino

    def _fault(self, error: OSError) -> RangeFault:
        return RangeFault(f"{self._source.shown} cannot be read: {error.strerror}")


def _told(error: LipsyncError) -> RangeFault:
    return RangeFault(error.message, may_pass=isinstance(error, LipsyncMediaUnavailable))


def _marks_of(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("etag", "last-modified") if name in headers}
