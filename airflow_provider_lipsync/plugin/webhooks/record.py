"""The ledger as the API server reads it, and whether a delivery stands already; blocks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY, delivered_job
from airflow_provider_lipsync.jobs.ledger import Record
from airflow_provider_lipsync.jobs.memory import StateStoreMemory, memory_of
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.facts import bounded
from airflow_provider_lipsync.plugin.insides import (
    XComModel,
    has_searchable_states,
    load_state,
    save_state,
    state_store,
    task_rows,
)
from airflow_provider_lipsync.plugin.values import read_json

__all__ = ["brings_ids", "is_delivered", "read_record", "write_record"]


class _Store:
    """Airflow's task state store, as a task of a worker has it in hand."""

    def __init__(self, session: Session, key: TaskKey) -> None:
        self._session, self._key = session, key

    def get(self, name: str) -> Any:
        return load_state(self._session, self._key, name)

    def set(self, name: str, value: Any, *, retention: timedelta) -> None:
        save_state(self._session, self._key, name, value, retention=retention)


def brings_ids(settings: ConnectionSettings) -> bool:
    """Whether an id that was lost can be brought back to the ledger of a connection's jobs.

    It takes a ledger that can be searched for whoever has this id already, and be locked while that is done.
    """
    return settings.ledger_path is None and has_searchable_states()


def read_record(session: Session, key: TaskKey, settings: ConnectionSettings) -> Record | None:
    """Return what the ledger knows of a task instance; None where nothing was bought.

    :raises Exception: it cannot be read, or understood.
    """
    store = None if state_store() is None else _Store(session, key)
    memory = memory_of({"task_state_store": store, "ti": key}, ledger_path=settings.ledger_path)
    if memory is None:
        raise RuntimeError("there is no ledger: no task state store, and no ledger_path")
    found = memory.load()
    return None if found is None else Record.from_json(found)


def write_record(session: Session, key: TaskKey, record: Record) -> None:
    """Write it in the place of what was there; only where :func:`ids are brought back <brings_ids>`."""
    StateStoreMemory(_Store(session, key)).save(record.as_json())


def is_delivered(session: Session, key: TaskKey, nonce: str) -> bool:
    """Whether a delivery of a purchase was handed on."""
    wanted = select(bounded(XComModel.value)).where(*task_rows(XComModel, key), XComModel.key == DELIVERY_KEY)
    return delivered_job(read_json(session.scalar(wanted)), nonce) is not None
