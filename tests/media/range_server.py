"""A web server with one file, sparse ones of a gigabyte too, that answers ranges, counts what left it, and may lie."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["RangeServer", "range_server"]


@dataclass
class RangeServer:
    """What it is and does may be changed at any time, also by ``on_request``, which is called with each one's number.

    :param content: bytes, or a file of them.
    :param statuses: for each request in turn what it answers; 0 = as usual.
    :param cut: bytes of a body after which it hangs up; None = it does not.
    :param pause: seconds before each piece of a body.
    :param piece: bytes of a body that are sent at once.
    """

    content: bytes | Path = b""
    etag: str | None = '"v1"'
    knows_ranges: bool = True
    tells_length: bool = True
    tells_total: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    cut: int | None = None
    most: int = 10**12
    shift: int = 0
    pause: float = 0.0
    piece: int = 64 * 1024
    on_request: Callable[[int], None] = lambda number: None
    ranges: list[str | None] = field(default_factory=list)
    body_bytes: int = 0
    url: str = ""

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def read(self, start: int, end: int) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            for at in range(start, end, self.piece):
                yield self.content[at : min(end, at + self.piece)]
            return
        with self.content.open("rb") as file:
            file.seek(start)
            while start < end and (piece := file.read(min(self.piece, end - start))):
                start += len(piece)
                yield piece


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: RangeServer

    def do_GET(self) -> None:
        served = self.served
        asked = self.headers["Range"]
        served.ranges.append(asked)
        served.on_request(len(served.ranges))
        if status := served.statuses.pop(0) if served.statuses else 0:
            self._begin(status, 4, {})
            self._send(iter((b"Sorr",)))
            return
        size = served.size
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "") if served.knows_ranges else None
        if found is None:
            self._begin(200, size if served.tells_length else None, {})
            self._send(served.read(0, size))
            return
        start, end = int(found[1]) + served.shift, min(int(found[2]) + 1, size, int(found[1]) + served.most)
        total = size if served.tells_total else "*"
        if start >= size:
            self._begin(416, 0, {"Content-Range": f"bytes */{size}"})
            return
        self._begin(206, end - start, {"Content-Range": f"bytes {start}-{end - 1}/{total}"})
        self._send(served.read(start, end))

    def _begin(self, status: int, length: int | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        told = {} if self.served.etag is None else {"ETag": self.served.etag}
        told |= {"Connection": "close"} if length is None else {"Content-Length": str(length)}
        for name, value in (told | headers | self.served.headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, pieces: Iterator[bytes]) -> None:
        sent = 0
        for piece in pieces:
            time.sleep(self.served.pause)
            part = piece if self.served.cut is None else piece[: max(0, self.served.cut - sent)]
            sent += len(part)
            self.served.body_bytes += len(part)  # before they leave: who asked must not be quicker than the count
            try:
                self.wfile.write(part)
            except OSError:  # hung up on
                self.close_connection = True
                return
            if len(part) < len(piece):
                self.close_connection = True
                return

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no error here."""


@contextmanager
def range_server(served: RangeServer) -> Iterator[RangeServer]:
    """Serve on a free loopback port."""
    handler = type("_Served", (_Handler,), {"served": served})
    with _Server(("127.0.0.1", 0), handler) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}/clip.mp4?X-Amz-Signature=SECRET"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            with contextlib.suppress(OSError):
                server.shutdown()
            thread.join(timeout=10)
            assert not thread.is_alive()
