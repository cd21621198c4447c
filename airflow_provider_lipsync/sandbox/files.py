"""Files over HTTP: Range, ETag, If-Range, If-None-Match and HEAD, after RFC 9110.

Not Starlette's ``FileResponse``: it knows no If-None-Match, answers 400 to a Range that the RFC says to ignore, and
has changed between versions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import lru_cache
from pathlib import Path

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

__all__ = [
    "NotedResponse",
    "RangeNotSatisfiableError",
    "build_file_response",
    "ends_at_last_byte",
    "parse_range",
    "starts_at_first_byte",
]

_CHUNK_BYTES = 64 * 1024
_ONE_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


class RangeNotSatisfiableError(Exception):
    """A well-formed Range that lies outside the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last that a Range header asks for.

    :param header: its value; None = there is none.
    :param size: of the file, in bytes.
    :return: None = the whole file, which is also the right answer to several ranges and to a malformed header.
    :raises RangeNotSatisfiableError: the file has no such bytes.
    """
    match = _ONE_RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, stop = max(0, size - int(last)), size
    elif last != "" and int(last) < int(first):
        return None
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
    if start >= stop:
        raise RangeNotSatisfiableError
    return start, stop


async def build_file_response(request: Request, path: Path, media_type: str) -> Response:
    """Return the answer to a GET or HEAD of a file that changes no more."""
    content = anyio.Path(path)
    found = await content.stat()
    size = found.st_size
    etag = await anyio.to_thread.run_sync(_etag, path, size, found.st_mtime_ns)
    headers = {"accept-ranges": "bytes", "etag": etag, "content-type": media_type}
    if _holds_tag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers={"etag": etag})
    try:
        wanted = parse_range(_usable_range(request, etag), size)
    except RangeNotSatisfiableError:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    start, stop = wanted or (0, size)
    headers["content-length"] = str(stop - start)
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 200 if wanted is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return _StreamedFile(_read(path, start, stop), status_code=status, headers=headers)


def starts_at_first_byte(response: Response) -> bool:
    """Whether an answer begins a download: the whole file, or a range from byte 0."""
    return response.status_code == 200 or response.headers.get("content-range", "").startswith("bytes 0-")


def ends_at_last_byte(response: Response) -> bool:
    """Whether an answer ends a download: the whole file, or a range to its last byte."""
    place, _, size = response.headers.get("content-range", "").partition("/")
    return response.status_code == 200 or (response.status_code == 206 and place.endswith(f"-{int(size) - 1}"))


class NotedResponse(Response):
    """An answer that tells when the last byte of its body has been sent.

    :param response: what is sent.
    :param size: of its body, in bytes.
    :param note: called then.
    """

    def __init__(self, response: Response, size: int, note: Callable[[], object]) -> None:
        super().__init__()
        self._response = response
        self._left = size
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as ASGI has it."""

        async def send_and_note(message: Message) -> None:
            await send(message)
            self._left -= len(message.get("body", b""))
            if self._left <= 0 and message["type"] == "http.response.body":
                self._note()

        await self._response(scope, receive, send_and_note)


class _StreamedFile(StreamingResponse):
    """A streamed answer that closes its file also where the client hangs up in the middle."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], *, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(chunks, status_code=status_code, headers=headers)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks):
            await super().__call__(scope, receive, send)


def _usable_range(request: Request, etag: str) -> str | None:
    condition = request.headers.get("if-range", etag)
    return request.headers.get("range") if request.method == "GET" and condition == etag else None


def _holds_tag(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return "*" in tags or etag in tags


@lru_cache(maxsize=256)
def _etag(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return f'"{hashlib.file_digest(file, "sha256").hexdigest()[:32]}"'


async def _read(path: Path, start: int, stop: int) -> AsyncGenerator[bytes, None]:
    with await anyio.to_thread.run_sync(path.open, "rb") as file:  # not `async with`: cancelled, it would not close
        file.seek(start)
        while start < stop and (chunk := await anyio.to_thread.run_sync(file.read, min(_CHUNK_BYTES, stop - start))):
            start += len(chunk)
            yield chunk
