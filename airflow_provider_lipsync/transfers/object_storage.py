"""LipsyncToObjectStorageOperator: brings a finished video into a storage of your own. It never buys anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncBadInput,
    LipsyncError,
    LipsyncPollFault,
    LipsyncTransferFailed,
    LipsyncUnknownJob,
)
from airflow_provider_lipsync.jobs.outcome import LipsyncResult, as_sensor_error, as_task_error, job_id_of
from airflow_provider_lipsync.jobs.wishes import IfExists, checked_if_exists
from airflow_provider_lipsync.links import LipsyncPlayerLink
from airflow_provider_lipsync.operators.keeping import announce, open_keeper
from airflow_provider_lipsync.operators.lineage import LineageTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
    from airflow_provider_lipsync.media.web import Web

__all__ = ["LipsyncToObjectStorageOperator"]


class LipsyncToObjectStorageOperator(LineageTask, BaseOperator):
    """Streams the video of a finished job to an ``ObjectStoragePath``, in bounded memory, whole or not at all.

    :param job: a job id, or the result of a Lipsync task (``job=render.output``).
    :param output_path: where the video is to stand, e.g. ``s3://aws_default@bucket/{{ ds }}.mp4``.
    :param if_exists: what to do where something stands there already: ``reuse`` it if it is this very video (else
        fail), ``replace`` it once the video is whole, or ``fail``.
    :param output_options: given to the storage with the video, e.g. ``{"ServerSideEncryption": "aws:kms"}`` on S3.
    :param lipsync_conn_id: connection of type ``lipsync``.
    :raises LipsyncTransferFailed: the video could not be fetched or written; it is still at the vendor.
    :raises LipsyncJobFailed: the job has no video.
    :return: :class:`~airflow_provider_lipsync.jobs.outcome.LipsyncResult` with ``output_path``, ``output_uri``,
        ``sha256`` and ``size`` (bytes).
    """

    template_fields: Sequence[str] = ("job", "output_path", "output_options", "lipsync_conn_id")
    ui_color = "#f6e7f7"
    operator_extra_links = (LipsyncPlayerLink(),)

    def __init__(
        self,
        *,
        job: str | Mapping[str, Any] | LipsyncResult | XComArg,
        output_path: str | ObjectStoragePath | XComArg,
        if_exists: IfExists = "reuse",
        output_options: Mapping[str, Any] | XComArg | None = None,
        lipsync_conn_id: str = "lipsync_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.output_path = output_path
        self.if_exists = if_exists
        self.output_options = output_options
        self.lipsync_conn_id = lipsync_conn_id
        try:
            checked_if_exists(if_exists)
        except LipsyncBadInput as error:
            raise as_task_error(error, AirflowFailException) from None

    def execute(self, context: Context) -> LipsyncResult:
        """Store the video; see the class."""
        from airflow_provider_lipsync.hooks.lipsync import LipsyncHook

        hook = LipsyncHook(lipsync_conn_id=self.lipsync_conn_id)
        try:
            with hook.open_web() as web:
                result = self._store(context, hook, web)
        except LipsyncError as error:
            from airflow_provider_lipsync.jobs.card import tell_failure
            from airflow_provider_lipsync.metrics import count_failure

            count_failure(error, conn_id=self.lipsync_conn_id)
            raised = as_sensor_error(error)
            tell_failure(context, raised)
            raise raised from None
        finally:
            hook.close()
        announce(self.outlets, context, result, log=self.log)
        return result

    def _store(self, context: Context, hook: LipsyncHook, web: Web) -> LipsyncResult:
        from airflow_provider_lipsync.media.places import shown

        job_id = job_id_of(self.job, api_key=hook.settings.target.api_key)
        try:
            keeper = open_keeper(self, context, hook=hook, web=web)
        except LipsyncError as error:
            error.job_id, error.charged = job_id, Charged.YES
            raise
        stored = keeper.of_job(job_id)
        if stored is not None:
            self.log.info("The video of job %s stands at %s already.", job_id, shown(keeper.path))
            return keeper.result_of(stored)
        known = self.job if isinstance(self.job, Mapping) else {}
        return keeper.keep(self._finished_job(hook, job_id), marks=None, known=known)

    def _finished_job(self, hook: LipsyncHook, job_id: str) -> Job:
        """Return the job, with a URL as fresh as the vendor gives it; the one it had where it cannot be asked for."""
        seen = hook.look(job_id)
        if isinstance(seen, LipsyncUnknownJob | LipsyncPollFault):
            url = self.job.get("video_url") if isinstance(self.job, Mapping) else None
            if url:
                self.log.warning("Job %s could not be asked for (%s); trying the URL it had.", job_id, seen.message)
                return Job(id=job_id, status=JobStatus.COMPLETED, raw_status="completed", output=str(url))
        if isinstance(seen, LipsyncError):
            raise seen
        if not seen.status.is_terminal:
            raise LipsyncTransferFailed(
                f"the job has no video yet: its status is {seen.raw_status!r}",
                job_id=job_id,
                next_step="wait for it by LipsyncJobSensor(job=...) before this task",
            )
        return seen
