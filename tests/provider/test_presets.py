"""The ready-made retry policy: what is free is retried, what costs is not, and Airflow takes it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_lipsync import LipsyncImageOperator, exceptions
from airflow_provider_lipsync.jobs.outcome import as_submit_error, as_wait_error
from airflow_provider_lipsync.presets import lipsync_retry_policy
from airflow_provider_lipsync.testing.dag_process import hurry

retry_policy = pytest.importorskip(
    "airflow.sdk.definitions.retry_policy", reason="retry policies came with Airflow 3.3"
)


def decided(error: Any, **options: Any) -> Any:
    return lipsync_retry_policy(**options).evaluate(error, try_number=1, max_tries=3)


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        pytest.param(exceptions.LipsyncJobTimeout("late", job_id="j"), 30, id="timeout"),
        pytest.param(exceptions.LipsyncVendorFault("503", job_id="j"), 30, id="not seen"),
        pytest.param(exceptions.LipsyncTransferFailed("disk full", job_id="j"), 30, id="not stored"),
        pytest.param(exceptions.LipsyncRateLimited("slow"), 300, id="429"),
        pytest.param(exceptions.LipsyncLedgerUnavailable("gone"), 300, id="ledger"),
    ],
)
def test_what_is_free_is_retried(error: Any, pause: int) -> None:
    found = decided(as_wait_error(error, next_try="a retry or clear waits on for this job"))
    assert (found.action, found.retry_delay) == (retry_policy.RetryAction.RETRY, timedelta(seconds=pause))
    assert found.reason


def test_a_submit_that_never_left_is_not_told_as_a_job_that_was_bought() -> None:
    found = decided(as_submit_error(exceptions.LipsyncUnreachable("no such host", charged=exceptions.Charged.NO)))
    assert (found.action, found.retry_delay) == (retry_policy.RetryAction.RETRY, timedelta(seconds=30))
    assert "nothing was sent" in found.reason


def test_a_job_that_failed_is_bought_again_only_if_that_was_asked_for() -> None:
    error = as_wait_error(exceptions.LipsyncJobFailed("no", job_id="j"), next_try="")
    assert decided(error).action is retry_policy.RetryAction.FAIL
    assert decided(error, buys_again=True).action is retry_policy.RetryAction.RETRY


def test_no_credits_are_waited_for_by_the_half_hour() -> None:
    error = as_submit_error(exceptions.LipsyncNoCredits(""), retried=(exceptions.LipsyncNoCredits,))
    assert decided(error).retry_delay == timedelta(minutes=30)


def test_anything_else_is_airflows_to_say() -> None:
    assert decided(ValueError("mine")).action is retry_policy.RetryAction.DEFAULT


def test_a_task_takes_it_and_a_dag_with_it_can_be_stored() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("policies") as dag:
        LipsyncImageOperator(
            task_id="render", image="https://h/i.png", audio="https://h/a.mp3", retry_policy=lipsync_retry_policy()
        )
    assert DagSerialization.to_dict(dag)


def test_in_a_users_own_test_no_retry_is_waited_for() -> None:
    with DAG("hurried") as dag:
        task = LipsyncImageOperator(
            task_id="render", image="https://h/i.png", audio="https://h/a.mp3", retry_policy=lipsync_retry_policy()
        )
        LipsyncImageOperator.partial(
            task_id="many", image="https://h/i.png", retry_policy=lipsync_retry_policy()
        ).expand(audio=["https://h/a.mp3"])
    hurry(dag)
    assert {one.retry_delay for one in dag.tasks} == {timedelta(0)}
    for one in (task, dag.get_task("many")):
        found = one.retry_policy.evaluate(exceptions.LipsyncRateLimited("slow"), try_number=1, max_tries=3)
        assert (found.action, found.retry_delay) == (retry_policy.RetryAction.RETRY, None)


def test_an_older_airflow_is_told_plainly() -> None:
    program = """
import sys
from airflow_provider_lipsync.presets import lipsync_retry_policy
sys.modules["airflow.sdk.definitions.retry_policy"] = None
try:
    lipsync_retry_policy()
except ImportError as error:
    assert "needs Airflow 3.3" in str(error)
else:
    sys.exit("nothing was said")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
