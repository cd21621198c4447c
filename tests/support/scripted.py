"""A server that answers as it is told, byte by byte, over a real socket: for all that a good server never does."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["ScriptedServer", "answer", "drop", "json_answer", "scripted"]

Step = Callable[[socket.socket], None]


def answer(
    status: int, body: bytes | str = b"", *, headers: dict[str, str] | None = None, length: int | None = None
) -> Step:
    """Answer with this body; ``length`` lies about it."""
    content = body.encode() if isinstance(body, str) else body
    lines = {"Content-Length": str(len(content) if length is None else length), "Connection": "close"} | (headers or {})
    head = f"HTTP/1.1 {status} Scripted\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    def step(connection: socket.socket) -> None:
        connection.sendall(head.encode() + b"\r\n" + content)

    return step


def json_answer(status: int, body: object, *, headers: dict[str, str] | None = None) -> Step:
    """Answer with JSON."""
    return answer(status, json.dumps(body), headers={"Content-Type": "application/json"} | (headers or {}))


def drop(connection: socket.socket) -> None:
    """Take the request and hang up."""


@dataclass
class ScriptedServer:
    """Plays one step per connection, the last one for ever; remembers what was sent to it."""

    steps: list[Step]
    requests: list[bytes] = field(default_factory=list)
    url: str = ""

    def serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    self._play(connection)

    def _play(self, connection: socket.socket) -> None:
        request = _read_request(connection)
        if not request:
            return
        step = self.steps[min(len(self.requests), len(self.steps) - 1)]
        self.requests.append(request)
        with contextlib.suppress(OSError):
            step(connection)


def _read_request(connection: socket.socket) -> bytes:
    came = b""
    with contextlib.suppress(OSError):
        while b"\r\n\r\n" not in came:
            chunk = connection.recv(65536)
            if not chunk:
                return b""
            came += chunk
            if came.startswith(b"\x16"):  # somebody wants to speak TLS
                return came
        head, _, body = came.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        is_chunked = b"\r\ntransfer-encoding: chunked" in head.lower()
        while len(body) < sum(lengths) or (is_chunked and not body.endswith(b"0\r\n\r\n")):
            chunk = connection.recv(65536)
            if not chunk:
                break
            body += chunk
        return head + b"\r\n\r\n" + body
    return b""


@contextlib.contextmanager
def scripted(*steps: Step) -> Iterator[ScriptedServer]:
    """Serve these steps on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ScriptedServer(list(steps), url=f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1")
        thread = threading.Thread(target=server.serve, args=(listener,))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(timeout=10)
            assert not thread.is_alive()
