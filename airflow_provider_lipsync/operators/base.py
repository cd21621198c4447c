"""What operator and sensor share as tasks: deferring until a job has ended, waiting in place, and coming back."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.api.texts import without_query
from airflow_provider_lipsync.exceptions import Charged, LipsyncError, LipsyncPollFault
from airflow_provider_lipsync.jobs.outcome import LipsyncKnown, LipsyncResult, finished, timed_out

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
    from airflow_provider_lipsync.jobs.waiting import JobEvent

    class _Task:
        """What is used of Airflow's BaseOperator."""

        log: Any

        def defer(
            self, *, trigger: Any, method_name: str, kwargs: dict[str, Any] | None = None, timeout: Any = None
        ) -> NoReturn: ...

        def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any: ...

else:
    _Task = object

__all__ = ["BACKSTOP_SECONDS", "JobTask", "slept_until"]

# Seconds behind the moment by which a trigger fires, after which Airflow itself ends a deferral: its triggerer never
# came back.
BACKSTOP_SECONDS = 300.0


class JobTask(_Task):
    """Mixed into an operator or a sensor: it waits for one job and hands on its result."""

    lipsync_conn_id: str
    deferrable: bool

    _hook: LipsyncHook | None = None
    _submitted_at: float | None = None  # seconds since the epoch; None = not known here

    # What a host must say about itself.

    def _wait_seconds(self) -> float:
        """Return how long to wait for a job at the most."""
        raise NotImplementedError

    def _look_interval(self) -> float:
        """Return the seconds between two looks."""
        raise NotImplementedError

    def _kind(self) -> str:
        """Return what the job was bought as: jobs of one kind take a similar time. Empty = not known."""
        return ""

    def _known(self, job_id: str) -> LipsyncKnown | None:
        """Return what is known of a job beyond what the vendor tells; None = nothing."""
        return None

    def _nonce_of(self, job_id: str) -> str:
        """Return the ledger's name of its purchase where a webhook is to tell of it; empty = it is only looked at."""
        return ""

    def _known_job_id(self, context: Context) -> str:
        """Return the job's id when a resumed task was not told it."""
        raise NotImplementedError

    def _wait_error(self, error: LipsyncError) -> LipsyncError:
        """Return what to raise for an error of the wait."""
        raise NotImplementedError

    @property
    def hook(self) -> LipsyncHook:
        """The hook, made when it is first asked for."""
        if self._hook is None:
            from airflow_provider_lipsync.hooks.lipsync import LipsyncHook

            self._hook = LipsyncHook(lipsync_conn_id=self.lipsync_conn_id)
        return self._hook

    def execute_complete(
        self, context: Context, event: Any = None, job_id: str | None = None, deadline: float | None = None
    ) -> LipsyncResult:
        """Come back from the trigger. Safe to run twice; an event that is missing or odd makes it look for itself.

        :param event: what the trigger fired.
        :param job_id: what was deferred for.
        :param deadline: seconds since the epoch.
        """
        try:
            job_id = job_id or self._known_job_id(context)
            return self._hand_on(_job_in(event, job_id) or self._last_look(job_id, event, deadline))
        except LipsyncError as error:
            raise self._failed(context, error) from None
        finally:
            self._close()

    def _failed(self, context: Context, error: LipsyncError) -> LipsyncError:
        """Return what to raise for an error that ends this try; count it, and tell it to whoever looks at the pages."""
        from airflow_provider_lipsync.jobs.card import tell_failure
        from airflow_provider_lipsync.metrics import count_failure

        count_failure(error, conn_id=self.lipsync_conn_id, model=self._model())
        raised = self._wait_error(error)
        tell_failure(context, raised)
        return raised

    def _model(self) -> str:
        return self._kind().partition(" ")[0]

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from Airflow. A trigger that was lost or timed out is no verdict: look once more."""
        from airflow_provider_lipsync._airflow import trigger_failure

        failure = trigger_failure(next_method, next_kwargs)
        if failure is not None:
            next_method, next_kwargs = "execute_complete", {"event": failure}
        return super().resume_execution(next_method, next_kwargs, context)

    def _wait(self, job_id: str, deadline: float) -> LipsyncResult:
        """Wait for a job whose first look found it unfinished, freeing the worker if the task is deferrable.

        :param deadline: seconds since the epoch.
        """
        return self._hand_on(self._waited_on(job_id, deadline))

    def _hand_on(self, job: Job) -> LipsyncResult:
        """Return the result of a job that has ended, and tell of its video.

        :raises LipsyncJobFailed: it has none.
        """
        return self._result_of(job)

    def _result_of(self, job: Job) -> LipsyncResult:
        from airflow_provider_lipsync.jobs.wording import COMPLETED
        from airflow_provider_lipsync.metrics import count

        result = finished(job, self._known(job.id))
        self.log.info(COMPLETED, job.id, without_query(job.output or ""))
        count("completed", conn_id=self.lipsync_conn_id, model=self._model() or job.model or "")
        return result

    def _carried(self) -> dict[str, Any]:
        """Return what a host wants to know again when it comes back from the trigger; no secret."""
        return {}

    def _first_look(self, job_id: str) -> Job | None:
        """Return the job if it has ended already; a look that does not work leaves it to the waiting."""
        from airflow_provider_lipsync.jobs.waiting import ONE_ATTEMPT

        try:
            job = self.hook.client.get_job(job_id, retry=ONE_ATTEMPT)
        except LipsyncError as error:
            self.log.info("The first look at job %s did not work: %s.", job_id, error.message)
            return None
        return self._noted_end(job) if job.status.is_terminal else None

    def _noted_end(self, job: Job) -> Job:
        from airflow_provider_lipsync.metrics import note_end

        note_end(job, submitted_at=self._submitted_at, now=time.time(), conn_id=self.lipsync_conn_id)
        return job

    def _defer(self, job_id: str, deadline: float) -> NoReturn:
        from airflow_provider_lipsync.jobs.race import net_seconds, race_seconds
        from airflow_provider_lipsync.jobs.wording import moment
        from airflow_provider_lipsync.triggers.lipsync import LipsyncJobTrigger

        nonce = self._nonce_of(job_id)
        trigger = LipsyncJobTrigger(
            job_id=job_id,
            lipsync_conn_id=self.lipsync_conn_id,
            poll_interval=self._look_interval(),
            deadline=deadline,
            submitted_at=self._submitted_at,
            kind=self._kind(),
            not_before=time.time() + (net_seconds() if nonce else race_seconds()),
            nonce=nonce,
        )
        left = max(0.0, deadline - time.time()) + BACKSTOP_SECONDS
        self.log.info("Freeing the worker while job %s renders, until %s at the latest.", job_id, moment(deadline))
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs={"job_id": job_id, "deadline": deadline, **self._carried()},
            timeout=timedelta(seconds=left),
        )

    def _watch_in_place(self, job_id: str, deadline: float) -> JobEvent:
        from airflow_provider_lipsync.jobs.waiting import JobWatch, Waiting

        started, pause = time.time(), self._look_interval()
        waiting = Waiting(job_id=job_id, deadline=deadline, poll_interval=pause, not_before=started + pause)
        watch = JobWatch(waiting, now=started)
        while True:
            left = slept_until(watch.next_at)
            event = watch.saw(self._look(job_id), left=left, now=time.time(), log=self.log)
            if event is not None:
                return event

    def _look(self, job_id: str) -> Job | LipsyncError:
        from airflow_provider_lipsync.jobs.waiting import ONE_ATTEMPT

        try:
            return self.hook.client.get_job(job_id, retry=ONE_ATTEMPT)
        except LipsyncError as error:
            return error

    def _last_look(self, job_id: str, event: Any, deadline: float | None) -> Job:
        """Look for oneself and return the finished job; one that goes on is waited for, unless its time is up.

        :raises LipsyncError: it could not be seen, or its time is up.
        """
        happened = event if isinstance(event, dict) else {}
        try:
            job = self.hook.client.get_job(job_id)
        except LipsyncError as error:
            if happened.get("status") == "timeout":
                raise timed_out(job_id, seen=f"it could not be seen: {error.message}", job=None) from None
            raise
        if job.status.is_terminal:
            return job
        told = happened.get("message") or "it did not say why"
        if happened.get("status") == "timeout" or (deadline is not None and time.time() >= deadline):
            raise timed_out(job_id, seen=f"last seen as {job.raw_status!r}; {told}", job=job)
        if happened.get("status") == "error" and deadline is None:  # the trigger itself broke: it would break again
            raise LipsyncPollFault(f"the job goes on, but was not watched: {told}", job_id=job_id, charged=Charged.YES)
        self.log.warning("Job %s goes on, but what waited for it ended (%s): waiting on.", job_id, told)
        return self._waited_on(job_id, deadline or time.time() + self._wait_seconds())

    def _waited_on(self, job_id: str, deadline: float) -> Job:
        if self.deferrable:
            self._defer(job_id, deadline)
        event = self._watch_in_place(job_id, deadline)
        ended = _job_in(event, job_id)
        return self._noted_end(ended) if ended else self._last_look(job_id, event, deadline)

    def _close(self) -> None:
        if self._hook is not None:
            self._hook.close()


def slept_until(moment: float) -> float:
    """Sleep until a moment, and return what time it is then; both in seconds since the epoch."""
    pause = moment - time.time()
    if pause > 0:
        time.sleep(pause)
    return time.time()


def _job_in(event: Any, job_id: str) -> Job | None:
    """Return the finished job that an event of ours tells of; None where it tells of none, or of another."""
    from airflow_provider_lipsync.api.answers import read_job

    described = event.get("job") if isinstance(event, dict) else None
    if not isinstance(described, dict) or described.get("id") != job_id:
        return None
    job = read_job(job_id, described)
    return job if job.status.is_terminal else None
