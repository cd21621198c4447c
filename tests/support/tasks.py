"""Runs a task the way Airflow does, without Airflow's processes: execute, defer, trigger, resume, callbacks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

__all__ = [
    "FakeStateStore",
    "FakeTaskInstance",
    "Tries",
    "new_context",
    "of_task",
    "run_task",
    "run_trigger",
    "succeed",
]


class FakeTaskInstance:
    """The few things that are asked of a task instance."""

    dag_id, run_id = "show", "manual__2026-01-05"

    def __init__(self, *, try_number: int = 1, max_tries: int = 0) -> None:
        self.task_id, self.map_index = "render", -1
        self.try_number, self.max_tries = try_number, max_tries
        self.task: Any = None
        self.recorded = "running"
        self.first_rescheduled: datetime | None = None
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_rescheduled

    def get_task_states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int) -> Any:
        assert (dag_id, task_ids, run_ids, map_index) == (self.dag_id, [self.task_id], [self.run_id], self.map_index)
        return {self.run_id: {self.task_id: self.recorded}}


class FakeStateStore:
    """Airflow's task state store: rows that outlive a try. Values go through JSON, as they do there."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.retentions: list[timedelta] = []

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any, *, retention: timedelta) -> None:
        self.rows[key] = json.dumps(value)
        self.retentions.append(retention)


@dataclass
class Tries:
    """The tries of one task instance: what Airflow keeps between them, and what it changes."""

    retries: int = 0
    max_tries: int = 0
    try_number: int = 0
    clear_number: int = 0
    store: Any = field(default_factory=FakeStateStore)

    def __post_init__(self) -> None:
        self.max_tries = self.retries

    def next(self, *, cleared: bool = False) -> Any:
        """Return the context of the next try, after a failure or after a clear."""
        if cleared:
            self.max_tries = self.try_number + self.retries
            self.clear_number += 1
        self.try_number += 1
        ti = FakeTaskInstance(try_number=self.try_number, max_tries=self.max_tries)
        context: dict[str, Any] = {"ti": ti, "dag_run": SimpleNamespace(clear_number=self.clear_number)}
        return context if self.store is None else context | {"task_state_store": self.store}


def new_context(**changes: Any) -> Any:
    """Return the context of a first try."""
    return Tries(**changes).next()


def succeed(task: Any, context: Any, *, recorded: str = "success") -> None:
    """What Airflow does once a task has returned: record the state, then run the callbacks."""
    context["ti"].task, context["ti"].recorded = task, recorded
    for callback in task.on_success_callback:
        callback(context)


def of_task(trigger: Any, task_id: str, **more: Any) -> None:
    """Give a trigger its task instance, as a triggerer does; Airflow's own way would want a whole one."""
    name = "_task_instance" if hasattr(trigger, "_task_instance") else "task_instance"  # 3.1
    where = {"dag_id": "show", "run_id": "run", "task_id": task_id, "map_index": -1}
    setattr(trigger, name, SimpleNamespace(**(where | more)))


def run_trigger(trigger: Any) -> dict[str, Any]:
    """Make the trigger anew from what it serializes to, as the triggerer does, and return its one event."""

    async def collect() -> list[Any]:
        path, arguments = trigger.serialize()
        assert path == f"{type(trigger).__module__}.{type(trigger).__qualname__}"
        return [event.payload async for event in type(trigger)(**arguments).run()]

    events = asyncio.run(collect())
    assert len(events) == 1
    payload: dict[str, Any] = events[0]
    return payload


def run_task(task: Any, context: Any) -> Any:
    """Execute a task to its end, through as many deferrals as it wants."""
    try:
        return task.execute(context)
    except TaskDeferred as deferred:
        while True:
            event = run_trigger(deferred.trigger)
            try:
                return task.resume_execution(deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context)
            except TaskDeferred as again:
                deferred = again
