"""One video, fetched piece by piece from a URL that may break off, lie, change or die. It knows nothing of storages.

What was fetched is kept over a break: the rest is asked for by ``Range``, and taken only if it is of the same bytes.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, Protocol

import httpx

from airflow_provider_lipsync.exceptions import LipsyncTransferFailed, Video
from airflow_provider_lipsync.media.boxes import Boxes
from airflow_provider_lipsync.media.places import words
from airflow_provider_lipsync.media.web import Web

__all__ = ["Download", "Sink", "StoredVideo", "failed"]

_IN_VAIN = 8  # attempts in a row that bring nothing new, then it gives up: after a minute
_ATTEMPTS = 100  # in all
_FIRST_WAIT = 0.5  # seconds, doubled while nothing new comes
_FRESH_URLS = 2  # asked for per video
_REPORT_EVERY = 10.0  # seconds
_LARGER_THAN_A_PART = 16 * 1024 * 1024  # bytes
_PASSING = (408, 425, 429)  # of the 4xx: may answer otherwise a moment later
_NOT_ENCODED = ("", "identity", "aws-chunked")  # the last is how S3 was written to: some storages repeat it
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, kw_only=True)
class StoredVideo:
    """What was written.

    :param sha256: of the bytes, in hex.
    :param size: bytes.
    """

    sha256: str
    size: int


class Sink(Protocol):
    """Takes the bytes of a video."""

    def begin(self) -> None:
        """Forget what came and take a video from its first byte."""

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""


class _Broken(Exception):
    """An attempt that may work when it is made again."""


class _Dead(Exception):
    """The URL is refused: only another one can work."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(kw_only=True)
class Download:
    """The fetching of one video into a sink.

    :param url: the vendor's.
    :param job_id: for messages.
    :param web: what fetches.
    :param fresh_url: asks the vendor for another URL of the same video; None where there is none.
    :param largest: bytes that are taken at most.
    :param sleep: waits some seconds.
    """

    url: str = field(repr=False)
    job_id: str
    web: Web
    fresh_url: Callable[[], str | None]
    largest: int
    log: Any
    sink: Sink
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._most = 0  # bytes that were here at once: more than these is progress
        self._dead: list[int] = []
        self._forget()

    def _forget(self) -> None:
        self._have, self._validator = 0, ""
        self._total: int | None = None
        self._head, self._digest, self._boxes = b"", hashlib.sha256(), Boxes()

    def run(self) -> StoredVideo:
        """Fetch it to its last byte.

        :raises LipsyncTransferFailed: it cannot be had, or it is not what was promised.
        :raises AddressRefused, RedirectRefused: as :meth:`Web.get` does.
        :raises Exception: whatever the sink raises.
        """
        self._report = _Report(log=self.log)
        _keep_freed_memory()
        in_vain = 0
        for _ in range(_ATTEMPTS):
            before = self._most
            try:
                self._attempt()
                return StoredVideo(sha256=self._digest.hexdigest(), size=self._have)
            except _Dead as dead:
                self._renew(dead.status)
                continue
            except (_Broken, httpx.TransportError) as error:
                self._most = max(self._most, self._have)
                in_vain = 0 if self._most > before else in_vain + 1
                reason = str(error) if isinstance(error, _Broken) else words(error)
            if in_vain == _IN_VAIN:
                raise failed(f"the download broke off again and again, {self._here()}; lastly {reason}", self.job_id)
            self.log.warning("The download broke off (%s), %s; going on.", reason, self._here())
            self.sleep(_FIRST_WAIT * 2 ** max(0, in_vain - 1))
        raise failed(f"the download broke off {_ATTEMPTS} times, {self._here()}; lastly {reason}", self.job_id)

    def _here(self) -> str:
        return f"{self._have} of {'unknown' if self._total is None else self._total} bytes are here"

    def _renew(self, status: int) -> None:
        self._dead.append(status)
        fresh = self.fresh_url() if len(self._dead) <= _FRESH_URLS else None
        if not fresh:
            others = "".join(f", a fresh one {later}" for later in self._dead[1:])
            none = "" if len(self._dead) > _FRESH_URLS else "; the vendor gives no other"
            raise failed(f"the video's URL has died: it answered {self._dead[0]}{others}{none}", self.job_id)
        self.log.warning("The video's URL has died (it answered %d): going on with a fresh one.", status)
        self.url = fresh

    def _attempt(self) -> None:
        with self.web.get(self.url, headers=self._resuming()) as answer:
            if answer.status_code == 416 and self._have and self._is_all(answer.headers):
                return
            self._understand(answer)
            for chunk in answer.iter_raw():
                self._take(chunk)
        self._check_end(answer.headers)

    def _resuming(self) -> dict[str, str]:
        if not (self._have and self._validator):
            return {}
        return {"Range": f"bytes={self._have}-", "If-Range": self._validator}

    def _is_all(self, headers: Mapping[str, str]) -> bool:
        """Whether a 416 says that there is no more than what came; else all begins anew."""
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if found and found[3] == str(self._have) and self._total in (None, self._have):
            return True
        self._lose("it has no such bytes")

    def _understand(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status not in (200, 206):
            if 400 <= status < 500 and status not in _PASSING:
                raise _Dead(status)
            raise _Broken(f"the video's URL answered {status}")
        if (encoding := answer.headers.get("content-encoding", "").strip().lower()) not in _NOT_ENCODED:
            raise failed(
                f"the vendor sends the video encoded ({encoding[:40]!r}), which was not asked for", self.job_id
            )
        if status == 206:
            self._go_on(answer.headers)
        else:
            self._begin_anew(answer.headers)
        if self._total is not None:
            self._check_size(self._total)

    def _begin_anew(self, headers: Mapping[str, str]) -> None:
        self._most = max(self._most, self._have)
        self._forget()
        length = headers.get("content-length", "")
        self._total = int(length) if length.isdecimal() else None
        self._validator = _validator_of(headers)

    def _go_on(self, headers: Mapping[str, str]) -> None:
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if not found or found[1] != str(self._have):
            self._lose("it sent other bytes than those that were asked for")
        if found[3] != "*":
            total, known = int(found[3]), self._total
            if known is not None and known != total:
                self._lose(f"it has {total} bytes now, it had {known}")
            self._total = total
        if not _is_same(headers, self._validator):
            self._lose("it has changed")

    def _lose(self, reason: str) -> NoReturn:
        """Forget what came: the next attempt begins anew."""
        self._most = max(self._most, self._have)
        self._forget()
        raise _Broken(f"the video's URL went on differently: {reason}")

    def _take(self, chunk: bytes) -> None:
        if not self._have:  # nothing is written before its shape is known
            self._head += chunk
            if len(self._head) < 8:
                return
            chunk, self._head = self._head, b""
            self._check_shape(chunk)
            self.sink.begin()
        if self._total is not None and self._have + len(chunk) > self._total:
            self._lose(f"more came than the {self._total} bytes that were promised")
        self._check_size(self._have + len(chunk))
        self._digest.update(chunk)
        self._boxes.feed(chunk)
        self.sink.write(chunk)
        self._have += len(chunk)
        self._report.tell(self._have, self._total)

    def _check_shape(self, start: bytes) -> None:
        if start[4:8] != b"ftyp":
            raise failed("what the vendor's URL gives is not an MP4 (an error page?)", self.job_id)

    def _check_size(self, size: int) -> None:
        if size > self.largest:
            raise failed(f"the video is larger than the {self.largest} bytes that are taken at most", self.job_id)

    def _check_end(self, headers: Mapping[str, str]) -> None:
        if not self._have:
            self._check_shape(self._head)
        if self._total is None:
            if "transfer-encoding" not in headers and not self._boxes.are_whole:
                raise _Broken(f"no length was promised, and the MP4 breaks off after {self._have} bytes")
        elif self._have < self._total:
            raise _Broken(f"{self._have} of {self._total} bytes came")
        elif not self._boxes.are_whole:
            self.log.warning("The vendor sent all the bytes it promised, but the MP4 does not end where its boxes do.")


def failed(message: str, job_id: str, *, next_step: str | None = None) -> LipsyncTransferFailed:
    """Return the one error of a transfer."""
    return LipsyncTransferFailed(message, job_id=job_id, video=Video.AT_VENDOR, next_step=next_step)


def _keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of giving each back to the system: a quarter of all CPU time into S3.

    It takes what is above a threshold from the system, and raises that to the largest such block that was freed
    (mallopt(3), M_MMAP_THRESHOLD). This one is larger than a part of an upload, and is never touched.
    """
    bytes(_LARGER_THAN_A_PART)


def _validator_of(headers: Mapping[str, str]) -> str:
    """Return what tells whether later bytes are of the same file: a strong ETag, else a time that is as good; or none.

    A time is as good where the answer is a second younger (RFC 9110, 8.8.2.2): the file may change twice in a second.
    """
    etag, changed = headers.get("etag", ""), headers.get("last-modified", "")
    if etag.startswith('"'):
        return etag
    try:
        age = parsedate_to_datetime(headers.get("date", "")) - parsedate_to_datetime(changed)
    except (ValueError, TypeError):
        return ""
    return changed if age.total_seconds() >= 1 else ""


def _is_same(headers: Mapping[str, str], validator: str) -> bool:
    """Whether a 206 is of the file that a validator is of. It must repeat an ETag, it may leave out a time (15.3.7)."""
    if validator.startswith('"'):
        return headers.get("etag") == validator
    return bool(validator) and headers.get("last-modified", validator) == validator


@dataclass(kw_only=True)
class _Report:
    """A line in the log every ten seconds."""

    log: Any
    _since: float = field(default_factory=time.monotonic)
    _had: int = 0

    def tell(self, have: int, total: int | None) -> None:
        seconds = time.monotonic() - self._since
        if seconds < _REPORT_EVERY:
            return
        share = f"{have / total:.0%} of {total}" if total else f"{have}"
        self.log.info("Fetching the video: %s bytes, %.1f MB/s.", share, max(0, have - self._had) / seconds / 1e6)
        self._since, self._had = time.monotonic(), have
