"""Streams a finished video into object storage, in bounded memory: under the final name there is only the whole file.

fsspec's files commit what they have when they are closed after an error. So a file is closed and committed only after
the last byte was checked, and is discarded, unclosed, otherwise; on a local disk the whole file is renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx

from airflow_provider_lipsync.exceptions import LipsyncTransferFailed, Video
from airflow_provider_lipsync.media.boxes import Boxes
from airflow_provider_lipsync.media.whole import LOCAL, whole_file

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["StoredVideo", "store_video"]

_CHUNK = 1024 * 1024  # bytes read from the vendor at once
_PART = 8 * 1024 * 1024  # bytes held before they are sent on; 10,000 parts, the limit of S3, are then 80 GB
_ATTEMPTS = 3  # downloads of the whole video before the task gives up
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_DEAD = (403, 404, 410)


@dataclass(frozen=True, kw_only=True)
class StoredVideo:
    """What was written.

    :param sha256: of the bytes, in hex.
    :param size: bytes.
    """

    sha256: str
    size: int


def store_video(url: str, path: ObjectStoragePath, *, job_id: str, if_exists: str, log: Any) -> StoredVideo:
    """Bring the video behind a URL under a path, whole or not at all.

    :param url: the vendor's; no credentials are sent to it.
    :param path: where it is to stand.
    :param job_id: for messages.
    :param if_exists: ``reuse`` takes what stands there if it is this very video, ``replace`` puts the video in its
        place, ``fail`` refuses.
    :raises LipsyncTransferFailed: it could not be fetched or written, or something else stands there.
    """
    fetch = _Fetch(url=url, job_id=job_id)
    try:
        standing = _hash_of(path) if if_exists != "replace" and path.exists() else None
        if standing is None:
            return _with_retries(lambda: _write(fetch, path), log)
        if if_exists == "reuse" and _with_retries(lambda: fetch.drain(None), log) == standing:
            log.info("This very video stands at %s already; nothing was written.", path)
            return standing
    except LipsyncTransferFailed:
        raise
    except Exception as error:
        raise _failed(f"storing under {path} did not work: {type(error).__name__}: {error}", job_id) from error
    raise _failed(
        f"something else stands at {path} ({standing.size} bytes, sha256 {standing.sha256[:12]}…): it was not touched",
        job_id,
        next_step='choose another output_path, or if_exists="replace"; storing a video again costs nothing',
    )


@dataclass(frozen=True, kw_only=True)
class _Fetch:
    """One video at the vendor."""

    url: str
    job_id: str

    def drain(self, sink: IO[bytes] | None) -> StoredVideo:
        """Read the whole video into a sink, or nowhere, and check that it is whole and an MP4."""
        digest, size, boxes = hashlib.sha256(), 0, Boxes()
        with (
            httpx.Client(timeout=_TIMEOUT, follow_redirects=True, max_redirects=5) as client,
            client.stream("GET", self.url, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            self._check_answer(answer)
            for chunk in self._checked_start(answer.iter_bytes(_CHUNK)):
                digest.update(chunk)
                size += len(chunk)
                boxes.feed(chunk)
                if sink is not None:
                    sink.write(chunk)
        promised = answer.headers.get("content-length")
        if promised is not None and promised != str(size):
            raise _Broken(f"{size} of {promised} bytes came")
        if promised is None and "transfer-encoding" not in answer.headers and not boxes.are_whole:
            raise _Broken(f"no length was promised, and the MP4 breaks off after {size} bytes")
        return StoredVideo(sha256=digest.hexdigest(), size=size)

    def _check_answer(self, answer: httpx.Response) -> None:
        if answer.status_code == 200:
            return
        where = f"the video's URL answered {answer.status_code}"
        if answer.status_code in _DEAD:
            raise _failed(f"{where}: it has died, the next try asks the vendor for a fresh one", self.job_id)
        raise _Broken(where)

    def _checked_start(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        first = next(chunks, b"")
        if first[4:8] != b"ftyp":
            raise _failed("what the vendor's URL gives is not an MP4 (an error page?)", self.job_id)
        yield first
        yield from chunks


class _Broken(Exception):
    """A download that may work when it is tried again."""


def _with_retries(attempt: Any, log: Any) -> StoredVideo:
    for left in reversed(range(_ATTEMPTS)):
        try:
            stored: StoredVideo = attempt()
        except (_Broken, httpx.TransportError) as error:
            if not left:
                raise
            log.warning("The download broke off (%s: %s); starting again.", type(error).__name__, error)
        else:
            return stored
    raise AssertionError("unreachable")


def _write(fetch: _Fetch, path: ObjectStoragePath) -> StoredVideo:
    if path.protocol in LOCAL:
        with whole_file(Path(path.path)) as beside:
            return fetch.drain(beside)
    sink = path.fs.open(path.path, "wb", block_size=_PART, autocommit=False)
    try:
        stored = fetch.drain(sink)
        sink.close()
        sink.commit()
    except BaseException:
        _give_up(sink)
        raise
    finally:
        with contextlib.suppress(ValueError):  # fsspec keeps it for a transaction, which this is not part of
            path.fs.transaction.files.remove(sink)
    return stored


def _give_up(sink: Any) -> None:
    """Discard what was written; never close it: many of fsspec's files commit what they have when they are closed."""
    with contextlib.suppress(Exception):
        sink.discard()
    with contextlib.suppress(AttributeError):
        sink.closed = True  # or its finalizer would close it


def _hash_of(path: ObjectStoragePath) -> StoredVideo:
    digest, size = hashlib.sha256(), 0
    with path.fs.open(path.path, "rb", block_size=_PART) as stored:
        while chunk := stored.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return StoredVideo(sha256=digest.hexdigest(), size=size)


def _failed(message: str, job_id: str, *, next_step: str | None = None) -> LipsyncTransferFailed:
    return LipsyncTransferFailed(message, job_id=job_id, video=Video.AT_VENDOR, next_step=next_step)
