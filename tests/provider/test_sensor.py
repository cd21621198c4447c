"""The sensor: deferred, poking and rescheduled, and Airflow's own switches."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_lipsync import LipsyncJobSensor
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncError,
    LipsyncJobFailed,
    LipsyncJobTimeout,
    LipsyncKeyRefused,
    LipsyncUnknownJob,
)
from tests.provider.conftest import Tell
from tests.support.scripted import Step, answer, drop
from tests.support.tasks import new_context, run_task
from tests.support.vendor import JOB_ID, KEY, completed, failed, posts, processing


def wait(**changes: Any) -> LipsyncJobSensor:
    return LipsyncJobSensor(task_id="wait", **({"job": JOB_ID, "poke_interval": 0.05, "timeout": 60} | changes))


@pytest.mark.parametrize("given", [JOB_ID, f" {JOB_ID}\n", {"job_id": JOB_ID, "status": "processing"}])
def test_a_job_is_waited_for_by_its_id_or_its_result(tell: Tell, deferrable: bool, given: Any) -> None:
    server = tell(processing(), processing(), completed())
    result = run_task(wait(job=given, deferrable=deferrable), new_context())
    assert (result["job_id"], result["status"], len(result)) == (JOB_ID, "completed", 11)
    assert posts(server) == 0


@pytest.mark.parametrize("given", ["", None, "None", "no such/id", {"id": JOB_ID}, {"job_id": None}, 7, [JOB_ID]])
def test_what_is_no_job_is_refused_for_good(tell: Tell, deferrable: bool, given: Any) -> None:
    server = tell(processing())
    with pytest.raises(LipsyncBadInput, match="job: a job id, or the result of a Lipsync task") as caught:
        run_task(wait(job=given, deferrable=deferrable), new_context())
    assert isinstance(caught.value, AirflowFailException)
    assert server.requests == []


@pytest.mark.parametrize("given", [KEY, {"job_id": KEY}, f"{KEY}-1"])
def test_the_key_is_no_job_id(tell: Tell, deferrable: bool, given: Any) -> None:
    server = tell(processing())
    with pytest.raises(LipsyncBadInput, match="the API key stands where a job id belongs") as caught:
        run_task(wait(job=given, deferrable=deferrable), new_context())
    assert KEY not in str(caught.value)
    assert server.requests == []


def test_a_job_that_is_done_already_does_not_defer(tell: Tell) -> None:
    tell(completed())
    assert wait().execute(new_context())["status"] == "completed"


def test_the_timeout_counts_from_the_sensors_start(tell: Tell) -> None:
    tell(processing())
    with pytest.raises(TaskDeferred) as deferred:
        wait(timeout=120).execute(new_context())
    assert abs(deferred.value.trigger.deadline - time.time() - 120) < 30


@pytest.mark.parametrize(
    ("last", "kind", "for_good"),
    [
        pytest.param(failed(), LipsyncJobFailed, True, id="failed"),
        pytest.param(completed(None), LipsyncJobFailed, True, id="completed without output"),
        pytest.param(answer(401), LipsyncKeyRefused, False, id="key refused"),
    ],
)
def test_a_failed_job_fails_the_sensor_for_good_and_the_rest_is_retried(
    tell: Tell, deferrable: bool, last: Step, kind: type[LipsyncError], for_good: bool
) -> None:
    tell(processing(), processing(), last)
    with pytest.raises(kind) as caught:
        run_task(wait(deferrable=deferrable), new_context())
    assert isinstance(caught.value, AirflowException)
    assert isinstance(caught.value, AirflowFailException) is for_good
    assert str(caught.value).startswith(f"job {JOB_ID} · charged: yes")


def test_a_job_that_nobody_knows_is_an_error_of_its_own(tell: Tell) -> None:
    tell(answer(404))
    context = new_context()
    context["ti"].first_rescheduled = datetime.now(UTC) - timedelta(seconds=31)
    with pytest.raises(LipsyncUnknownJob, match="charged: unknown"):
        run_task(wait(deferrable=False), context)


def test_a_job_that_was_submitted_just_now_may_not_be_known_yet(tell: Tell, deferrable: bool) -> None:
    tell(answer(404), answer(404), completed())
    assert run_task(wait(deferrable=deferrable), new_context())["status"] == "completed"


def test_looks_that_do_not_work_say_nothing_about_the_job(tell: Tell, deferrable: bool) -> None:
    tell(processing(), answer(500), drop, answer(200, "<html>"), completed())
    assert run_task(wait(deferrable=deferrable), new_context())["status"] == "completed"


def test_the_timeout_is_ours_and_airflows(tell: Tell, deferrable: bool) -> None:
    tell(processing())
    with pytest.raises(LipsyncJobTimeout, match="it runs on at the vendor") as caught:
        run_task(wait(deferrable=deferrable, timeout=0.3), new_context())
    assert isinstance(caught.value, AirflowSensorTimeout)
    assert caught.value.job_id == JOB_ID


@pytest.mark.parametrize("switch", ["soft_fail", "never_fail"])
@pytest.mark.parametrize(
    "story",
    [
        pytest.param((processing(), processing(), failed()), id="failed later"),
        pytest.param((failed(),), id="failed at once"),
        pytest.param((processing(),), id="timed out"),
    ],
)
def test_soft_fail_and_never_fail_skip(tell: Tell, deferrable: bool, switch: str, story: tuple[Step, ...]) -> None:
    tell(*story)
    timeout = 0.3 if len(story) == 1 else 60
    with pytest.raises(AirflowSkipException):
        run_task(wait(deferrable=deferrable, timeout=timeout, **{switch: True}), new_context())


@pytest.mark.parametrize("reason", ["Trigger timeout", "Trigger failure"])
def test_soft_fail_also_covers_a_trigger_that_was_lost(tell: Tell, reason: str) -> None:
    tell(processing())
    with pytest.raises(AirflowSkipException):
        wait(soft_fail=True).resume_execution("__fail__", {"error": reason}, new_context())


def test_reschedule_mode_frees_the_worker_between_two_looks(tell: Tell) -> None:
    server = tell(processing(), completed())
    context = new_context()
    context["ti"].get_first_reschedule_date = lambda _: None
    task = wait(deferrable=False, mode="reschedule")
    with pytest.raises(AirflowException) as caught:
        task.execute(context)
    assert type(caught.value).__name__ == "AirflowRescheduleException"  # its home differs between versions
    assert task.execute(context)["status"] == "completed"
    assert len(server.requests) == 2


@pytest.mark.parametrize("event", [None, "success", {"status": "completed"}])
def test_an_odd_event_makes_the_sensor_look_for_itself(tell: Tell, event: Any) -> None:
    tell(completed())
    assert wait().execute_complete(new_context(), event)["status"] == "completed"


def test_the_defaults_are_those_of_the_docs() -> None:
    sensor = LipsyncJobSensor(task_id="wait", job=JOB_ID)
    assert (sensor.deferrable, sensor.poke_interval, sensor.lipsync_conn_id) == (True, 5.0, "lipsync_default")
    assert sensor.template_fields == ("job", "lipsync_conn_id")
