"""LipsyncJobTrigger: waits for a job in the triggerer. It only ever looks (GET); nothing here can buy anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_lipsync._airflow import pull_own
from airflow_provider_lipsync.api.answers import read_job
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
from airflow_provider_lipsync.jobs.clock import Clock, asleep_until
from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY, delivered_job
from airflow_provider_lipsync.jobs.net import is_trusted, note_arrival, note_miss
from airflow_provider_lipsync.jobs.race import race_seconds
from airflow_provider_lipsync.jobs.waiting import ONE_ATTEMPT, JobEvent, Waiting, ended_event
from airflow_provider_lipsync.jobs.watchers import watching
from airflow_provider_lipsync.metrics import note_end

__all__ = ["LipsyncJobTrigger"]

_NAMES = ("job_id", "lipsync_conn_id", "poll_interval", "deadline", "submitted_at", "kind", "not_before", "nonce")


class LipsyncJobTrigger(BaseTrigger):
    """Fires one event when a job has ended, cannot be seen for good, or its deadline has passed.

    All triggers of one connection in a triggerer share one poller: see ``docs/scale.md``. The event is
    ``{"status": "completed" | "failed" | "timeout" | "error", "job_id", "job": {…} or None, "message"}``.

    :param job_id: the vendor's id.
    :param lipsync_conn_id: the connection; the API key stays in it.
    :param poll_interval: seconds between two looks at the most, from the time on that a job typically takes.
    :param deadline: seconds since the epoch: wall-clock, so that a restart changes nothing.
    :param submitted_at: when the job was bought, seconds since the epoch; None = not known: it is looked at by the
        interval alone.
    :param kind: what it was bought as, e.g. ``lipsync-image 480p``: jobs of one kind take a similar time.
    :param not_before: no look before it, seconds since the epoch; None = as long after the start as Airflow's scheduler
        needs, see :func:`~airflow_provider_lipsync.jobs.race.race_seconds`.
    :param nonce: the ledger's name of the purchase, where a webhook is to tell of the job: what the receiver handed on
        is read, and looks are the net below it. Empty = the job is looked at.
    """

    def __init__(
        self,
        *,
        job_id: str,
        lipsync_conn_id: str,
        poll_interval: float,
        deadline: float,
        submitted_at: float | None = None,
        kind: str = "",
        not_before: float | None = None,
        nonce: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job_id = job_id
        self.lipsync_conn_id = lipsync_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.submitted_at = submitted_at
        self.kind = kind
        self.not_before = not_before
        self.nonce = nonce

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in _NAMES}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch the job and yield its one event."""
        yield TriggerEvent(dict(await self.watched()))  # type: ignore[no-untyped-call]

    async def watched(self) -> JobEvent:
        """Wait for the job, together with all others of this connection, and return the event."""
        told = await self._told() if self._may_be_told else None
        if told is not None:
            return ended_event(told)
        shared = watching(self.lipsync_conn_id)
        waiter = shared.enter(self._waiting(), owner=self)
        try:
            event = await waiter.answer
        finally:
            await shared.leave(waiter)
        if event["job"] is not None:
            job = read_job(event["job_id"], event["job"])
            note_end(job, submitted_at=self.submitted_at, now=Clock().now(), conn_id=self.lipsync_conn_id)
            if self._may_be_told:
                await self._note_untold()
        return event

    @property
    def _may_be_told(self) -> bool:
        """Whether a webhook may tell of the job; in ``dag.test()``, where triggers have no task, nobody hears it."""
        return bool(self.nonce) and self.task_instance is not None

    async def _told(self) -> Job | None:
        """Return the job if a webhook told of it before this trigger ran, or in its first seconds, when a task must not
        be resumed yet. Later ones resume it from where they arrive.
        """
        not_before = min(self._not_before(), self.deadline)
        for moment in (0.0, not_before):
            await asleep_until(moment)
            job = await self._delivered()
            if job is not None:
                await asleep_until(not_before)
                return job
        return None

    async def _delivered(self) -> Job | None:
        job = delivered_job(await pull_own(self.task_instance, DELIVERY_KEY), self.nonce)
        if job is not None:
            note_arrival(self.lipsync_conn_id)
        return job

    async def _note_untold(self) -> None:
        """Tell that the job had to be looked at; a webhook that arrives in this very moment is none that was missed."""
        if await self._delivered() is None:
            note_miss(self.lipsync_conn_id)
            self.log.info("No webhook has told of job %s: it was seen by a look.", self.job_id)

    async def on_kill(self) -> None:
        """Say that the job cannot be cancelled, and touch nothing.

        Airflow calls this also when an event came from elsewhere (a webhook, another triggerer). The job has ended
        then, and there is nothing to say.
        """
        if self.nonce and await self._delivered() is not None:
            return
        hook = LipsyncHook(lipsync_conn_id=self.lipsync_conn_id)
        seen: Job | None = None
        try:
            client = await hook.aget_client()
            seen = await client.get_job(self.job_id, retry=ONE_ATTEMPT)
        except Exception as error:  # noqa: BLE001 - whatever it was, there is something to tell
            self.log.info("The job could not be looked at: %s: %s", type(error).__name__, error)
        finally:
            await hook.aclose()
        if seen is not None and seen.status.is_terminal:
            return
        self.log.warning(
            "The task was ended or cleared from outside. Job %s has no cancel: it runs on at the vendor and stays "
            "charged. Its record is kept for the next try.",
            self.job_id,
        )

    def _waiting(self) -> Waiting:
        return Waiting(
            job_id=self.job_id,
            deadline=self.deadline,
            poll_interval=self.poll_interval,
            submitted_at=self.submitted_at,
            kind=self.kind,
            not_before=self._not_before(),
            webhook=self._may_be_told and is_trusted(self.lipsync_conn_id),
        )

    def _not_before(self) -> float:
        if self.not_before is None:
            self.not_before = Clock().now() + race_seconds()
        return self.not_before
