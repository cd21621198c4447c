"""The stored copy of a task's video, and what may be served of it: only what our own receipt vouches for.

Where it stands is told by an XCom, which any DAG author may write: it may name ``/etc/passwd``, or somebody else's
bucket. So a file is given out only if beside it stands a receipt that names this very task instance or this very job,
and this very size, and if it begins as an MP4 does.
"""

from __future__ import annotations

import contextlib
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.exceptions import LipsyncError
from airflow_provider_lipsync.media.kinds import HEAD, sniff
from airflow_provider_lipsync.media.places import location, place_of, scheme_of, shown, words
from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX, Receipt, UnreadableReceiptError
from airflow_provider_lipsync.media.shelf import etag_of
from airflow_provider_lipsync.media.task_key import TaskKey

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["NotServedError", "Reader", "StoredCopy", "find_copy"]

_LARGEST_RECEIPT = 64 * 1024  # bytes; ours has one or two thousand
_SERVED = ("video/mp4", "video/quicktime")


class NotServedError(Exception):
    """There is nothing to give out.

    :param status: HTTP status of the answer.
    :param reason: a sentence for the page; without any secret.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True, kw_only=True)
class StoredCopy:
    """A video that may be given out.

    :param size: bytes.
    :param sha256: as its receipt has it.
    :param mime: for the Content-Type.
    """

    path: ObjectStoragePath
    size: int
    sha256: str
    mime: str

    @property
    def etag(self) -> str:
        """Tells this version from any other, in quotes."""
        return f'"{self.sha256}"'

    @property
    def identity(self) -> tuple[str, str]:
        """Where it stands, and what it is: the same for the same bytes at the same place."""
        return location(self.path), self.sha256

    @contextlib.contextmanager
    def opened(self) -> Iterator[Reader]:
        """Give something that reads it; to be used by one thread at a time.

        A local file is held open, so that what takes its place meanwhile is not mixed with it.
        """
        if scheme_of(self.path) != "file":
            yield Reader(self.path)
            return
        with Path(self.path.path).open("rb") as file:
            yield Reader(self.path, file)


class Reader:
    """Reads a file by ranges."""

    def __init__(self, path: ObjectStoragePath, file: Any = None) -> None:
        self._path, self._file = path, file

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from one position up to before another.

        :raises OSError: they cannot be had; or whatever else the storage raises.
        """
        if self._file is None:
            content: bytes = self._path.fs.cat_file(self._path.path, start=start, end=end)
        else:
            self._file.seek(start)
            content = self._file.read(end - start)
        if len(content) != end - start:
            raise OSError(f"the file ends early: {len(content)} of {end - start} bytes came")
        return content


def find_copy(output_path: str, *, key: TaskKey, job_id: str) -> StoredCopy:
    """Return the stored copy of a task's video. Reads its receipt and its first bytes; blocks.

    :param output_path: as the task handed it on.
    :param key: the task instance.
    :param job_id: the job whose video the task handed on.
    :raises NotServedError: there is none that may be given out, or its storage cannot be reached from here.
    """
    path = _place(output_path)
    try:
        return _verified(path, key=key, job_id=job_id)
    except NotServedError:
        raise
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotServedError(404, "The stored copy, or its receipt, is not there any more.") from None
    except Exception as error:  # noqa: BLE001 - each storage has errors of its own
        raise NotServedError(502, f"The stored copy cannot be read from the API server: {words(error)}.") from None


def _place(output_path: str) -> ObjectStoragePath:
    if "::" in output_path:  # fsspec chains filesystems so; nobody stores a video that way
        raise NotServedError(404, f"{shown(output_path)} is no place that a video is served from.")
    try:
        return place_of(output_path, field="output_path")
    except LipsyncError as error:
        reason = f"The storage cannot be used from the API server: {error.message.removesuffix(' Nothing was sent.')}"
        raise NotServedError(502, f"{reason.rstrip('.')}.") from None


def _verified(path: ObjectStoragePath, *, key: TaskKey, job_id: str) -> StoredCopy:
    path.fs.invalidate_cache()  # another process may have written a moment ago
    receipt = _receipt_beside(path)
    if receipt.author != key and receipt.job_id != job_id:
        raise NotServedError(404, "The receipt beside the stored copy is of another task's video.")
    if re.fullmatch("[0-9a-f]{64}", receipt.sha256) is None:
        raise NotServedError(404, "The receipt beside the stored copy names no SHA-256.")
    size, etag = _size_of(path, path.path)
    if size == 0 or size != receipt.size or (etag and receipt.etag and etag != receipt.etag):
        raise NotServedError(404, "What stands there is not what the receipt beside it is of: it was replaced since.")
    with StoredCopy(path=path, size=size, sha256=receipt.sha256, mime="").opened() as reader:
        found = sniff(reader.read(0, min(size, HEAD)))
    if found.mime not in _SERVED:
        raise NotServedError(404, f"What stands there is {found.name}, and no MP4 or QuickTime video.")
    return StoredCopy(path=path, size=size, sha256=receipt.sha256, mime=found.mime)


def _receipt_beside(path: ObjectStoragePath) -> Receipt:
    name = f"{path.path}{RECEIPT_SUFFIX}"
    size, _ = _size_of(path, name)
    if not 0 < size <= _LARGEST_RECEIPT:
        raise NotServedError(404, "What stands beside the stored copy is no receipt.")
    try:
        return Receipt.from_bytes(path.fs.cat_file(name, start=0, end=size))
    except UnreadableReceiptError:
        raise NotServedError(404, "What stands beside the stored copy is no receipt.") from None


def _size_of(path: ObjectStoragePath, name: str) -> tuple[int, str | None]:
    """Return size and mark of a regular file: a pipe would be waited on for ever."""
    if scheme_of(path) == "file":
        found = Path(name).stat()
        if not stat.S_ISREG(found.st_mode):
            raise NotServedError(404, "What stands there is no file.")
        return found.st_size, None
    info = path.fs.info(name)
    if info.get("type") == "directory":
        raise IsADirectoryError(name)
    return int(info.get("size") or 0), etag_of(info)
