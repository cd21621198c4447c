"""What lets a sensor start and end in the triggerer: what may be asked of it there, and what its trigger is told.

Airflow starts such a task from what stands in the serialized DAG: arguments of a trigger that are plain values or
templates. No code of the task runs on a worker, so whatever would need one is refused when the DAG is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NoReturn

from airflow_provider_lipsync._airflow import start_from, why_not_in_triggerer
from airflow_provider_lipsync.exceptions import LipsyncBadInput
from airflow_provider_lipsync.jobs.outcome import job_id_of
from airflow_provider_lipsync.operators.base import BACKSTOP_SECONDS

__all__ = ["start_in_triggerer"]

_TRIGGER = "airflow_provider_lipsync.triggers.ending.LipsyncJobEndingTrigger"
_INSTEAD = "leave in_triggerer off: the sensor is deferred then, and frees its worker, too"

# What a worker would do, and nobody does for a task that ends in the triggerer (Airflow 3.3.2).
_NEEDS_A_WORKER = {
    "outlets": "no asset event is emitted",
    "on_execute_callback": "it is never called",
    "on_success_callback": "it is never called",
    "on_skipped_callback": "it is never called",
    "_pre_execute_hook": "it is never called",
    "_post_execute_hook": "it is never called",
    "retry_policy": "it is never asked",
}
# In a template these ask Airflow something that a triggerer does not pass on: no answer comes, ever.
_NO_ANSWER = frozenset(
    {
        "asset_state_store",
        "inlet_events",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_end_date_success",
        "prev_start_date_success",
        "task_state_store",
    }
)


def start_in_triggerer(sensor: Any) -> None:
    """Make Airflow start a sensor in the triggerer; where it cannot, say so once and leave the sensor as it is.

    :param sensor: whose ``__init__`` has come this far.
    :raises LipsyncBadInput: it asks for something that needs a worker.
    """
    for complaint in _complaints(sensor):
        _refuse(complaint)
    arguments = _arguments(sensor)
    if obstacle := why_not_in_triggerer():
        _warn_once(obstacle)
        return
    sensor.start_trigger_args = start_from(_TRIGGER, arguments, timeout=arguments["airflows_timeout"])
    sensor.start_from_trigger = True


def _complaints(sensor: Any) -> Iterator[str]:
    if not sensor.deferrable:
        yield "deferrable=False holds a worker"
    if sensor.mode != "poke":
        yield f"mode={sensor.mode!r} needs workers"
    for name, why in _NEEDS_A_WORKER.items():
        if getattr(sensor, name, None):
            shown = name.strip("_").removesuffix("_hook")
            yield f"{shown}: {why} when a task ends in the triggerer"
    if sensor.email and (sensor.email_on_failure or sensor.email_on_retry):
        yield "email: none is sent when a task ends in the triggerer"


def _arguments(sensor: Any) -> dict[str, Any]:
    timeout, airflows = float(sensor.timeout), float(sensor.timeout) + BACKSTOP_SECONDS
    if sensor.execution_timeout is not None:  # Airflow takes the shorter one, too
        seconds = sensor.execution_timeout.total_seconds()
        timeout, airflows = min(timeout, seconds), min(airflows, seconds)
    return {
        **_job(sensor),
        "lipsync_conn_id": _checked("lipsync_conn_id", sensor.lipsync_conn_id),
        "poll_interval": float(sensor.poke_interval),
        "timeout": timeout,
        "airflows_timeout": airflows,
        "pushes": bool(sensor.do_xcom_push),
        "skips": bool(sensor.soft_fail or sensor.never_fail),
        "retries": bool(sensor.retries),
    }


def _job(sensor: Any) -> dict[str, Any]:
    """Return the job as the trigger is told it.

    An XComArg would arrive there as a reference that nobody resolves, and its text form is a template without an
    answer; so the trigger is told which XCom to read.
    """
    job = sensor.job.get("job_id") if isinstance(sensor.job, Mapping) else sensor.job
    if hasattr(job, "iter_references"):
        return {"upstream": _upstream(sensor, job)}
    if isinstance(job, str) and ("{{" in job or "{%" in job):
        return {"job": _checked("job", job)}
    return {"job": job_id_of(job)}


def _upstream(sensor: Any, job: Any) -> dict[str, Any]:
    task, key = getattr(job, "operator", None), getattr(job, "key", None)
    if task is None or key is None:
        _refuse("job: only the output of a task (task.output) can be read in the triggerer, nothing made of it")
    group = task.get_closest_mapped_task_group()
    if task.is_mapped or (group is not None and group is not sensor.get_closest_mapped_task_group()):
        _refuse(f"job: {task.task_id} is mapped, so its output is many jobs, and the sensor waits for one")
    return {"task_id": task.task_id, "key": key, "same_index": group is not None}


def _checked(name: str, value: Any) -> str:
    """Return a value that may be a template, if a triggerer can render it."""
    if not isinstance(value, str):
        _refuse(f"{name}: a text is required, got a {type(value).__name__}")
    if "{{" not in value and "{%" not in value:
        return value
    from jinja2 import TemplateSyntaxError, nodes

    try:
        tree = _template_reader().parse(value)
    except TemplateSyntaxError as error:
        _refuse(f"{name}: the template cannot be read: {error.message}")
    for found in tree.find_all(nodes.Name):
        if found.name in _NO_ANSWER:
            _refuse(f"{name}: {found.name} gets no answer in a triggerer, and the task would hang")
    for call in tree.find_all(nodes.Call):
        _check_call(name, call)
    return value


def _check_call(name: str, call: Any) -> None:
    method, owner = getattr(call.node, "attr", None), getattr(getattr(call.node, "node", None), "name", None)
    if method == "xcom_pull" and "map_indexes" not in {keyword.key for keyword in call.kwargs}:
        _refuse(
            f"{name}: xcom_pull without map_indexes gets no answer in a triggerer, and the task would hang; write "
            "ti.xcom_pull(..., map_indexes=-1), or give the output of the task (job=submit.output)"
        )
    if method != "xcom_pull" and owner in ("ti", "task_instance"):
        _refuse(f"{name}: {owner}.{method}() gets no answer in a triggerer, and the task would hang")


@cache
def _template_reader() -> Any:
    from jinja2 import Environment

    return Environment(autoescape=True)


def _refuse(complaint: str) -> NoReturn:
    raise LipsyncBadInput(f"in_triggerer=True: {complaint}", next_step=f"change it, or {_INSTEAD}")


@cache
def _warn_once(obstacle: str) -> None:
    """Say it once in a process, however many sensors it concerns; Airflow has a process for each DAG file it reads."""
    logging.getLogger(__name__).warning(
        "LipsyncJobSensor(in_triggerer=True) is deferred from a worker here: %s.", obstacle
    )
