"""The trigger: one event, only ever a GET, a deadline that is wall-clock time."""

from __future__ import annotations

import ast
import inspect
import time
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_lipsync
from airflow_provider_lipsync import LipsyncJobTrigger
from tests.provider.conftest import Tell
from tests.support.scripted import Step, answer, drop
from tests.support.tasks import run_trigger
from tests.support.vendor import JOB_ID, KEY, completed, failed, processing


def new_trigger(**changes: Any) -> LipsyncJobTrigger:
    values = {
        "job_id": JOB_ID,
        "lipsync_conn_id": "lipsync_default",
        "poll_interval": 0.05,
        "deadline": time.time() + 60,
    }
    return LipsyncJobTrigger(**(values | changes))


@pytest.mark.parametrize(
    ("story", "status", "message"),
    [
        pytest.param((processing(), completed()), "completed", "", id="completed"),
        pytest.param((processing(), failed()), "failed", "Invalid audio format", id="failed"),
        pytest.param((drop, answer(500), completed()), "completed", "", id="faults, then completed"),
        pytest.param((answer(401),), "error", "the vendor refused the query (401)", id="key refused"),
        pytest.param((answer(302),), "error", "redirected", id="redirected"),
    ],
)
def test_the_one_event(tell: Tell, story: tuple[Step, ...], status: str, message: str) -> None:
    tell(*story)
    event = run_trigger(new_trigger())
    assert list(event) == ["status", "job_id", "job", "message"]
    assert (event["status"], event["job_id"]) == (status, JOB_ID)
    assert message in event["message"]
    assert (event["job"] is None) is (status == "error")


def test_a_deadline_that_has_passed_still_gets_its_last_look(tell: Tell) -> None:
    server = tell(completed())
    assert run_trigger(new_trigger(deadline=time.time() - 1000))["status"] == "completed"
    assert len(server.requests) == 1


def test_a_deadline_that_passes_is_told_with_what_was_seen(tell: Tell) -> None:
    tell(processing())
    event = run_trigger(new_trigger(deadline=time.time() + 0.2))
    assert (event["status"], event["message"]) == ("timeout", "last seen as 'processing'")


def test_a_connection_that_cannot_be_used_is_an_event_that_sends_the_worker_to_look(monkeypatch: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", '{"conn_type": "lipsync"}')
    event = run_trigger(new_trigger())
    assert (event["status"], event["message"]) == ("error", "connection 'lipsync_default': there is no API key: it "
                                                            "belongs in the connection's password")  # fmt: skip


def test_the_key_is_neither_in_the_trigger_nor_in_its_event(tell: Tell) -> None:
    tell(answer(401, f"the key {KEY} is bad"))
    trigger = new_trigger()
    event = run_trigger(trigger)
    assert KEY not in f"{trigger!r} {trigger.serialize()} {vars(trigger)} {event}"


def test_the_first_look_waits_until_the_schedulers_race_is_over() -> None:
    source = inspect.getsource(inspect.getmodule(LipsyncJobTrigger))  # type: ignore[arg-type]
    assert "first_pause=max(FIRST_LOOK_SECONDS, self.poll_interval)" in source
    from airflow_provider_lipsync.jobs import waiting

    assert waiting.FIRST_LOOK_SECONDS > 5  # what the fast-resume race of apache/airflow#71580 takes at the most


def test_nothing_that_a_trigger_reaches_can_submit() -> None:
    """The trigger's own module, and what it drives, never name a submit."""
    package = Path(airflow_provider_lipsync.__file__).parent
    for name in ("triggers/lipsync.py", "jobs/waiting.py"):
        tree = ast.parse((package / name).read_text())
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not called & {"submit", "post", "request", "stream"}, name


def test_a_trigger_only_ever_gets(tell: Tell) -> None:
    server = tell(answer(500), drop, answer(200, "<html>"), processing(), failed())
    run_trigger(new_trigger())
    assert {request.split(b" ")[0] for request in server.requests} == {b"GET"}
