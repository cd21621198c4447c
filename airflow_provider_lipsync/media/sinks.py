"""Where the bytes of a video go: a disk, an object storage, nowhere. Under the final name there is only a whole file.

fsspec's files commit what they have when they are closed after an error, and when they are collected. So a file is
closed and committed only after the last byte was checked, and is discarded, unclosed, otherwise.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.media.places import shown, words
from airflow_provider_lipsync.media.whole import LOCAL, WholeFile, sweep_litter

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["PART", "DiskSink", "NoSink", "ObjectSink", "sink_for", "write_whole"]

PART = 8 * 1024 * 1024  # bytes held before they are sent on; 10,000 parts, the limit of S3, are then 80 GB
_SYNCED = 32 * 1024 * 1024  # bytes that are brought to the disk at once, while others come

_SYNC = getattr(os, "fdatasync", os.fsync)  # not everywhere
_ONE_PUT = ("s3", "s3a")  # what was never flushed may be put by a single request, at close


def sink_for(
    path: ObjectStoragePath, *, options: Mapping[str, Any], log: Any, suffix: str = ""
) -> DiskSink | ObjectSink:
    """Return what writes a file to a path.

    :param options: for the filesystem's ``open()``; a disk has none.
    :param suffix: for a file beside it.
    """
    if path.protocol in LOCAL:
        return DiskSink(Path(path.path + suffix))
    return ObjectSink(path, options=options, log=log, suffix=suffix)


def write_whole(
    path: ObjectStoragePath, content: bytes, *, options: Mapping[str, Any], log: Any, suffix: str = ""
) -> None:
    """Put a small file under a path, whole, in the place of what stands there."""
    sink = sink_for(path, options=options, log=log, suffix=suffix)
    try:
        sink.begin()
        sink.write(content)
        sink.finish(lambda: None)
    finally:
        sink.discard()


class NoSink:
    """Nowhere: for the hash of a video alone."""

    def begin(self) -> None:
        """See Sink."""

    def write(self, chunk: bytes) -> None:
        """See Sink."""


class DiskSink:
    """A file on a local disk, brought to the disk while it comes, so that its end need not wait for all of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: WholeFile | None = None
        self._syncing: Future[None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._unsynced = 0

    def begin(self) -> None:
        """See Sink."""
        self.discard()
        sweep_litter(self._path)
        self._file, self._unsynced = WholeFile(self._path), 0

    def write(self, chunk: bytes) -> None:
        """See Sink."""
        assert self._file is not None
        self._file.beside.write(chunk)
        self._unsynced += len(chunk)
        if self._unsynced >= _SYNCED and (self._syncing is None or self._syncing.done()):
            self._sync(self._file.beside.fileno())

    def _sync(self, number: int) -> None:
        self._await_sync()
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="lipsync-sync")
        self._syncing, self._unsynced = self._pool.submit(_SYNC, number), 0

    def _await_sync(self) -> None:
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            syncing.result()

    def finish(self, before_commit: Callable[[], None]) -> None:
        """Put the whole video in its place."""
        assert self._file is not None
        self._await_sync()
        self._file.commit(before_commit)

    def discard(self) -> None:
        """Let what came vanish, unless it is in its place."""
        with contextlib.suppress(OSError):
            self._await_sync()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        if self._file is not None:
            self._file.discard()
            self._file = None


class ObjectSink:
    """An object in a storage that fsspec knows, sent in parts of equal size (Cloudflare's R2 takes no others)."""

    def __init__(self, path: ObjectStoragePath, *, options: Mapping[str, Any], log: Any, suffix: str = "") -> None:
        self._path, self._name, self._options, self._log = path, path.path + suffix, dict(options), log
        self._file: Any = None
        self._room = PART

    def begin(self) -> None:
        """See Sink."""
        self.discard()
        self._room = PART
        self._file = self._path.fs.open(self._name, "wb", block_size=PART, autocommit=False, **self._options)

    def write(self, chunk: bytes) -> None:
        """See Sink."""
        while chunk:
            piece, chunk = chunk[: self._room], chunk[self._room :]
            self._file.write(piece)
            self._room = self._room - len(piece) or PART

    def finish(self, before_commit: Callable[[], None]) -> None:
        """Put the whole video in its place."""
        file = self._file
        if self._path.protocol in _ONE_PUT and getattr(file, "offset", 0) is None:
            file.autocommit = True
            before_commit()
            file.close()
        elif not _commits_apart(file):
            before_commit()
            file.close()
            file.commit()
        else:
            file.close()
            before_commit()
            file.commit()
        self._file = None
        self._release(file)

    def discard(self) -> None:
        """Let what came vanish, unless it is in its place. Never closes it: that would commit it."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.discard()
        except Exception as error:  # noqa: BLE001 - the fault that led here is told
            self._log.warning(
                "Parts of an upload that was given up may be left at %s (%s).", shown(self._path), words(error)
            )
        finally:
            with contextlib.suppress(AttributeError):
                file.closed = True  # or its finalizer would close it
            self._release(file)

    def _release(self, file: Any) -> None:
        """Take a file off fsspec's list for a transaction, which this is not part of."""
        with contextlib.suppress(ValueError):
            self._path.fs.transaction.files.remove(file)


def _commits_apart(file: Any) -> bool:
    """Whether a file is published by ``commit``, not already by ``close``."""
    from fsspec.spec import AbstractBufferedFile

    return type(file).commit is not AbstractBufferedFile.commit
