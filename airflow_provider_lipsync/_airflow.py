"""The one place that touches Airflow's insides: lost triggers, recorded states, tasks that live in the triggerer alone.

Airflow documents neither; the names below were read in the task SDK of 3.1, 3.2 and 3.3.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "airflows_deadline",
    "forget_result",
    "is_mapped",
    "is_recorded_as_success",
    "pull_own",
    "pull_result",
    "push_link",
    "push_result",
    "start_from",
    "trigger_failure",
    "why_not_in_triggerer",
]

log = logging.getLogger(__name__)

_RESULT = "return_value"

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


def is_mapped(task: Any) -> bool:
    """Whether a task was made on a worker from a mapped one: Airflow's scheduler knows nothing of its arguments."""
    return bool(getattr(task, "_BaseOperator__from_mapped", False))


def why_not_in_triggerer() -> str:
    """Return why tasks cannot start and end in the triggerer of this Airflow; empty where they can."""
    from airflow.providers.common.compat.sdk import conf
    from airflow.sdk.bases.xcom import BaseXCom

    if not hasattr(BaseXCom, "aset"):
        return "it takes Airflow 3.3 or later"
    from airflow.sdk.execution_time.xcom import XCom

    if XCom is not BaseXCom:
        return "[core] xcom_backend is set, and a backend of one's own would block the triggerer"
    if conf.getboolean("triggerer", "queues_enabled", fallback=False):
        return "[triggerer] queues_enabled is set, and a task that starts in the triggerer gets no queue"
    return ""


def start_from(trigger: str, arguments: dict[str, Any], *, timeout: float) -> Any:
    """Return what Airflow reads to start a task in the triggerer.

    :param trigger: class path.
    :param arguments: of its constructor.
    :param timeout: seconds after which Airflow gives the task to a worker, to fail.
    """
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(
        trigger_cls=trigger,
        trigger_kwargs=arguments,
        next_method="execute_complete",
        next_kwargs=None,
        timeout=timedelta(seconds=timeout),
    )


def airflows_deadline(trigger: Any) -> float | None:
    """Return when Airflow gives up on a trigger, in seconds since the epoch; None where nobody said.

    It stands in the database, so it is the same after a restart.
    """
    found = getattr(trigger, "timeout_after", None)
    if not isinstance(found, datetime):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


async def pull_result(ti: Any, *, task_id: str, key: str, map_index: int) -> Any:
    """Return what another task of the run handed on; None where it is nothing."""
    from airflow.sdk.execution_time.xcom import XCom

    return await XCom.aget_one(key=key, dag_id=ti.dag_id, run_id=ti.run_id, task_id=task_id, map_index=map_index)


async def pull_own(ti: Any, key: str) -> Any:
    """Return an XCom of a trigger's own task; None where there is none, or where it cannot be read now.

    Read as it stands in the database: a custom XCom backend would block the triggerer, and has not written it.
    """
    if ti is None:  # dag.test() runs triggers without one
        return None
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.comms import GetXCom, XComResult
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        found = await SUPERVISOR_COMMS.asend(GetXCom(key=key, **_where(ti)))
    except Exception as error:  # noqa: BLE001 - whatever it was: it is only a hint that is missed
        log.warning("The XCom %s could not be read: %s.", key, type(error).__name__)
        return None
    if not isinstance(found, XComResult) or found.value is None:
        return None
    return BaseXCom.deserialize_value(found)


async def push_result(ti: Any, value: Any) -> None:
    """Hand on a task's result. (What ``TaskSuccessEvent(xcoms=...)`` hands on arrives as a text: 3.3.2.)"""
    from airflow.sdk.execution_time.xcom import XCom

    task = getattr(ti, "task", None)
    await XCom.aset(_RESULT, value, **_where(ti), dag_result=bool(getattr(task, "returns_dag_result", False)))


async def push_link(ti: Any, link: Any, value: str) -> None:
    """Keep the value of an extra link, as Airflow does where a worker ends the task."""
    from airflow.sdk.execution_time.xcom import XCom

    await XCom.aset(link.xcom_key, value, **_where(ti))


async def forget_result(ti: Any) -> None:
    """Forget what an earlier try handed on, as Airflow does where a worker starts the task."""
    from airflow.sdk.execution_time.comms import DeleteXCom
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    await SUPERVISOR_COMMS.asend(DeleteXCom(key=_RESULT, **_where(ti)))


def _where(ti: Any) -> dict[str, Any]:
    return {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "map_index": ti.map_index}
