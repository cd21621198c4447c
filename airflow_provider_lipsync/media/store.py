"""Brings a finished video from the vendor's temporary URL into a storage, in bounded memory, whole or not at all.

Whatever stands under the path is replaced: whether it may be is asked before, by whoever calls this.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.exceptions import LipsyncError
from airflow_provider_lipsync.media.download import Download, StoredVideo, failed
from airflow_provider_lipsync.media.options import content_type
from airflow_provider_lipsync.media.places import shown, words
from airflow_provider_lipsync.media.sinks import PART, NoSink, sink_for
from airflow_provider_lipsync.media.web import AddressRefused, RedirectRefused, Web, without_queries

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["StoredVideo", "hash_of", "measure_video", "store_video"]

_CHUNK = 1024 * 1024  # bytes
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def store_video(
    url: str,
    path: ObjectStoragePath,
    *,
    job_id: str,
    web: Web,
    fresh_url: Callable[[], str | None],
    largest: int,
    log: Any,
    options: Mapping[str, Any] = _NO_OPTIONS,
    before_commit: Callable[[StoredVideo], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> StoredVideo:
    """Put the video behind a URL in the place of whatever stands under a path.

    :param url: the vendor's; no credentials are sent to it.
    :param path: where it is to stand.
    :param job_id: for messages.
    :param web: what fetches it.
    :param fresh_url: asks the vendor for another URL once this one has died, at most twice; None where there is none.
    :param largest: bytes that are taken at most.
    :param options: of the filesystem's ``open()``, e.g. ``ServerSideEncryption`` on S3; a local disk has none.
    :param before_commit: called when the last byte was checked, right before the video takes its place; what it raises
        stops that.
    :param sleep: waits some seconds between two attempts.
    :raises LipsyncTransferFailed: it could not be fetched or written. What stood there stands there still.
    """
    sink = sink_for(path, options={**content_type(path, "video/mp4"), **options}, log=log)
    fetch = Download(
        url=url, job_id=job_id, web=web, fresh_url=fresh_url, largest=largest, log=log, sink=sink, sleep=sleep
    )
    try:
        stored = fetch.run()
        sink.finish(lambda: before_commit(stored))
    except LipsyncError:
        raise
    except Exception as error:  # noqa: BLE001 - storage libraries raise what they like
        raise _told(error, f"storing under {shown(path)}", job_id) from _shown_cause(error)
    finally:
        sink.discard()
    return stored


def measure_video(
    url: str,
    *,
    job_id: str,
    web: Web,
    fresh_url: Callable[[], str | None],
    largest: int,
    log: Any,
    sleep: Callable[[float], None] = time.sleep,
) -> StoredVideo:
    """Fetch the same video for its size and hash alone.

    :raises LipsyncTransferFailed: it could not be fetched.
    """
    fetch = Download(
        url=url, job_id=job_id, web=web, fresh_url=fresh_url, largest=largest, log=log, sink=NoSink(), sleep=sleep
    )
    try:
        return fetch.run()
    except LipsyncError:
        raise
    except Exception as error:  # noqa: BLE001 - storage libraries raise what they like
        raise _told(error, "fetching the video", job_id) from _shown_cause(error)


def hash_of(path: ObjectStoragePath) -> StoredVideo:
    """Read an object that stands in a storage for its size and hash.

    :raises Exception: whatever the storage raises: ``FileNotFoundError`` and other ``OSError`` mostly.
    """
    digest, size = hashlib.sha256(), 0
    path.fs.invalidate_cache(path.path)  # another process may have written it a moment ago
    with path.fs.open(path.path, "rb", block_size=PART) as stored:
        while chunk := stored.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return StoredVideo(sha256=digest.hexdigest(), size=size)


def _told(error: Exception, what: str, job_id: str) -> LipsyncError:
    if isinstance(error, AddressRefused | RedirectRefused):
        return failed(f"the vendor's URL is not followed: {error}", job_id)
    return failed(f"{what} did not work: {words(error)}", job_id)


def _shown_cause(error: Exception) -> Exception | None:
    """Return an error to be shown below ours, unless a URL with its query stands in it."""
    return error if without_queries(str(error)) == str(error) else None
