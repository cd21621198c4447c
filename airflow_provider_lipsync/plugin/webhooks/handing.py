"""The one transaction in which a confirmed delivery is handed on; blocks.

The task instance is locked first, so that of two deliveries at once only one is handed on, and so that nothing that a
person or the scheduler does at the same time is overwritten.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY, delivery_of, event_of
from airflow_provider_lipsync.jobs.ledger import Record, State
from airflow_provider_lipsync.jobs.race import resume_seconds
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.insides import (
    Deferral,
    create_session,
    deferral_of,
    locked_task,
    put_xcom,
    resume,
)
from airflow_provider_lipsync.plugin.webhooks.claims import is_claimed
from airflow_provider_lipsync.plugin.webhooks.record import brings_ids, is_delivered, read_record, write_record
from airflow_provider_lipsync.plugin.webhooks.request import RefusedError

__all__ = ["Delivery", "Handing", "Taken", "hand_over", "is_over", "is_same_job", "patiently", "resume_if_due"]

T = TypeVar("T")

_OUR_TRIGGERS = "airflow_provider_lipsync.triggers."
_OUR_METHODS = ("execute_complete", "execute_again")
_NOT_BEGUN, _BEGUN = ("scheduled", "queued"), ("running", "restarting")
_MOMENT = 2.0  # seconds, after which a task that is on the way is looked at again
_ATTEMPTS = 4  # at a transaction that the database did not allow now
_PAUSE = 0.1  # seconds, more each time


class Taken(StrEnum):
    """What became of a delivery in the transaction."""

    HANDED_ON = "handed on"
    BROUGHT_BACK = "brought back"  # handed on, and its id was not known before
    STOOD = "stood"  # another one was handed on already, or the purchase is not waited for any more


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A job that has ended, as a look confirmed it, and whose purchase it is.

    :param nonce: the ledger's name of the purchase.
    :param record: what the ledger knew of it before the look.
    :param settings: of the connection that it was bought by.
    """

    key: TaskKey
    nonce: str
    job: Job
    record: Record
    settings: ConnectionSettings


@dataclass(frozen=True, kw_only=True)
class Handing:
    """What was done.

    :param resumed: whether the task was resumed.
    :param again: seconds after which it may be resumed; None = it was, or it is not for us to do.
    """

    taken: Taken
    resumed: bool = False
    again: float | None = None


def hand_over(delivery: Delivery) -> Handing:
    """Write a delivery where the task finds it, and resume the task if it waits for it.

    :raises RefusedError: the job is not that of the purchase.
    """
    with create_session(scoped=False) as session:
        task = locked_task(session, delivery.key)
        if task is None or is_delivered(session, delivery.key, delivery.nonce):
            return Handing(taken=Taken.STOOD)
        record = _as_it_stands(session, delivery)
        if record is None:
            return Handing(taken=Taken.STOOD)
        brought = record.job_id is None
        if brought:
            _bring_id(session, delivery, record)
        told = delivery_of(delivery.nonce, delivery.job, at=time.time())
        put_xcom(session, delivery.key, DELIVERY_KEY, told)
        taken = Taken.BROUGHT_BACK if brought else Taken.HANDED_ON
        return replace(_resumed(session, task, delivery), taken=taken)


def resume_if_due(delivery: Delivery) -> Handing:
    """Resume the task of a delivery that was handed on before, if it waits for it by now."""
    with create_session(scoped=False) as session:
        task = locked_task(session, delivery.key)
        if task is None or not is_delivered(session, delivery.key, delivery.nonce):
            return Handing(taken=Taken.STOOD)
        return _resumed(session, task, delivery)


def is_over(record: Record | None, nonce: str) -> bool:
    """Whether nothing waits for a purchase any more: it was delivered, has failed, or another one took its place."""
    return record is None or record.nonce != nonce or record.state in (State.DELIVERED, State.FAILED)


def is_same_job(one: str, other: str) -> bool:
    """Whether two ids are of one job, however their letters are written."""
    return one.lower() == other.lower()


def patiently(function: Callable[..., T], *arguments: Any) -> T:
    """Call what writes to the database; again, where it was locked, or could not serialize.

    :raises sqlalchemy.exc.OperationalError: it could not be done now.
    """
    for attempt in range(1, _ATTEMPTS):
        try:
            return function(*arguments)
        except OperationalError:
            time.sleep(_PAUSE * attempt * (0.5 + random.random()))  # noqa: S311 - a pause
    return function(*arguments)


def _as_it_stands(session: Session, delivery: Delivery) -> Record | None:
    """Return the record, now that nobody can begin another purchase unseen; None where nothing waits for it.

    A ledger outside of the database is not read again: the lock would be held for as long as a storage takes. What a
    task waits by tells, too, whether it waits for this purchase.

    :raises RefusedError: it is of another job.
    """
    record: Record | None = delivery.record
    if brings_ids(delivery.settings):
        record = read_record(session, delivery.key, delivery.settings)
    if record is None or is_over(record, delivery.nonce):
        return None
    if record.job_id is not None and not is_same_job(record.job_id, delivery.job.id):
        raise RefusedError("another job")
    return record


def _bring_id(session: Session, delivery: Delivery, record: Record) -> None:
    if delivery.job.model != record.endpoint:
        raise RefusedError("another model")
    if is_claimed(session, delivery.job.id, besides=delivery.key):
        raise RefusedError("claimed job")
    write_record(session, delivery.key, replace(record, state=State.BOUGHT, job_id=delivery.job.id))


def _resumed(session: Session, task: Any, delivery: Delivery) -> Handing:
    deferral = deferral_of(session, task)
    if deferral is None:
        return Handing(taken=Taken.STOOD, again=_MOMENT if _may_wait_soon(task) else None)
    if not _waits_for(deferral, delivery.nonce):
        return Handing(taken=Taken.STOOD)
    left = deferral.since + resume_seconds() - time.time()
    if left > 0:
        return Handing(taken=Taken.STOOD, again=left)
    resume(session, task, {**event_of(delivery.job), "nonce": delivery.nonce})
    return Handing(taken=Taken.STOOD, resumed=True)


def _may_wait_soon(task: Any) -> bool:
    """Whether a task that does not wait is on the way to it; one that was resumed already is not."""
    return task.state in _BEGUN or (task.state in _NOT_BEGUN and not task.next_method)


def _waits_for(deferral: Deferral, nonce: str) -> bool:
    is_ours = deferral.trigger.startswith(_OUR_TRIGGERS) and deferral.next_method in _OUR_METHODS
    return is_ours and deferral.arguments.get("nonce") == nonce
