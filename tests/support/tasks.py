"""Runs a task the way Airflow does, without Airflow's processes: execute, defer, trigger, resume."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

__all__ = ["FakeTaskInstance", "new_context", "run_task", "run_trigger"]


class FakeTaskInstance:
    """The few things that are asked of a task instance."""

    def __init__(self, task_id: str = "render", map_index: int = -1) -> None:
        self.task_id, self.map_index = task_id, map_index
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)


def new_context() -> Any:
    return {"ti": FakeTaskInstance()}


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
