"""What a filesystem's ``open()`` takes beside a path: the Content-Type as each calls it, and options of the user's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.exceptions import LipsyncBadInput
from airflow_provider_lipsync.media.places import scheme_of, shown, words
from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX
from airflow_provider_lipsync.media.whole import WholeFile

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["content_type", "verify_options", "verify_room"]

_LONGEST_KEY = 1024  # bytes, in S3
_WRITES = ("PutObject", "CreateMultipartUpload")  # how a video is written to S3, by its size
_OURS = frozenset({"Body", "Bucket", "Key"})


def content_type(path: ObjectStoragePath, mime: str) -> dict[str, Any]:
    """Return the option that gives a new object its Content-Type; empty where the storage has none."""
    match scheme_of(path):
        case "s3":
            return {"ContentType": mime}
        case "gs":
            return {"content_type": mime}
        case "abfs" | "adl":
            return {"content_settings": {"content_type": mime}}
    return {}


def verify_options(path: ObjectStoragePath, options: Mapping[str, Any]) -> None:
    """Refuse options that the storage would drop in silence: a video would stand there unencrypted.

    :raises LipsyncBadInput: a disk was given any, or S3 one that it does not know. Other storages are not asked.
    """
    scheme = scheme_of(path)
    if options and scheme == "file":
        raise LipsyncBadInput("output_options: a local disk takes none. Nothing was sent.")
    known = _known_to_s3(path.fs) if options and scheme == "s3" else None
    unknown = [] if known is None else sorted(set(options) - known)
    if unknown:
        raise LipsyncBadInput(f"output_options: S3 does not know {', '.join(map(repr, unknown))}. Nothing was sent.")


def verify_room(path: ObjectStoragePath) -> None:
    """Refuse, before anything is paid, a path whose video or receipt can be seen to have no place.

    :raises LipsyncBadInput: a name is too long, or a disk does not take the folder.
    """
    receipt = f"{path.path}{RECEIPT_SUFFIX}"
    scheme = scheme_of(path)
    if scheme == "s3" and len(receipt.partition("/")[2].encode()) > _LONGEST_KEY:
        raise LipsyncBadInput(f"output_path: S3 takes names of {_LONGEST_KEY} bytes, the receipt's included")
    if scheme != "file":
        return
    try:
        WholeFile(Path(receipt)).discard()
        with contextlib.suppress(FileNotFoundError):
            os.lstat(receipt)
    except OSError as error:
        raise LipsyncBadInput(f"output_path: {shown(path)} cannot be used: {words(error)}") from None


def _known_to_s3(fs: Any) -> set[str] | None:
    """Return the names of S3's parameters as its own library has them; None where that cannot be asked."""
    model = getattr(getattr(fs.s3, "meta", None), "service_model", None)
    if model is None:
        return None
    return {name for write in _WRITES for name in model.operation_model(write).input_shape.members} - _OURS
