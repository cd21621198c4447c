"""The one place that touches Airflow's insides: lost triggers, and which state Airflow has recorded for a task.

Airflow documents neither; the names below were read in the task SDK of 3.1, 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["is_recorded_as_success", "trigger_failure"]

try:
    from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
except ImportError as error:  # pragma: no cover - tells the reader which name went away
    raise ImportError(
        "airflow-provider-lipsync does not know this Airflow: airflow.sdk.bases.operator has no TRIGGER_FAIL_REPR or "
        "TriggerFailureReason. Install a version of the provider that names this Airflow as supported."
    ) from error


def trigger_failure(next_method: str, next_kwargs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what happened to the trigger, as an event of ours; None where the task is resumed by an event.

    :param next_method: what Airflow resumes the task with.
    :param next_kwargs: and with which arguments.
    """
    if next_method != TRIGGER_FAIL_REPR:
        return None
    reason = (next_kwargs or {}).get("error", "Unknown")
    if reason == TriggerFailureReason.TRIGGER_TIMEOUT:
        return {"status": "timeout", "message": "the triggerer did not come back in time"}
    lines = (next_kwargs or {}).get("traceback") or [str(getattr(reason, "value", reason))]
    return {"status": "error", "message": f"the trigger failed: {str(lines[-1]).strip()}"}


def is_recorded_as_success(ti: Any) -> bool:
    """Whether Airflow has a task instance down as a success: its callbacks run even where it refused to record one.

    :param ti: the task instance of a task's context.
    """
    map_index = getattr(ti, "map_index", -1)
    found = ti.get_task_states(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index)
    name = ti.task_id if map_index < 0 else f"{ti.task_id}_{map_index}"
    return bool(found.get(ti.run_id, {}).get(name) == "success")
