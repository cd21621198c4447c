"""The questions that the page of jobs asks of Airflow's tables; each is bounded by a number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlalchemy import ColumnElement, and_, exists, false, or_, select
from sqlalchemy.orm import Session, aliased

from airflow_provider_lipsync.jobs.ledger import State
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.facts import bounded, key_columns, key_of, same_task
from airflow_provider_lipsync.plugin.insides import TaskInstance, XComModel, state_store
from airflow_provider_lipsync.plugin.task_facts import BUYING, CARD, JOB_ID, RESULT
from airflow_provider_lipsync.plugin.values import Card, Purchase, read_card, read_json, read_purchase

__all__ = ["CardRow", "cards", "dags_with_jobs", "perhaps_undelivered"]

_UNDELIVERED = 300  # rows that are looked at for each reason
_ENDED_ILL = ("failed", "upstream_failed", "skipped", "removed")
_PRIMARY = (XComModel.dag_run_id, XComModel.task_id, XComModel.map_index, XComModel.key)
_OPEN = (State.BOUGHT, State.INTENT)


@dataclass(kw_only=True)
class CardRow:
    """A purchase, as its task told of it.

    :param pushed_at: when it told.
    """

    key: TaskKey
    pushed_at: datetime
    text: str | None

    @cached_property
    def card(self) -> Card | None:
        """What it told; None where that is no card."""
        return read_card(read_json(self.text))

    @cached_property
    def purchase(self) -> Purchase | None:
        """The little of it that sums and choices are made of; far quicker to read."""
        return read_purchase(read_json(self.text))


def dags_with_jobs(session: Session) -> set[str]:
    """Return the DAGs that told of jobs, or have a ledger."""
    found = set(session.scalars(select(XComModel.dag_id).where(XComModel.key == CARD).distinct()))
    store = state_store()
    if store is not None:
        found |= set(session.scalars(select(store.dag_id).where(store.key == CARD).distinct()))
    return found


def cards(
    session: Session, dags: Sequence[str], *, limit: int, before: datetime | None = None, since: datetime | None = None
) -> list[CardRow]:
    """Return the newest purchases of some DAGs, newest first."""
    wanted = select(*_PRIMARY).where(XComModel.key == CARD, XComModel.dag_id.in_(dags))
    if before is not None:
        wanted = wanted.where(XComModel.timestamp < before)
    if since is not None:
        wanted = wanted.where(XComModel.timestamp >= since)
    newest = wanted.order_by(XComModel.timestamp.desc()).limit(limit).subquery()  # values are read of these alone
    found = (
        select(*key_columns(XComModel), XComModel.timestamp.label("pushed_at"), bounded(XComModel.value).label("text"))
        .join(newest, and_(*(column == newest.c[column.key] for column in _PRIMARY)))
        .order_by(XComModel.timestamp.desc())
    )
    return [CardRow(key=key_of(row), pushed_at=row.pushed_at, text=row.text) for row in session.execute(found)]


def perhaps_undelivered(session: Session, dags: Sequence[str], *, since: datetime) -> tuple[list[TaskKey], bool]:
    """Return tasks that ended, and whose last purchase may not have been handed on; newest first.

    More than there are: what they handed on is not compared here.

    :return: the tasks, and whether there are older ones that were not looked at.
    """
    ended_ill = TaskInstance.state.in_(_ENDED_ILL)
    in_success = TaskInstance.state == "success"
    found = (
        _by_ledger(session, dags, since, or_(ended_ill, and_(in_success, ~_has_result()))),
        _by_ledger(session, dags, since, and_(in_success, _has_result())),  # perhaps that of another job
        _by_xcom(session, dags, since, ended_ill),
    )
    looked_at = dict.fromkeys(key for some in found for key in some[:_UNDELIVERED])
    return list(looked_at), any(len(some) > _UNDELIVERED for some in found)


def _by_ledger(session: Session, dags: Sequence[str], since: datetime, ended: ColumnElement[bool]) -> list[TaskKey]:
    store = state_store()
    if store is None:
        return []
    is_open = or_(*(store.value.like(f'%"state": "{state.value}"%') for state in _OPEN))
    wanted = (
        select(*key_columns(store))
        .join(TaskInstance, same_task(store, TaskInstance))
        .where(store.key == CARD, store.dag_id.in_(dags), store.updated_at >= since, is_open, ended)
        .order_by(store.updated_at.desc())
        .limit(_UNDELIVERED + 1)
    )
    return [key_of(row) for row in session.execute(wanted)]


def _by_xcom(session: Session, dags: Sequence[str], since: datetime, ended: ColumnElement[bool]) -> list[TaskKey]:
    """Where no ledger tells: a job was named, the task ended ill, and nothing was handed on."""
    told = or_(XComModel.key == CARD, and_(XComModel.key == JOB_ID, TaskInstance.operator.in_(BUYING)))
    wanted = (
        select(*key_columns(XComModel))
        .join(TaskInstance, same_task(XComModel, TaskInstance))
        .where(XComModel.key.in_((CARD, JOB_ID)), told, XComModel.dag_id.in_(dags), XComModel.timestamp >= since)
        .where(ended, ~_has_result(), ~_has_ledger())
        .order_by(XComModel.timestamp.desc())
        .limit(_UNDELIVERED + 1)
    )
    return [key_of(row) for row in session.execute(wanted)]


def _has_result() -> ColumnElement[bool]:
    result = aliased(XComModel)
    return exists().where(same_task(result, TaskInstance), result.key == RESULT)


def _has_ledger() -> ColumnElement[bool]:
    store = state_store()
    return false() if store is None else exists().where(same_task(store, TaskInstance), store.key == CARD)
