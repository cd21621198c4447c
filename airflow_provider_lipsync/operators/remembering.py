"""How an operator remembers its job: the ledger of its task instance, and when a result counts as handed on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncBadInput,
    LipsyncError,
    LipsyncJobFailed,
    LipsyncLedgerUnavailable,
    LipsyncUnknownJob,
)
from airflow_provider_lipsync.jobs.outcome import LipsyncResult, as_wait_error, job_id_of
from airflow_provider_lipsync.operators.base import JobTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_lipsync.jobs.ledger import Ledger

__all__ = ["RememberingTask", "tell_success"]


def tell_success(context: Context) -> None:
    """Run by Airflow after a success: from now on a clear means that a person wants another video.

    A callback, not the end of ``execute``: a worker that dies in between has not handed the video on.
    """
    task = context["ti"].task
    if isinstance(task, RememberingTask):
        task.record_delivery(context)


class RememberingTask(JobTask):
    """Mixed into an operator that buys."""

    _ledger: Ledger | None = None
    _job_id: str | None = None
    _handed_on: str | None = None
    _killed = False
    _teller: threading.Thread | None = None
    resume_job_id: Any

    def execute_complete(
        self, context: Context, event: Any = None, job_id: str | None = None, deadline: float | None = None
    ) -> LipsyncResult:
        """Come back from the trigger; see :meth:`JobTask.execute_complete`."""
        self._remember(context, job_id)
        if isinstance(event, dict) and event.get("status") in ("completed", "failed"):
            self._job_id = None  # it does not run on: a kill has nothing to tell
        return super().execute_complete(context, event, job_id, deadline)

    def on_kill(self) -> None:
        """Say once that the job cannot be cancelled, and buy none from now on; the record is kept."""
        if self._killed:
            return
        self._killed = True
        if self._job_id:  # not from here: this is a signal handler, and the log may be locked by what it interrupts
            self._teller = threading.Thread(target=self._tell_of_kill, args=(self._job_id,), daemon=True)
            self._teller.start()

    def _note_job(self, job_id: str) -> None:
        """Note the job that was just bought; a kill may have come while its submit was on the way."""
        self._job_id = job_id
        if self._killed:
            self._tell_of_kill(job_id)

    def _tell_of_kill(self, job_id: str) -> None:
        self.log.warning(
            "The task was ended from outside. Job %s has no cancel: it runs on at the vendor and stays charged. %s.",
            job_id,
            self._whats_next().capitalize(),
        )

    def record_delivery(self, context: Context) -> None:
        """Write that the result was handed on, if Airflow has recorded the success; else the job stays to be had."""
        if self._handed_on is None:
            return
        from airflow_provider_lipsync._airflow import is_recorded_as_success
        from airflow_provider_lipsync.jobs.ledger import State
        from airflow_provider_lipsync.metrics import count

        if is_recorded_as_success(context["ti"]):
            if self._ledger is not None:
                self._ledger.ended(State.DELIVERED, self._handed_on)
            count("delivered", conn_id=self.lipsync_conn_id, model=self._model())
        elif self._ledger is not None:
            self.log.warning(
                "Airflow did not record a success, so job %s counts as not delivered: a clear hands it on again.",
                self._handed_on,
            )

    def _open_ledger(self, context: Context) -> Ledger | None:
        from airflow_provider_lipsync.jobs.ledger import Generation, Ledger
        from airflow_provider_lipsync.jobs.memory import memory_of

        memory = memory_of(context, ledger_path=self.hook.settings.ledger_path)
        clear_number = getattr(context.get("dag_run"), "clear_number", None)
        generation = Generation(max_tries=context["ti"].max_tries, clear_number=clear_number)
        return None if memory is None else Ledger(memory, generation=generation, log=self.log)

    def _remember(self, context: Context, job_id: str | None) -> None:
        """Open the ledger of a task that comes back, and write the id if it could not be written before.

        Nothing here may keep a finished video from being handed on.
        """
        from airflow_provider_lipsync.jobs.ledger import State

        self._job_id = job_id
        try:
            self._ledger = self._open_ledger(context)
            record = self._ledger.read() if self._ledger and job_id else None
            if self._ledger and record and job_id and record.state is State.INTENT:
                self._ledger.bought(record, job_id)
        except Exception as error:  # noqa: BLE001 - a connection that is gone, a storage library: whatever it was
            words = error.message if isinstance(error, LipsyncError) else f"{type(error).__name__}: {error}"
            self.log.warning("The ledger could not be read; going on with job %s. %s", job_id, words)

    def _hand_on(self, job: Job) -> LipsyncResult:
        from airflow_provider_lipsync.jobs.ledger import State

        try:
            result = super()._hand_on(job)
        except LipsyncJobFailed:
            if self._ledger and job.status is JobStatus.FAILED:
                self._ledger.ended(State.FAILED, job.id)
            raise
        self._handed_on = job.id
        return result

    def _nonce_of(self, job_id: str) -> str:
        return self._ledger.nonce_of(job_id) if self._ledger else ""

    def _known_job_id(self, context: Context) -> str:
        try:
            record = self._ledger.read() if self._ledger else None
        except LipsyncLedgerUnavailable as error:
            self.log.warning("%s; looking for the id in XCom.", error.message)
            record = None
        if record is not None and record.job_id:
            return record.job_id
        ti = context["ti"]
        try:
            return job_id_of(ti.xcom_pull(task_ids=ti.task_id, key="job_id", map_indexes=ti.map_index))
        except LipsyncBadInput:
            raise LipsyncUnknownJob(
                "the job was bought, but its id is neither in the ledger nor in XCom",
                charged=Charged.YES,
                next_step='take the id from this task\'s log ("was bought"), set it as resume_job_id, and clear',
            ) from None

    def _wait_error(self, error: LipsyncError) -> LipsyncError:
        if isinstance(error, AirflowFailException):
            return error
        return as_wait_error(error, next_try=self._whats_next())

    def _whats_next(self) -> str:
        """Return what a retry or clear will do about the job."""
        if self.resume_job_id:
            return "a retry or clear looks at the job of resume_job_id again, as long as that is set"
        if self._ledger is None or not self._ledger.knows_id:
            return "the next try cannot know this job: it will refuse to buy, and ask"
        return "a retry or clear waits on for this job"
