"""Videos that a vendor may give, and a server that gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.scripted import Step, scripted

__all__ = ["LARGE", "OTHER", "VIDEO", "sha256_of", "video_at"]

VIDEO = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 64  # what an MP4 begins like
OTHER = b"\x00\x00\x00\x18ftypisom" + bytes(range(255, -1, -1)) * 64  # as long as VIDEO
LARGE = VIDEO + b"\x07" * (9 * 1024 * 1024)  # more than one part of a multipart upload


def sha256_of(content: bytes) -> str:
    """Return the hash as results have it."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def video_at(*steps: Step) -> Iterator[str]:
    """Serve these answers; yield a signed URL, as the vendor gives it."""
    with scripted(*steps) as server:
        yield f"{server.url}/result.mp4?sig=secret"
