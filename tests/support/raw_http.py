"""HTTP/1.1 byte by byte over kept-alive connections: what no client would send, and many times a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

__all__ = ["Answer", "Line", "write_request"]

_PATIENCE = 30.0  # seconds for one answer
_CHANGING = {"date"}  # headers that differ between answers which are the same


@dataclass(frozen=True)
class Answer:
    """What came back. Two that nobody can tell from each other are equal.

    :param headers: with their names in lower case, in the order of the answer, but for the time.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def write_request(
    method: str, target: str, body: bytes = b"", *, host: str, headers: dict[str, str] | None = None
) -> bytes:
    """Return a request as it goes over the wire; its length is told unless `headers` tell another."""
    named = {"Host": host, "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items() if value is not None)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Line:
    """`async with Line(host, port) as line:` one connection, opened again when the server closes it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.opened = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up()

    async def ask(self, request: bytes) -> Answer | None:
        """Send a request and return its answer; None = the connection was closed without one."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
            self.opened += 1
        reader, writer = self._streams
        try:
            async with asyncio.timeout(_PATIENCE):
                writer.write(request)  # not drained: who refuses a body need not read it
                answer = await _read(reader, has_body=not request.startswith(b"HEAD "))
        except (ConnectionError, asyncio.IncompleteReadError):
            self._hang_up()
            return None
        if dict(answer.headers).get("connection") == "close":
            self._hang_up()
        return answer

    def _hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def _read(reader: asyncio.StreamReader, *, has_body: bool) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    headers = tuple((name, value) for name, value in headers if name not in _CHANGING)
    length = int(dict(headers).get("content-length", 0))
    body = await reader.readexactly(length) if has_body else b""
    return Answer(int(first.split(" ")[1]), headers, body)
