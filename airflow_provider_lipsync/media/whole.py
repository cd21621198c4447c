"""A file on a local disk that appears whole or not at all: written beside its name, then renamed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

__all__ = ["LOCAL", "WholeFile", "sweep_litter", "whole_file"]

LOCAL = ("", "file", "local")  # the protocols that mean a disk of this machine
_SUFFIX = ".part"
_LITTER = (
    24 * 3600.0
)  # seconds after its last byte that a file of a dead process is kept: none that lives waits so long


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes its place when the block ends well, and vanishes otherwise."""
    file = WholeFile(path)
    try:
        yield file.beside
        file.commit()
    except BaseException:
        file.discard()
        raise


class WholeFile:
    """A file beside the name that it is to have. Either ``commit`` or ``discard`` must be called.

    Not fsspec's own temporary file: it may lie on another disk, where a rename is a copy.

    :param path: where it is to stand; folders are made.
    :raises OSError: it cannot stand there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.beside: IO[bytes] = NamedTemporaryFile(  # noqa: SIM115
            dir=path.parent, prefix=_prefix(path), suffix=_SUFFIX, delete=False
        )

    def commit(self, before: Callable[[], None] = lambda: None) -> None:
        """Put the file in its place.

        :param before: called when all bytes are on the disk, right before that.
        """
        self.beside.flush()
        os.fsync(self.beside.fileno())
        os.chmod(self.beside.name, 0o666 & ~_umask())
        self.beside.close()
        before()
        os.replace(self.beside.name, self._path)

    def discard(self) -> None:
        """Let the file vanish, if it was not put in its place."""
        with contextlib.suppress(OSError):  # what it still holds cannot be written: the disk is full
            self.beside.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.beside.name)


def sweep_litter(path: Path) -> None:
    """Remove what dead processes left beside a file while they wrote it, a day or more ago."""
    prefix, oldest = _prefix(path), time.time() - _LITTER
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX) and entry.stat().st_mtime < oldest:
                os.unlink(entry.path)


def _prefix(path: Path) -> str:
    return f".{os.fsencode(path.name)[:200].decode(errors='ignore')}."  # a whole name may have 255 bytes


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
