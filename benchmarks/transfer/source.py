"""A web server that is faster than its clients: one video in memory, given out by sendfile, with ETag and Range.

``/cut/<n>`` hangs up after n bytes, once the video is asked for from its first byte; ``/sent`` tells how many bytes of
it went out so far.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading

__all__ = ["main"]

_HEAD = b"\x00\x00\x00\x10ftypmp42\x00\x00\x00\x00"  # a box of its own, as an MP4 begins
_LAST = b"\x00\x00\x00\x00mdat"  # a box that reaches to the end
_BLOCK = 4 * 1024 * 1024  # bytes


def main(size: int) -> None:
    """Serve a video of this many bytes on a free loopback port, which is printed."""
    source = _Source(size)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=source.serve, args=(connection,), daemon=True).start()


class _Source:
    def __init__(self, size: int) -> None:
        self._size, self._sent = size, 0
        self._video = os.memfd_create("video")
        os.write(self._video, _HEAD + _LAST)
        block = os.urandom(_BLOCK)
        while (left := size - os.lseek(self._video, 0, os.SEEK_CUR)) > 0:
            os.write(self._video, block[: min(left, _BLOCK)])

    def serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while request := _request(connection):
                if request.startswith(b"GET /sent "):
                    told = str(self._sent).encode()
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))
                elif not self._give(connection, request):
                    return

    def _give(self, connection: socket.socket, request: bytes) -> bool:
        ranged = re.search(rb"(?i)\r\nrange: bytes=(\d+)-", request)
        start = int(ranged[1]) if ranged else 0
        cut = re.match(rb"GET /cut/(\d+)", request)
        end = int(cut[1]) if cut and not start else self._size
        connection.sendall(self._head(start))
        while start < end:
            went = os.sendfile(connection.fileno(), self._video, start, min(_BLOCK, end - start))
            start += went
            self._sent += went
        return end == self._size

    def _head(self, start: int) -> bytes:
        head = "HTTP/1.1 206 Partial Content\r\n" if start else "HTTP/1.1 200 OK\r\n"
        if start:
            head += f"Content-Range: bytes {start}-{self._size - 1}/{self._size}\r\n"
        return (
            f'{head}Content-Length: {self._size - start}\r\nETag: "the-one"\r\nContent-Type: video/mp4\r\n\r\n'
        ).encode()


def _request(connection: socket.socket) -> bytes:
    came = b""
    while not came.endswith(b"\r\n\r\n"):
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        came += chunk
    return came


if __name__ == "__main__":
    main(int(sys.argv[1]))
