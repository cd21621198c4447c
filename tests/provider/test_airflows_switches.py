"""What users build on the classes of our errors: ``except``, and Airflow's retry policy."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobSensor
from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError, LipsyncJobFailed, LipsyncKeyRefused
from airflow_provider_lipsync.jobs.outcome import as_submit_error, as_wait_error
from tests.provider.conftest import Tell
from tests.support.scripted import answer
from tests.support.tasks import new_context, run_task
from tests.support.vendor import JOB_ID, accepted, failed, processing

VALUES: dict[str, Any] = {"task_id": "t", "poke_interval": 0.05, "job": JOB_ID}


def caught_by(task: Any) -> LipsyncError:
    try:
        run_task(task, new_context())
    except LipsyncJobFailed as error:
        return error
    except LipsyncError as error:
        return error
    raise AssertionError("it did not fail")


def operator() -> LipsyncImageOperator:
    return LipsyncImageOperator(task_id="t", image="https://h/i", audio="https://h/a", poll_interval=0.05)


def test_except_works_for_operator_and_sensor(tell: Tell) -> None:
    tell(accepted(), processing(), failed())
    assert isinstance(caught_by(operator()), LipsyncJobFailed)
    tell(processing(), failed())
    assert isinstance(caught_by(LipsyncJobSensor(**VALUES)), LipsyncJobFailed)


def test_a_retry_policy_sees_the_errors_of_operator_and_sensor(tell: Tell) -> None:
    policies = pytest.importorskip(
        "airflow.sdk.definitions.retry_policy", reason="retry policies came with Airflow 3.3"
    )
    policy = policies.ExceptionRetryPolicy(
        rules=[
            policies.RetryRule(
                exception="airflow_provider_lipsync.exceptions.LipsyncKeyRefused",
                action=policies.RetryAction.RETRY,
                retry_delay=timedelta(minutes=30),
            ),
            policies.RetryRule(exception=LipsyncJobFailed, action=policies.RetryAction.FAIL),
        ]
    )
    tell(accepted(), processing(), failed())
    decision = policy.evaluate(caught_by(operator()), 1, 3)
    assert decision.action is policies.RetryAction.FAIL
    tell(processing(), answer(401))
    for task in (operator, lambda: LipsyncJobSensor(**VALUES)):
        tell(*([accepted()] if task is operator else []), processing(), answer(401))
        decision = policy.evaluate(caught_by(task()), 1, 3)
        assert (decision.action, decision.retry_delay) == (policies.RetryAction.RETRY, timedelta(minutes=30))


def test_the_classes_of_a_task_are_made_once_and_keep_everything() -> None:
    error = LipsyncKeyRefused("no", status=401, job_id=JOB_ID, vendor_message="words", retry_after=3.0)
    first, second = (as_wait_error(error, next_try="waits") for _ in range(2))
    assert type(first) is type(second)
    assert (first.details(), str(first)) == (error.details(), str(error))
    assert type(first) is not type(as_submit_error(error))


def test_an_error_survives_a_pickle() -> None:
    error = LipsyncBadInput("no", status=422, vendor_message="words")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.details()) == (LipsyncBadInput, str(error), error.details())
