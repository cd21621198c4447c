"""Keeping the finished video: what stands under the output path is asked before a purchase, and filled after it.

The receipt beside a video decides: the same fingerprint means that nothing need be bought; the same job, that it was
stored already; the same task instance, that its own video may be replaced by the one a person cleared for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync import __version__
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.api.texts import without_query, without_userinfo
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncBadInput,
    LipsyncError,
    LipsyncMediaUnavailable,
    LipsyncOutputExists,
    LipsyncTransferFailed,
    Video,
)
from airflow_provider_lipsync.jobs.fingerprint import changed_fields
from airflow_provider_lipsync.jobs.outcome import LipsyncResult, finished
from airflow_provider_lipsync.jobs.wanted import Marks
from airflow_provider_lipsync.jobs.wishes import IfExists
from airflow_provider_lipsync.jobs.wording import moment
from airflow_provider_lipsync.media.options import verify_options, verify_room
from airflow_provider_lipsync.media.places import is_definite, place_of, shown, words
from airflow_provider_lipsync.media.receipt import Receipt, ReceiptState
from airflow_provider_lipsync.media.shelf import NoSuchBucketError, Standing, look_at, write_receipt
from airflow_provider_lipsync.media.store import StoredVideo, measure_video, store_video
from airflow_provider_lipsync.media.task_key import TaskKey

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_lipsync.media.web import Web

__all__ = ["Keeper"]


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Keeps the video of one task instance under its output path.

    :param output_path: where, as the user wrote it.
    :param if_exists: what to do where something stands there.
    :param options: for the storage: encryption, tags.
    :param author: this task instance.
    :param conn_id: id of the lipsync connection.
    :param api: its base URL.
    :param look: asks the vendor for the job again, whose URL may be a fresh one.
    :param web: fetches.
    :param largest: bytes of a video at the most.
    :param log: the task's.
    """

    output_path: object
    if_exists: IfExists
    author: TaskKey
    conn_id: str
    api: str
    look: Callable[[str], Job | LipsyncError]
    web: Web
    largest: int
    log: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    path: ObjectStoragePath = field(init=False)

    def __post_init__(self) -> None:
        text = str(self.output_path or "").strip()
        if not text or text.endswith("/") or text == "None" or "{{" in text:
            raise LipsyncBadInput(f"output_path: the path of a file is required; got {shown(text)!r}")
        object.__setattr__(self, "path", place_of(text, field="output_path"))
        verify_options(self.path, self.options)

    # Before a purchase.

    def found(self, marks: Marks, *, is_again: bool) -> Receipt | None:
        """Return the receipt of a video that makes a purchase needless; None where one is to be bought.

        :param marks: fingerprint of what would be bought.
        :param is_again: whether this task instance bought before: then its own video may be replaced.
        :raises LipsyncOutputExists: something else stands there; nothing was sent.
        """
        verify_room(self.path)
        standing = self._standing()
        if standing is None or self.if_exists == "replace":
            return None
        if is_again and standing.is_by(self.author):
            self.log.info("What this task stored at %s will be replaced.", shown(self.path))
            return None
        receipt = standing.made_of(marks, api=self.api) if self.if_exists == "reuse" else None
        if receipt is not None:
            self._tell_reuse(receipt)
            return receipt
        raise LipsyncOutputExists(
            f"{self._whats_there(standing, marks)} It was not touched, and nothing was sent.", charged=Charged.NO
        )

    def of_job(self, job_id: str) -> Receipt | None:
        """Return the receipt of a job that was stored already, by an earlier try; None also where nobody can tell."""
        try:
            standing = self._standing()
            return standing.of_job(job_id, api=self.api) if standing is not None else None
        except Exception as error:  # noqa: BLE001 - a storage library: whatever it was, the job is there to be had
            why = error.message if isinstance(error, LipsyncError) else words(error)
            self.log.warning("It is not known whether the video of job %s was stored already: %s", job_id, why)
            return None

    def _standing(self) -> Standing | None:
        try:
            return look_at(self.path)
        except Exception as error:  # noqa: BLE001 - each storage has errors of its own
            if isinstance(error, NoSuchBucketError) or is_definite(error):
                raise LipsyncBadInput(f"output_path: {shown(self.path)} cannot be used: {words(error)}") from None
            raise LipsyncMediaUnavailable(
                f"it is not known whether a video stands at {shown(self.path)}: {words(error)}"
            ) from None

    def _tell_reuse(self, receipt: Receipt) -> None:
        saved = receipt.credits_estimated
        self.log.info(
            "Nothing is bought: this very video stands at %s. Job %s rendered it for %s at %s. Saved: %s.",
            shown(self.path),
            receipt.job_id,
            receipt.author,
            moment(receipt.stored_at),
            "the credits of a job" if saved is None else f"some {saved} credits",
        )

    def _whats_there(self, standing: Standing, marks: Marks | None) -> str:
        receipt = standing.receipt
        where = f"Something else stands at {shown(self.path)} ({standing.size} bytes)"
        if receipt is None or not standing.receipt_fits:
            return f"{where}: {standing.why_not()}."
        by = f"a video of job {receipt.job_id}, stored by {receipt.author}"
        if self.if_exists == "fail":
            return f'{where}: {by}; if_exists is "fail".'
        if receipt.api != self.api:
            return f"{where}: {by}, rendered by another API ({receipt.api})."
        if receipt.fingerprint is None or marks is None:
            return f"{where}: {by}; it is not known what it was made of."
        return f"{where}: {by}, made of other inputs ({', '.join(changed_fields(receipt.fingerprint, marks))})."

    # After it.

    def keep(self, job: Job, marks: Marks | None, known: Mapping[str, Any] | None = None) -> LipsyncResult:
        """Return the result of a finished job, once its video stands under the output path, whole, with a receipt.

        :param marks: fingerprint of what was bought; None where not known.
        :param known: what an earlier task told of the job, beyond what the vendor tells.
        :raises LipsyncJobFailed: it has no video.
        :raises LipsyncTransferFailed: it could not be stored; it is still at the vendor.
        """
        result = {**(known or {}), **{name: value for name, value in finished(job).items() if value is not None}}
        try:
            receipt = self._kept(job, marks, result)
        except LipsyncTransferFailed:
            raise
        except LipsyncError as error:
            raise self._failed(job.id, error.message) from None
        except Exception as error:  # noqa: BLE001 - likewise
            raise self._failed(job.id, words(error)) from None
        return self.result_of(receipt, video_url=job.output)

    def result_of(self, receipt: Receipt, *, video_url: str | None = None) -> LipsyncResult:
        """Return the result that a stored video stands for.

        :param video_url: the vendor's, if it is known.
        """
        return LipsyncResult(
            job_id=receipt.job_id,
            model=receipt.model,
            status="completed",
            video_url=video_url,
            output_path=str(self.output_path).strip(),
            output_uri=_uri_of(str(self.output_path).strip()),
            sha256=receipt.sha256,
            size=receipt.size,
            credits_estimated=receipt.credits_estimated,
            execution_time=receipt.execution_time,
            labels=None if receipt.labels is None else dict(receipt.labels),
        )

    def _kept(self, job: Job, marks: Marks | None, result: Mapping[str, Any]) -> Receipt:
        standing = self._standing()
        as_good = self._as_good(standing, job, marks, result)
        if as_good:
            return as_good
        self.log.info("Storing the video of job %s from %s.", job.id, without_query(job.output or ""))
        place = _Place(standing)

        def announce(stored: StoredVideo) -> None:
            """Say whose the place is, should this try end beside the new video; nobody else's video is replaced."""
            place.standing = self._standing()
            if place.standing is not None and not place.standing.is_as(standing):
                found = self._as_good(place.standing, job, marks, result)
                if found is not None:
                    raise _Overtaken(found)
            replaced = None if place.standing is None else place.standing.sha256
            draft = self._receipt(job, marks, result, stored)
            self._write(replace(draft, state=ReceiptState.STORING, replaces=replaced))
            place.is_announced = True

        url, fetching = job.output or "", self._fetching(job.id)
        try:
            stored = store_video(url, self.path, before_commit=announce, options=self.options, **fetching)
        except _Overtaken as other:
            return other.receipt
        except BaseException:
            self._take_back(place)
            raise
        return self._seal(self._receipt(job, marks, result, stored))

    def _as_good(
        self, standing: Standing | None, job: Job, marks: Marks | None, result: Mapping[str, Any]
    ) -> Receipt | None:
        """Return the receipt of what stands, if nothing need be written; None if the place is to be filled."""
        if standing is None:
            return None
        found = standing.of_job(job.id, api=self.api) or self._same(standing, job, marks, result)
        if found is not None:
            self.log.info("The video stands at %s already; nothing was written.", shown(self.path))
        return found

    def _take_back(self, place: _Place) -> None:
        """Give a video that was not replaced after all its own receipt again."""
        before = place.standing
        if not place.is_announced or before is None or before.receipt is None:
            return
        with contextlib.suppress(Exception):  # what is raised already says more
            now = look_at(self.path)
            if now is not None and now.sha256 == before.sha256:
                self._write(before.receipt)

    def _same(self, standing: Standing, job: Job, marks: Marks | None, result: Mapping[str, Any]) -> Receipt | None:
        """Return the receipt of what stands, if that is as good as the job's own video; None if it is to be replaced.

        :raises LipsyncOutputExists: it is another, and may not be replaced.
        """
        if self.if_exists == "replace" or standing.is_by(self.author):
            return None
        receipt = standing.made_of(marks, api=self.api) if self.if_exists == "reuse" else None
        if receipt is not None:
            self.log.warning(
                "Meanwhile %s stored a video of the same inputs there (job %s): that one is kept. This task's own, of "
                "job %s, was paid for, too, and is still at the vendor.",
                receipt.author,
                receipt.job_id,
                job.id,
            )
            return receipt
        if not standing.receipt_fits and self._is_very(standing, job):
            return self._seal(self._receipt(job, marks, result, standing.video))
        raise LipsyncOutputExists(
            f"{self._whats_there(standing, marks)} It was not touched.",
            job_id=job.id,
            charged=Charged.YES,
            video=Video.AT_VENDOR,
            next_step='choose another output_path, or if_exists="replace", then clear: the job is not bought again',
        )

    def _is_very(self, standing: Standing, job: Job) -> bool:
        """Whether what stands is the job's video: a try may have ended between the video and its receipt."""
        return measure_video(job.output or "", **self._fetching(job.id)) == standing.video

    def _fetching(self, job_id: str) -> dict[str, Any]:
        return {
            "job_id": job_id,
            "web": self.web,
            "fresh_url": lambda: self._fresh_url(job_id),
            "largest": self.largest,
            "log": self.log,
        }

    def _fresh_url(self, job_id: str) -> str | None:
        seen = self.look(job_id)
        if isinstance(seen, LipsyncError):
            self.log.warning("Job %s could not be asked for a fresh URL: %s", job_id, seen.message)
            return None
        return seen.output

    def _receipt(self, job: Job, marks: Marks | None, result: Mapping[str, Any], stored: StoredVideo) -> Receipt:
        return Receipt(
            job_id=job.id,
            sha256=stored.sha256,
            size=stored.size,
            author=self.author,
            conn_id=self.conn_id,
            api=self.api,
            stored_at=time.time(),
            fingerprint=dict(marks) if marks else None,
            model=result.get("model"),
            execution_time=result.get("execution_time"),
            credits_estimated=result.get("credits_estimated"),
            labels=result.get("labels"),
            versions=_versions(),
        )

    def _seal(self, receipt: Receipt) -> Receipt:
        """Write the receipt of a video that stands; if that does not work, the next try finds the one before it."""
        standing = look_at(self.path)
        sealed = replace(receipt, etag=None if standing is None else standing.etag, stored_at=time.time())
        self._write(sealed)
        self.log.info("Stored at %s: %d bytes, sha256 %s.", shown(self.path), sealed.size, sealed.sha256)
        return sealed

    def _write(self, receipt: Receipt) -> None:
        write_receipt(self.path, receipt, options=self.options, log=self.log)

    def _failed(self, job_id: str, why: str) -> LipsyncTransferFailed:
        message = f"storing under {shown(self.path)} did not work: {why}"
        return LipsyncTransferFailed(message, job_id=job_id, video=Video.AT_VENDOR)


class _Overtaken(LipsyncError):
    """Another task stored a video there that is as good, while this one's was on its way."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(receipt.job_id)
        self.receipt = receipt


@dataclass
class _Place:
    """What stands where a video is about to stand, and whether a receipt said so."""

    standing: Standing | None
    is_announced: bool = False


def _uri_of(text: str) -> str:
    return f"file://{text}" if text.startswith("/") else without_userinfo(text)


def _versions() -> dict[str, str]:
    from airflow import __version__ as airflow_version

    return {"airflow-provider-lipsync": __version__, "apache-airflow": airflow_version}
