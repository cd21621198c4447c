"""A web server with one video, that may cut its answers anywhere, lie about them and change them in between."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_provider_lipsync.media.web import Web

__all__ = ["MP4", "VideoServer", "boxed", "open_web", "video_server"]


def boxed(size: int, filling: bytes = bytes(range(256))) -> bytes:
    """An MP4 of two boxes, of this many bytes in all."""
    head = b"\x00\x00\x00\x10ftypmp42\x00\x00\x00\x00"
    inner = size - len(head) - 8
    return head + (inner + 8).to_bytes(4, "big") + b"mdat" + (filling * (inner // len(filling) + 1))[:inner]


MP4 = boxed(200)


@dataclass
class VideoServer:
    """What it is and does may be changed at any time, also by ``on_request``, which is called with each one's number.

    :param cuts: for each request in turn the bytes of the body after which it hangs up; None = none; below zero that
        many bytes before the end of the head.
    :param most: bytes that it gives at once for a range.
    :param statuses: for each request in turn what it answers; 0 = as usual.
    """

    content: bytes = MP4
    etag: str | None = '"v1"'
    headers: dict[str, str] = field(default_factory=dict)
    knows_ranges: bool = True
    obeys_if_range: bool = True
    promised: int | None = None
    most: int = 10**9
    promises: bool = True
    statuses: list[int] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    on_request: Callable[[int], None] = lambda number: None
    on_half: Callable[[], None] | None = None
    requests: list[str] = field(default_factory=list)
    body_bytes: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.statuses, self.cuts = self.statuses[:], self.cuts[:]

    def asked(self, name: str) -> list[str | None]:
        """What each request said in a header."""
        found = [re.search(rf"(?im)^{name}: (.*?)\r$", request) for request in self.requests]
        return [match[1] if match else None for match in found]

    def serve(self, connection: socket.socket) -> None:
        came = b""
        while not came.endswith(b"\r\n\r\n"):
            chunk = connection.recv(65536)
            if not chunk:
                return
            came += chunk
        self.requests.append(came.decode())
        self.on_request(len(self.requests))
        head, body = self._answer()
        cut = self.cuts.pop(0) if self.cuts else None
        whole = head + body
        if not head.startswith(b"HTTP/1.1 4"):
            self.body_bytes += max(0, len(body) if cut is None else min(len(body), cut))
        if self.on_half:
            half = len(head) + len(body) // 2
            connection.sendall(whole[:half])
            self.on_half()
            whole = whole[half:]
        connection.sendall(whole if cut is None else whole[: max(0, len(head) + cut)])

    def _answer(self) -> tuple[bytes, bytes]:
        if status := self.statuses.pop(0) if self.statuses else 0:
            return _head(status, {"Content-Length": "4"}), b"Sorry"[:4]
        start = self._start()
        size = self.promised if self.promised is not None else len(self.content)
        headers = {"Content-Type": "video/mp4"} | ({"ETag": self.etag} if self.etag else {}) | self.headers
        if start and start >= size:
            return _head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"}), b""
        end = min(size, start + self.most) if start else size
        if self.promises:
            headers |= {"Content-Length": str(end - start)}
        if start:
            headers = {"Content-Range": f"bytes {start}-{end - 1}/{size}"} | headers
        return _head(206 if start else 200, headers), self.content[start : None if end == size else end]

    def _start(self) -> int:
        asked, tied = self.asked("range")[-1], self.asked("if-range")[-1]
        if not (asked and self.knows_ranges):
            return 0
        if tied and self.obeys_if_range and tied not in (self.etag, self.headers.get("Last-Modified")):
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}Connection: close\r\n\r\n".encode()


@contextmanager
def video_server(server: VideoServer | None = None) -> Iterator[VideoServer]:
    """Serve on a free loopback port."""
    server = server or VideoServer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}/result.mp4?sig=secret"

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(10)
                        server.serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(timeout=10)
            assert not thread.is_alive()


def open_web() -> Web:
    """The web as far as a test needs it: its servers are private ones."""
    return Web(may_be_private=lambda: True)
