"""An S3 that takes everything and keeps nothing, as much of it as s3fs and curl need to upload."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import sys
import threading
from typing import Any

__all__ = ["main"]

_BUFFER = 1024 * 1024  # bytes
_UPLOAD = b"<InitiateMultipartUploadResult><UploadId>upload-1</UploadId></InitiateMultipartUploadResult>"
_COMPLETE = b'<CompleteMultipartUploadResult><ETag>"whole-1"</ETag></CompleteMultipartUploadResult>'


def main() -> None:
    """Serve on a free loopback port, which is printed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    buffer = memoryview(bytearray(_BUFFER))
    raw = connection.makefile("rb", buffering=0)
    with connection, io.BufferedReader(raw, _BUFFER) as came, contextlib.suppress(OSError):
        while line := came.readline():
            head = _head(came)
            if re.search(rb"(?i)\nexpect: 100-continue", head):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if re.search(rb"(?i)\ntransfer-encoding: chunked", head):
                _drain_chunks(came, buffer)
            elif length := re.search(rb"(?i)\ncontent-length: (\d+)", head):
                _drain(came, int(length[1]), buffer)
            connection.sendall(_answer(line))


def _head(came: io.BufferedReader[Any]) -> bytes:
    head = b"\n"
    while (line := came.readline()) not in (b"\r\n", b""):
        head += line
    return head


def _drain(came: io.BufferedReader[Any], left: int, buffer: memoryview) -> None:
    while left:
        got = came.readinto(buffer[: min(left, _BUFFER)])
        if not got:
            raise OSError("hung up")
        left -= got


def _drain_chunks(came: io.BufferedReader[Any], buffer: memoryview) -> None:
    while size := int(came.readline().split(b";")[0], 16):
        _drain(came, size, buffer)
        came.readline()
    came.readline()


def _answer(line: bytes) -> bytes:
    method, target = line.split(b" ")[:2]
    if method == b"HEAD":
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    body = b""
    if method == b"POST":
        body = _UPLOAD if b"uploads" in target else _COMPLETE
    return b'HTTP/1.1 200 OK\r\nETag: "part-1"\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body)


if __name__ == "__main__":
    main()
