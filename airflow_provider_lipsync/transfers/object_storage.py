"""LipsyncToObjectStorageOperator: brings a finished video into a storage of your own. It never buys anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.api.wire import refuse_key, without_query, without_userinfo
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncError,
    LipsyncPollFault,
    LipsyncTransferFailed,
    LipsyncUnknownJob,
)
from airflow_provider_lipsync.jobs.outcome import (
    LipsyncResult,
    as_sensor_error,
    as_task_error,
    finished,
    job_id_of,
    result_of,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_lipsync.hooks.lipsync import LipsyncHook

__all__ = ["LipsyncToObjectStorageOperator"]

_IF_EXISTS = ("reuse", "replace", "fail")


class LipsyncToObjectStorageOperator(BaseOperator):
    """Streams the video of a finished job to an ``ObjectStoragePath``, in bounded memory, whole or not at all.

    :param job: a job id, or the result of a Lipsync task (``job=render.output``).
    :param output_path: where the video is to stand, e.g. ``s3://aws_default@bucket/{{ ds }}.mp4``.
    :param if_exists: what to do where something stands there already: ``reuse`` it if it is this very video (else
        fail), ``replace`` it once the video is whole, or ``fail``.
    :param lipsync_conn_id: connection of type ``lipsync``.
    :raises LipsyncTransferFailed: the video could not be fetched or written; it is still at the vendor.
    :raises LipsyncJobFailed: the job has no video.
    :return: :class:`~airflow_provider_lipsync.jobs.outcome.LipsyncResult` with ``output_path``, ``output_uri``,
        ``sha256`` and ``size`` (bytes).
    """

    template_fields: Sequence[str] = ("job", "output_path", "lipsync_conn_id")
    ui_color = "#f6e7f7"

    def __init__(
        self,
        *,
        job: str | Mapping[str, Any] | LipsyncResult | XComArg,
        output_path: str | ObjectStoragePath | XComArg,
        if_exists: Literal["reuse", "replace", "fail"] = "reuse",
        lipsync_conn_id: str = "lipsync_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.output_path = output_path
        self.if_exists = if_exists
        self.lipsync_conn_id = lipsync_conn_id
        if if_exists not in _IF_EXISTS:
            error = LipsyncBadInput(f"if_exists: allowed are {', '.join(_IF_EXISTS)}; got {if_exists!r}")
            raise as_task_error(error, AirflowFailException)

    def execute(self, context: Context) -> LipsyncResult:
        """Store the video; see the class."""
        try:
            return self._store()
        except LipsyncError as error:
            raise as_sensor_error(error) from error.__cause__

    def _store(self) -> LipsyncResult:
        from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
        from airflow_provider_lipsync.media.store import store_video

        hook = LipsyncHook(lipsync_conn_id=self.lipsync_conn_id)
        api_key = hook.settings.target.api_key
        refuse_key({"output_path": self.output_path}, api_key)
        job_id, path = job_id_of(self.job, api_key=api_key), self._path()
        result = self._finished_job(hook, job_id)
        url = result["video_url"] or ""
        self.log.info("Storing the video of job %s from %s under %s.", job_id, without_query(url), path)
        stored = store_video(url, path, job_id=job_id, if_exists=self.if_exists, log=self.log)
        self.log.info("Stored: %d bytes, sha256 %s.", stored.size, stored.sha256)
        uri = without_userinfo(str(self.output_path))
        kept: dict[str, Any] = {"output_path": str(self.output_path), "output_uri": uri}
        return {**result, **kept, "sha256": stored.sha256, "size": stored.size}  # type: ignore[typeddict-item]

    def _path(self) -> ObjectStoragePath:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        text = str(self.output_path or "").strip()
        if not text or text.endswith("/") or "{{" in text:
            raise LipsyncBadInput(f"output_path: the path of a file is required; got {text!r}")
        try:
            path = ObjectStoragePath(text)
            _ = path.fs  # made when it is first asked for
        except (ValueError, ImportError) as error:
            raise LipsyncBadInput(f"output_path: {text!r} cannot be used: {error}") from error
        return path

    def _finished_job(self, hook: LipsyncHook, job_id: str) -> LipsyncResult:
        """Return the result of the job, with a URL as fresh as the vendor gives it."""
        try:
            return self._ended(hook.client.get_job(job_id))
        except (LipsyncUnknownJob, LipsyncPollFault) as error:
            if isinstance(self.job, Mapping) and self.job.get("video_url"):
                self.log.warning("Job %s could not be asked for (%s); trying the URL it had.", job_id, error.message)
                return {**result_of(_unseen(job_id)), **self.job}  # type: ignore[typeddict-item]
            raise
        finally:
            hook.close()

    def _ended(self, job: Job) -> LipsyncResult:
        if not job.status.is_terminal:
            raise LipsyncTransferFailed(
                f"the job has no video yet: its status is {job.raw_status!r}",
                job_id=job.id,
                next_step="wait for it by LipsyncJobSensor(job=...) before this task",
            )
        known = self.job if isinstance(self.job, Mapping) else {}
        carried = {name: known.get(name) for name in ("credits_estimated", "labels")}
        return {**finished(job), **carried}  # type: ignore[typeddict-item]


def _unseen(job_id: str) -> Job:
    from airflow_provider_lipsync.api.models import JobStatus

    return Job(id=job_id, status=JobStatus.COMPLETED, raw_status="completed")
