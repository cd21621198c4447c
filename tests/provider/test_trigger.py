"""The trigger: one event, only ever a GET, a deadline that is wall-clock time."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airflow_provider_lipsync
from airflow_provider_lipsync import LipsyncJobTrigger
from airflow_provider_lipsync.api.answers import Answer, NoAnswer
from airflow_provider_lipsync.api.retry import RetryPolicy
from airflow_provider_lipsync.api.wire import Send, Target, query_exchange
from airflow_provider_lipsync.exceptions import LipsyncError
from airflow_provider_lipsync.jobs.race import FIRST_LOOK_SECONDS
from tests.provider.conftest import Tell
from tests.support.clock import TurnedClock
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


@pytest.mark.parametrize(
    ("heartbeat", "poll_interval", "seconds"),
    [
        pytest.param(None, 1, 10, id="as Airflow ships"),
        pytest.param("2", 1, 10, id="quicker workers"),
        pytest.param("20", 1, 25, id="slower workers"),
        pytest.param(None, 30, 30, id="a longer interval"),
    ],
)
def test_the_first_look_waits_until_the_schedulers_race_is_over(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, heartbeat: str | None, poll_interval: float, seconds: float
) -> None:
    """The race of apache/airflow#71580 lasts for as long as a worker takes to report, five seconds at the most."""
    tell(completed())
    monkeypatch.setattr("airflow_provider_lipsync.jobs.race.FIRST_LOOK_SECONDS", FIRST_LOOK_SECONDS)
    if heartbeat is not None:
        monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", heartbeat)
    clock = TurnedClock().install(monkeypatch)
    run_trigger(new_trigger(poll_interval=poll_interval, deadline=clock.began + 1000))
    assert clock.moments[0] - clock.began == pytest.approx(seconds, rel=0.1)
    assert clock.moments[0] - clock.began >= min(10, seconds)


def test_a_trigger_calls_nothing_of_hook_and_client_that_could_submit() -> None:
    package = Path(airflow_provider_lipsync.__file__).parent
    assert _used_of((package / "triggers" / "lipsync.py").read_text(), "hook", "client") == {
        "aget_client",
        "aclose",
        "get_job",
    }
    for name in ("waiting", "watcher", "watchers", "line", "circuit"):
        tree = ast.parse((package / "jobs" / f"{name}.py").read_text())
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {module for module in imported if "client" in module or "purchase" in module}
    assert _used_of((package / "api" / "looking.py").read_text(), "session") == {"get", "close"}


def _used_of(source: str, *names: str) -> set[str]:
    """Return the attributes that a source uses of these names."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names
    }


ANSWERS = st.one_of(
    st.builds(NoAnswer, left=st.booleans(), reason=st.text(max_size=20)),
    st.builds(
        Answer,
        status=st.integers(100, 599),
        headers=st.dictionaries(st.sampled_from(["retry-after", "location"]), st.text(max_size=5)),
        body=st.one_of(
            st.binary(max_size=50), st.sampled_from([b'{"id": "' + JOB_ID.encode() + b'", "status": "failed"}', b"{}"])
        ),
        complete=st.booleans(),
    ),
)


@given(answers=st.lists(ANSWERS, min_size=1, max_size=6))
def test_whatever_the_vendor_answers_a_look_never_becomes_a_submit(answers: list[Any]) -> None:
    exchange = query_exchange(Target(base_url="https://host/api/v1", api_key=KEY), JOB_ID, RetryPolicy())
    replies = iter(answers)
    reply = None
    try:
        while True:
            step = exchange.send(reply)
            if isinstance(step, Send):
                assert (step.request.method, step.request.body) == ("GET", None)
                reply = next(replies, answers[-1])
            else:
                reply = None
    except (StopIteration, LipsyncError):
        pass


def test_a_trigger_only_ever_gets(tell: Tell) -> None:
    server = tell(answer(500), drop, answer(200, "<html>"), processing(), failed())
    run_trigger(new_trigger())
    assert {request.split(b" ")[0] for request in server.requests} == {b"GET"}
