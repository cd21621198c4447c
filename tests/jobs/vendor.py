"""A vendor over real HTTP in the loop of the test: it counts looks and connections, and takes the keys it is told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from types import TracebackType
from typing import Self

from tests.support.vendor import KEY

__all__ = ["LiveVendor"]


class LiveVendor:
    """``async with LiveVendor() as vendor``: jobs go on until they are in ``ended``; ``words`` has odd statuses."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.words: dict[str, str] = {}
        self.keys = {KEY}
        self.looks: Counter[str] = Counter()
        self.refused = 0
        self.open = self.most_open = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.none_open = asyncio.Event()
        self.none_open.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/api/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self.none_open.wait()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.none_open.clear()
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                status, body = self._answer(head.decode())
                writer.write(f"HTTP/1.1 {status} Live\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body.encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)
            self.open -= 1
            if not self.open:
                self.none_open.set()

    def _answer(self, head: str) -> tuple[int, str]:
        assert head.startswith("GET ")
        key = head.partition("Bearer ")[2].partition("\r\n")[0]
        if key not in self.keys:
            self.refused += 1
            return 401, '{"error": "bad key"}'
        job_id = head.split()[1].rpartition("/")[2]
        self.looks[job_id] += 1
        status = "completed" if job_id in self.ended else self.words.get(job_id, "processing")
        return 200, json.dumps({"id": job_id, "status": status})
