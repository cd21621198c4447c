"""What Airflow's database knows of task instances: one question each to three tables, however many are asked for.

Reads no storage and no connection. Rows are asked for as columns, never as Airflow's objects, which load far more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, cast, exists, func, or_, select
from sqlalchemy.orm import Session

from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.insides import DagRun, TaskInstance, XComModel, state_store
from airflow_provider_lipsync.plugin.task_facts import CARD, FAILURE, JOB_ID, OURS, RESULT, TaskFacts
from airflow_provider_lipsync.plugin.values import (
    LARGEST,
    Entry,
    job_id_in,
    read_card,
    read_entry,
    read_failure,
    read_json,
    read_result,
)

__all__ = [
    "bounded",
    "facts_of",
    "key_columns",
    "key_of",
    "run_exists",
    "same_task",
    "tasks_of_run",
]

_AT_ONCE = 200  # task instances that one question names at the most


def facts_of(session: Session, keys: Sequence[TaskKey]) -> list[TaskFacts]:
    """Return what is known of those of some task instances that exist, in the order they were named."""
    found: dict[TaskKey, TaskFacts] = {}
    for some in _in_groups(keys):
        found.update(_facts_of_some(session, some))
    return [found[key] for key in keys if key in found]


def tasks_of_run(session: Session, dag_id: str, run_id: str, *, limit: int) -> list[TaskKey]:
    """Return the task instances of a run that are ours, by task and index."""
    left = [exists().where(same_task(XComModel, TaskInstance), XComModel.key == CARD)]
    if (store := state_store()) is not None:
        left.append(exists().where(same_task(store, TaskInstance), store.key == CARD))
    wanted = (
        select(*key_columns(TaskInstance))
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        .where(or_(TaskInstance.operator.in_(OURS), *left))
        .order_by(TaskInstance.task_id, TaskInstance.map_index)  # an order that stays while they run
        .limit(limit)
    )
    return [key_of(row) for row in session.execute(wanted)]


def run_exists(session: Session, dag_id: str, run_id: str) -> bool:
    """Whether there is such a run."""
    wanted = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    return session.scalar(wanted) is not None


def key_of(row: Any) -> TaskKey:
    """Return which task instance a row is of."""
    return TaskKey(dag_id=row.dag_id, run_id=row.run_id, task_id=row.task_id, map_index=row.map_index)


def _facts_of_some(session: Session, keys: Sequence[TaskKey]) -> dict[TaskKey, TaskFacts]:
    tasks = {key_of(row): row for row in session.execute(_tasks(keys))}
    found = {key: tasks[key] for key in keys if key in tasks}
    runs = sorted({row.dag_run_id for row in found.values()})
    xcoms, records = _xcoms(session, runs, list(found)), _records(session, runs, list(found))
    return {key: _facts(row, xcoms[key], records) for key, row in found.items()}


def _tasks(keys: Sequence[TaskKey]) -> Select[Any]:
    """Return the question for task instances, and for a few more, which are passed over.

    Lists of each column, and not of keys: so each database uses its index, and the question is put together once.
    """
    return (
        select(
            *key_columns(TaskInstance),
            TaskInstance.operator,
            TaskInstance.state,
            TaskInstance.try_number,
            DagRun.state.label("run_state"),
            DagRun.id.label("dag_run_id"),
        )
        .join(DagRun, and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id))
        .where(
            TaskInstance.dag_id.in_({key.dag_id for key in keys}),
            TaskInstance.run_id.in_({key.run_id for key in keys}),
            *_tasks_and_indexes(TaskInstance, keys),
        )
    )


def _facts(task: Any, xcoms: dict[str, object], records: dict[TaskKey, object] | None) -> TaskFacts:
    key = key_of(task)
    entry, unread = _entry(key, records)
    card = read_card(xcoms.get(CARD))
    is_ours = task.operator in OURS or card is not None or entry is not None  # others' keys mean what they like
    return TaskFacts(
        key=key,
        operator=task.operator,
        task_state=_text(task.state),
        run_state=_text(task.run_state),
        try_number=task.try_number or 0,
        card=card,
        result=read_result(xcoms.get(RESULT)) if is_ours else None,
        job_id=job_id_in(xcoms.get(JOB_ID)) if is_ours else None,
        entry=entry,
        unread=unread if is_ours else "",
        failure=read_failure(xcoms.get(FAILURE)) if is_ours else None,
        has_store=records is not None,
    )


def _entry(key: TaskKey, records: dict[TaskKey, object] | None) -> tuple[Entry | None, str]:
    if records is None or key not in records:
        return None, ""
    try:
        return read_entry(records[key]), ""
    except ValueError as error:
        return None, str(error)


def _xcoms(session: Session, runs: Sequence[int], keys: Sequence[TaskKey]) -> dict[TaskKey, dict[str, object]]:
    found: dict[TaskKey, dict[str, object]] = defaultdict(dict)
    wanted = select(*key_columns(XComModel), XComModel.key, bounded(XComModel.value).label("text")).where(
        XComModel.dag_run_id.in_(runs),
        *_tasks_and_indexes(XComModel, keys),
        XComModel.key.in_((CARD, RESULT, JOB_ID, FAILURE)),
    )
    for row in session.execute(wanted):
        found[key_of(row)][row.key] = read_json(row.text)
    return found


def _records(session: Session, runs: Sequence[int], keys: Sequence[TaskKey]) -> dict[TaskKey, object] | None:
    """Return what the ledger has; None where this Airflow has no task state store."""
    store = state_store()
    if store is None:
        return None
    wanted = select(*key_columns(store), bounded(store.value).label("text")).where(
        store.dag_run_id.in_(runs), *_tasks_and_indexes(store, keys), store.key == CARD
    )
    return {key_of(row): read_json(row.text) for row in session.execute(wanted)}


def _tasks_and_indexes(table: Any, keys: Iterable[TaskKey]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    keys = list(keys)
    return table.task_id.in_({key.task_id for key in keys}), table.map_index.in_({key.map_index for key in keys})


def bounded(column: Any) -> ColumnElement[Any]:
    """Return a column of JSON as text, and nothing where it is far too large to be ours.

    Not as SQLAlchemy would read it: one value that Python's JSON refuses would take the whole page with it.
    """
    text = cast(column, Text)
    return case((func.length(text) <= LARGEST, text), else_=None)


def key_columns(table: Any) -> tuple[Any, ...]:
    """Return the columns that tell which task instance a row is of."""
    return table.dag_id, table.run_id, table.task_id, table.map_index


def same_task(one: Any, other: Any) -> ColumnElement[bool]:
    """Return the condition that rows of two tables are of one task instance."""
    return and_(*(mine == yours for mine, yours in zip(key_columns(one), key_columns(other), strict=True)))


def _in_groups(keys: Sequence[TaskKey]) -> Iterator[Sequence[TaskKey]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _text(value: object) -> str | None:
    """Return a state as a text: the column may give Airflow's enum."""
    return None if value is None else str(getattr(value, "value", value))
