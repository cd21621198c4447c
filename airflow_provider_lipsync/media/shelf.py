"""What stands under an output path: the video, its receipt, and whether the one is of the other.

Asked before anything is paid, and again before a video takes its place. "Nothing stands there" is only said where the
storage says so: a storage that does not answer is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.media.options import content_type
from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX, Receipt, UnreadableReceiptError
from airflow_provider_lipsync.media.sinks import write_whole
from airflow_provider_lipsync.media.store import StoredVideo, hash_of
from airflow_provider_lipsync.media.task_key import TaskKey

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["NoSuchBucketError", "Standing", "etag_of", "look_at", "write_receipt"]

_JSON = "application/json"
_ETAGS = ("ETag", "etag")  # S3; Google, Azure


class NoSuchBucketError(OSError):
    """fsspec tells a bucket that does not exist as an object that does not: here it is told apart."""


@dataclass(frozen=True)
class Standing:
    """A file that stands under an output path.

    :param path: where.
    :param size: bytes.
    :param etag: the storage's mark of the bytes; None where it has none.
    :param changed: when, as the storage tells it.
    :param receipt: what stands beside it; None where there is none that can be read.
    :param unread: why it cannot be read; empty where it can, or where there is none.
    """

    path: ObjectStoragePath
    size: int
    etag: str | None
    changed: object
    receipt: Receipt | None
    unread: str = ""

    @cached_property
    def video(self) -> StoredVideo:
        """Its size and hash; the file is read for it, once."""
        return hash_of(self.path)

    @property
    def sha256(self) -> str:
        """Its hash; read only where no receipt tells it."""
        return self.receipt.sha256 if self.receipt is not None and self.receipt_fits else self.video.sha256

    @cached_property
    def receipt_fits(self) -> bool:
        """Whether the receipt is of these very bytes, whatever became of whoever wrote it."""
        receipt = self.receipt
        if receipt is None or receipt.size != self.size:
            return False
        if receipt.etag is not None and receipt.etag == self.etag:
            return True
        return self.video == StoredVideo(sha256=receipt.sha256, size=receipt.size)

    def of_job(self, job_id: str, *, api: str) -> Receipt | None:
        """Return the receipt, if the file is the video of this job."""
        receipt = self.receipt
        if receipt is None or (receipt.job_id, receipt.api) != (job_id, api):
            return None
        return receipt if self.receipt_fits else None

    def made_of(self, marks: Mapping[str, str] | None, *, api: str) -> Receipt | None:
        """Return the receipt, if the file was made by this vendor of inputs with this fingerprint."""
        receipt = self.receipt
        if receipt is None or not marks or (receipt.fingerprint, receipt.api) != (dict(marks), api):
            return None
        return receipt if self.receipt_fits else None

    def is_as(self, earlier: Standing | None) -> bool:
        """Whether nothing changed since an earlier look."""
        if earlier is None or (self.size, self.etag, self.receipt) != (earlier.size, earlier.etag, earlier.receipt):
            return False
        return self.etag is not None or self.changed == earlier.changed

    def is_by(self, author: TaskKey) -> bool:
        """Whether this task instance stored it, or was about to put a newer one in the place of these very bytes."""
        if self.receipt is None or self.receipt.author != author:
            return False
        return self.receipt_fits or (self.receipt.replaces is not None and self.receipt.replaces == self.video.sha256)

    def why_not(self) -> str:
        """Return why the receipt tells nothing of this file, in a clause."""
        if self.receipt is None:
            return f"its receipt cannot be read: {self.unread}" if self.unread else "it has no receipt"
        return "its receipt is of another file"


def look_at(path: ObjectStoragePath) -> Standing | None:
    """Return what stands under a path; None where nothing does.

    :raises IsADirectoryError: a folder does.
    :raises NoSuchBucketError: its bucket does not exist.
    :raises Exception: whatever a storage raises that cannot be asked.
    """
    path.fs.invalidate_cache()  # another process may have written a moment ago
    receipt, unread = _receipt_beside(path)  # also where no video stands: its name must be one that can be written
    try:
        info = path.fs.info(path.path)
    except FileNotFoundError as error:
        _refuse_lost_bucket(error)
        return None
    if info.get("type") == "directory":
        raise IsADirectoryError("a folder stands there")
    return Standing(path, int(info["size"]), etag_of(info), info.get("mtime"), receipt, unread)


def write_receipt(path: ObjectStoragePath, receipt: Receipt, *, options: Mapping[str, Any], log: Any) -> None:
    """Put the receipt beside a video, whole, in the place of an older one.

    :param options: of the storage, as for the video.
    """
    as_json = {**options, **content_type(path, _JSON)}
    write_whole(path, receipt.as_bytes(), options=as_json, log=log, suffix=RECEIPT_SUFFIX)


def etag_of(info: Mapping[str, Any]) -> str | None:
    """Return the storage's mark of the bytes."""
    return next((str(info[name]).strip('"') for name in _ETAGS if info.get(name)), None)


def _receipt_beside(path: ObjectStoragePath) -> tuple[Receipt | None, str]:
    try:
        return Receipt.from_bytes(path.fs.cat_file(path.path + RECEIPT_SUFFIX)), ""
    except FileNotFoundError as error:
        _refuse_lost_bucket(error)
        return None, ""
    except UnreadableReceiptError as error:
        return None, str(error)


def _refuse_lost_bucket(error: FileNotFoundError) -> None:
    if _is_bucket_gone(error):
        raise NoSuchBucketError("the bucket does not exist") from error


def _is_bucket_gone(error: BaseException | None) -> bool:
    """Whether S3 said that there is no such bucket: fsspec has one error for it and for a missing object."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, Mapping) and answer.get("Error", {}).get("Code") == "NoSuchBucket":
            return True
        error = error.__cause__ or error.__context__
    return False
