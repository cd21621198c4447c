"""What is done for a delivery whose address was right: read the ledger, look at the job, hand it on, or look again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_lipsync.api.callback import Callback
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncUnknownJob
from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.ledger import Record
from airflow_provider_lipsync.jobs.race import resume_seconds
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.metrics import count, note_end
from airflow_provider_lipsync.plugin.insides import create_session
from airflow_provider_lipsync.plugin.pools import for_deliveries, for_folders
from airflow_provider_lipsync.plugin.webhooks.handing import (
    Delivery,
    Taken,
    hand_over,
    is_over,
    is_same_job,
    patiently,
    resume_if_due,
)
from airflow_provider_lipsync.plugin.webhooks.later import Later, Turns
from airflow_provider_lipsync.plugin.webhooks.limits import Tally
from airflow_provider_lipsync.plugin.webhooks.record import brings_ids, is_delivered, read_record
from airflow_provider_lipsync.plugin.webhooks.request import RefusedError
from airflow_provider_lipsync.plugin.webhooks.vendor import Vendors

__all__ = ["LOOK_AGAIN", "Deliveries", "Outcome"]

log = logging.getLogger(__name__)

LOOK_AGAIN = (5.0, 15.0, 45.0)  # seconds between looks at a job that had not ended, or could not be seen
_ANSWER_SECONDS = 25.0  # in which a delivery is answered, however slow the database or the ledger is
_RESUMED_WITHIN = 30.0  # seconds beyond the first moment at which a task may be resumed


class Outcome(StrEnum):
    """What a delivery is counted as."""

    DELIVERED = "delivered"
    RECOVERED = "recovered"  # delivered, and the id of the job was lost before
    DUPLICATE = "duplicate"  # there was nothing to do: replayed, or of a purchase that is over
    EARLY = "early"  # the vendor itself says that the job has not ended
    REFUSED = "refused"
    FAILED = "failed"  # it could not be looked into now


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What stands before a look.

    :param is_done: whether a delivery of the purchase was handed on.
    """

    record: Record | None
    is_done: bool


class UnknownIdError(LookupError):
    """The ledger has no id (yet), and none can be brought back to it."""


class Deliveries:
    """Takes deliveries whose address was right; to be used on one event loop.

    :param settings: returns what is known of a connection.
    """

    def __init__(self, settings: Callable[[str], ConnectionSettings | None]) -> None:
        self._settings = settings
        self._vendors, self._later, self._turns = Vendors(), Later(), Turns()
        self.troubles = Tally(log, "Webhooks that could not be looked into, whose jobs are looked at later: %s.")

    async def take(self, callback: Callback, job_id: str) -> Outcome:
        """Do what there is to do for a delivery; what cannot be done now is tried again later.

        :param job_id: that the delivery names: a hint.
        :raises RefusedError: it cannot be right.
        """
        outcome = await self._tried(callback, job_id)
        if outcome in (Outcome.EARLY, Outcome.FAILED):
            self._later.start(callback.nonce, self._look_again(callback, job_id))
        return outcome

    async def aclose(self) -> None:
        """Close what is open."""
        await self._vendors.aclose()

    async def _look_again(self, callback: Callback, job_id: str) -> None:
        for pause in LOOK_AGAIN:
            await asyncio.sleep(pause)
            try:
                outcome = await self._tried(callback, job_id)
            except RefusedError as refusal:
                log.warning("A webhook was taken, and is not believed any more: %s.", refusal.reason)
                outcome = Outcome.REFUSED
                count("webhooks", conn_id=callback.conn_id, tags={"outcome": outcome.value})
            if outcome not in (Outcome.EARLY, Outcome.FAILED):
                return

    async def _tried(self, callback: Callback, job_id: str) -> Outcome:
        """Do it once, and count what came of it.

        :raises RefusedError: it cannot be right.
        """
        model = ""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._turns.of(callback.nonce):
                outcome, model = await self._step(callback, job_id)
        except RefusedError:
            raise
        except Exception as error:  # noqa: BLE001 - the database, a storage, a backend of one's own: whatever it was
            self.troubles.note(type(error).__name__)
            outcome = Outcome.FAILED
        count("webhooks", conn_id=callback.conn_id, model=model, tags={"outcome": outcome.value})
        return outcome

    async def _step(self, callback: Callback, job_id: str) -> tuple[Outcome, str]:
        settings = self._settings(callback.conn_id)
        if settings is None:
            raise LookupError("the connection is not there any more")
        known = await self._known(callback, settings)
        record = known.record
        if record is None or known.is_done or is_over(record, callback.nonce):
            return Outcome.DUPLICATE, "" if record is None else record.endpoint
        job_id = self._whose(record, job_id, settings)
        seen = await self._vendors.look(callback.conn_id, settings, job_id)
        if isinstance(seen, LipsyncError):
            return self._unseen(seen, record), record.endpoint
        if not seen.status.is_terminal:
            return Outcome.EARLY, record.endpoint
        return await self._hand_over(callback, settings, record, seen), record.endpoint

    async def _known(self, callback: Callback, settings: ConnectionSettings) -> _Known:
        in_thread = for_folders if settings.ledger_path else for_deliveries
        return await in_thread(patiently, _what_stands, key_of(callback), callback.nonce, settings)

    def _whose(self, record: Record, job_id: str, settings: ConnectionSettings) -> str:
        """Return the job to look at.

        :raises RefusedError: the ledger knows that it is another one.
        """
        if record.job_id is None:
            if not brings_ids(settings):
                raise UnknownIdError
            return job_id
        if not is_same_job(record.job_id, job_id):
            raise RefusedError("another job")
        return record.job_id

    def _unseen(self, error: LipsyncError, record: Record) -> Outcome:
        if isinstance(error, LipsyncUnknownJob) and record.job_id is None:
            raise RefusedError("unknown job")
        self.troubles.note(type(error).__name__)
        return Outcome.FAILED

    async def _hand_over(self, callback: Callback, settings: ConnectionSettings, record: Record, job: Job) -> Outcome:
        key = key_of(callback)
        delivery = Delivery(key=key, nonce=callback.nonce, job=job, record=record, settings=settings)
        handing = await for_deliveries(patiently, hand_over, delivery)
        if handing.again is not None:
            self._later.start(callback.nonce, self._resume(delivery, handing.again))
        if handing.taken is Taken.STOOD:
            return Outcome.DUPLICATE
        goes_on = "resumed" if handing.resumed else "to find it"
        log.info("A webhook told that job %s has ended: %s. The task %s is %s.", job.id, job.raw_status, key, goes_on)
        if handing.taken is Taken.BROUGHT_BACK:
            return Outcome.RECOVERED  # timed by the task, which looks at the job itself
        note_end(job, submitted_at=record.submitted_at, now=time.time(), conn_id=callback.conn_id)
        return Outcome.DELIVERED

    async def _resume(self, delivery: Delivery, again: float | None) -> None:
        """Resume a task that could not be resumed yet; its trigger reads the delivery by itself, a little later."""
        until = time.monotonic() + resume_seconds() + _RESUMED_WITHIN
        while again is not None and time.monotonic() < until:
            await asyncio.sleep(again)
            try:
                handing = await for_deliveries(patiently, resume_if_due, delivery)
            except Exception as error:  # noqa: BLE001 - the delivery stands, and the trigger finds it
                self.troubles.note(type(error).__name__)
                return
            again = handing.again
            if handing.resumed:
                log.info("The task %s, whose job %s has ended, is resumed.", delivery.key, delivery.job.id)


def key_of(callback: Callback) -> TaskKey:
    """Return the task instance that a token names."""
    return TaskKey(
        dag_id=callback.dag_id, run_id=callback.run_id, task_id=callback.task_id, map_index=callback.map_index
    )


def _what_stands(key: TaskKey, nonce: str, settings: ConnectionSettings) -> _Known:
    with create_session(scoped=False) as session:
        record = read_record(session, key, settings)
        is_done = record is not None and record.nonce == nonce and is_delivered(session, key, nonce)
    return _Known(record=record, is_done=is_done)
