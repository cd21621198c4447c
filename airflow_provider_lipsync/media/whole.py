"""A file on a local disk that appears whole or not at all: written beside its name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

__all__ = ["LOCAL", "whole_file"]

LOCAL = ("", "file", "local")  # the protocols that mean a disk of this machine


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes its place when the block ends well, and vanishes otherwise.

    Not fsspec's own temporary file: it may lie on another disk, where a rename is a copy.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part", delete=False) as beside:
        try:
            yield beside
            beside.flush()
            os.fsync(beside.fileno())
            os.chmod(beside.name, 0o666 & ~_umask())
            os.replace(beside.name, path)
        except BaseException:
            os.unlink(beside.name)
            raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
