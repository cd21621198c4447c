"""Whether a job is somebody else's already: an id that a delivery brings back must not be."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, func, not_, select
from sqlalchemy.orm import Session

from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.insides import XComModel, state_store, task_rows
from airflow_provider_lipsync.plugin.task_facts import CARD, JOB_ID

__all__ = ["is_claimed"]

_TOLD = (JOB_ID, CARD, DELIVERY_KEY)  # XComs that name the job of the task that pushed them


def is_claimed(session: Session, job_id: str, *, besides: TaskKey) -> bool:
    """Whether the ledger or an XCom of another task instance names a job; however its letters are written."""
    quoted = f'"{job_id.lower()}"'
    told = select(XComModel.key).where(XComModel.key.in_(_TOLD), _holds(XComModel.value, quoted))
    if session.scalar(told.where(_is_not(XComModel, besides)).limit(1)) is not None:
        return True
    store = state_store()
    known = select(store.key).where(store.key == CARD, _holds(store.value, f'"job_id": {quoted}'))
    return session.scalar(known.where(_is_not(store, besides)).limit(1)) is not None


def _holds(column: Any, text: str) -> ColumnElement[bool]:
    return func.lower(cast(column, Text)).contains(text, autoescape=True)


def _is_not(table: Any, key: TaskKey) -> ColumnElement[bool]:
    return not_(and_(*task_rows(table, key)))
