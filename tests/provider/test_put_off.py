"""A submit that is refused with 429 for long: the worker is freed, a timer waits, and one video is bought at last."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobTrigger
from airflow_provider_lipsync.api.client import LipsyncClient
from airflow_provider_lipsync.exceptions import LipsyncRateLimited
from airflow_provider_lipsync.jobs.putting_off import Refusals
from airflow_provider_lipsync.jobs.race import FIRST_LOOK_SECONDS
from airflow_provider_lipsync.sandbox import SandboxServer
from airflow_provider_lipsync.triggers.timer import LipsyncTimerTrigger
from tests.support.tasks import Tries, run_task, run_trigger, succeed

ASKED = 600


class Clock:
    """A wall clock that whoever sleeps moves on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The timer's."""
    made = Clock()
    monkeypatch.setattr("airflow_provider_lipsync.jobs.clock.time", SimpleNamespace(time=made.time))
    monkeypatch.setattr("airflow_provider_lipsync.jobs.clock.asyncio", SimpleNamespace(sleep=made.sleep))
    return made


@pytest.fixture(scope="module")
def _canned() -> Iterator[SandboxServer]:
    with SandboxServer(canned=True, job_seconds=(0, 0)) as server:
        yield server


@pytest.fixture
def sandbox(_canned: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> SandboxServer:
    """An empty sandbox, with ``lipsync_default`` connected to it; nobody waits in place."""
    _canned.reset()
    described = {"conn_type": "lipsync", "host": _canned.base_url, "password": _canned.key}
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", json.dumps(described))
    assert LipsyncClient.__init__.__kwdefaults__
    monkeypatch.setitem(LipsyncClient.__init__.__kwdefaults__, "sleep", lambda _: None)
    return _canned


def refuse(sandbox: SandboxServer, times: int | None = None, *, asked: int | None = ASKED) -> None:
    """Let the sandbox refuse the next submits."""
    said = {} if asked is None else {"retry_after": asked}
    counted = {} if times is None else {"times": times}
    sandbox.set_faults([{"on": "submit", "fault": "status", "status": 429, **said, **counted}])


def render(**changes: Any) -> LipsyncImageOperator:
    values = {"image": "https://host/face.png", "audio": "https://host/voice.mp3", "poll_interval": 0.02}
    return LipsyncImageOperator(task_id="render", **(values | changes))


def put_off(task: Any, context: Any) -> TaskDeferred:
    """Execute a task whose submit is refused; return its deferral."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    assert isinstance(deferred.value.trigger, LipsyncTimerTrigger)
    return deferred.value


def come_back(task: Any, context: Any, deferred: TaskDeferred) -> Any:
    """Let the timer fire, and resume as Airflow does, to the end."""
    event = run_trigger(deferred.trigger)
    arguments = {**(deferred.kwargs or {}), "event": event}
    try:
        return task.resume_execution(deferred.method_name, arguments, context)
    except TaskDeferred as again:
        if not isinstance(again.trigger, LipsyncJobTrigger):
            raise
        event = run_trigger(again.trigger)
        return task.resume_execution(again.method_name, {**(again.kwargs or {}), "event": event}, context)


def record(tries: Tries) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tries.store.rows["lipsync_job"])
    return found


@pytest.mark.parametrize("has_memory", [True, False], ids=["with a ledger", "without memory"])
def test_a_refused_submit_frees_the_worker_and_is_sent_again_later(
    sandbox: SandboxServer, clock: Clock, has_memory: bool
) -> None:
    refuse(sandbox, times=1)
    tries = Tries() if has_memory else Tries(store=None)
    context = tries.next()
    before = time.time()
    deferred = put_off(render(), context)
    assert sandbox.ledger() == []
    if has_memory:
        assert record(tries)["state"] == "refused"
    assert before + ASKED <= deferred.trigger.until <= time.time() + ASKED * 1.5
    assert deferred.timeout is not None
    assert deferred.timeout.total_seconds() > deferred.trigger.until - time.time()
    result = come_back(render(), context, deferred)
    [sold] = sandbox.ledger()
    assert (result["job_id"], result["status"]) == (sold["job_id"], "completed")
    assert context["ti"].xcoms["job_id"] == sold["job_id"]
    assert clock.ahead >= ASKED - 1


def test_a_task_that_does_not_wait_for_its_job_is_put_off_too(sandbox: SandboxServer, clock: Clock) -> None:
    refuse(sandbox, times=1)
    context = Tries().next()
    task = render(wait_for_completion=False)
    result = come_back(task, context, put_off(task, context))
    assert [result["job_id"]] == [sold["job_id"] for sold in sandbox.ledger()]
    assert result["status"] == "processing"


def test_a_refusal_after_a_refusal_is_put_off_again_and_counted_from_the_first(
    sandbox: SandboxServer, clock: Clock
) -> None:
    refuse(sandbox, times=2)
    tries = Tries()
    context = tries.next()
    first = put_off(render(), context)
    with pytest.raises(TaskDeferred) as second:
        come_back(render(), context, first)
    assert second.value.kwargs == {"since": (first.kwargs or {})["since"], "refusals": 2}
    assert record(tries)["state"] == "refused"
    come_back(render(), context, second.value)
    assert len(sandbox.ledger()) == 1


def test_refusals_that_name_no_time_are_put_off_for_longer_each_time(sandbox: SandboxServer, clock: Clock) -> None:
    refuse(sandbox, asked=None)
    context = Tries().next()
    task = render(job_timeout=86400)
    deferred, waits = put_off(task, context), []
    for _ in range(3):
        waits.append(deferred.trigger.until - time.time())
        with pytest.raises(TaskDeferred) as again:
            come_back(task, context, deferred)
        deferred = again.value
    assert [60 <= waits[0] + 1 <= 92, 120 <= waits[1] + 1 <= 182, 240 <= waits[2] + 1 <= 362] == [True] * 3
    assert sandbox.ledger() == []


def test_a_try_gives_up_where_the_vendor_asks_for_more_than_is_left_of_job_timeout(sandbox: SandboxServer) -> None:
    refuse(sandbox)
    since = time.time() - 1300
    with pytest.raises(LipsyncRateLimited) as caught:
        render().resume_execution("execute_again", {"since": since, "refusals": 2, "event": {}}, Tries().next())
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    told = str(caught.value)
    assert told.startswith("job none · charged: no · video: none · next: none if the task has retries left")
    assert "asks to wait 600 s" in told
    assert datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") in told
    assert "each submit of this try (3)" in told
    assert "job_timeout allows (1800 s)" in told
    assert sandbox.ledger() == []


@pytest.mark.parametrize("waits", [True, False], ids=["waits in place", "does not wait"])
def test_a_task_that_cannot_be_deferred_fails_and_says_what_to_do(sandbox: SandboxServer, waits: bool) -> None:
    refuse(sandbox)
    tries = Tries()
    with pytest.raises(LipsyncRateLimited) as caught:
        render(deferrable=False, wait_for_completion=waits).execute(tries.next())
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    told = str(caught.value)
    assert told.startswith("job none · charged: no")
    for words in (
        "asks to wait 600 s",
        "Nothing was bought",
        "retry_delay of 600 s",
        "deferrable=True",
        "pool",
        "docs/limits.md",
    ):
        assert words in told
    assert record(tries)["state"] == "refused"
    assert sandbox.ledger() == []


@pytest.mark.parametrize("cleared", [False, True], ids=["retry", "clear"])
def test_a_try_that_ends_while_it_is_put_off_leaves_the_way_free(sandbox: SandboxServer, cleared: bool) -> None:
    refuse(sandbox, times=1)
    tries = Tries(retries=1)
    put_off(render(), tries.next())
    assert run_task(render(), tries.next(cleared=cleared))["status"] == "completed"
    assert len(sandbox.ledger()) == 1


def test_a_task_that_comes_back_twice_buys_once(sandbox: SandboxServer, clock: Clock) -> None:
    refuse(sandbox, times=1)
    context = Tries().next()
    deferred = put_off(render(), context)
    assert come_back(render(), context, deferred)["job_id"] == come_back(render(), context, deferred)["job_id"]
    assert len(sandbox.ledger()) == 1


LOST = [
    pytest.param({"error": TriggerFailureReason.TRIGGER_TIMEOUT}, id="the triggerer never came back"),
    pytest.param({"error": TriggerFailureReason.TRIGGER_FAILURE, "traceback": ["KeyError: 1\n"]}, id="it broke"),
]


@pytest.mark.parametrize("failure", LOST)
def test_a_timer_that_is_lost_means_to_submit_again(sandbox: SandboxServer, failure: dict[str, Any]) -> None:
    refuse(sandbox, times=1)
    context = Tries().next()
    task = render(wait_for_completion=False)
    put_off(task, context)
    result = task.resume_execution(TRIGGER_FAIL_REPR, failure, context)
    assert [result["job_id"]] == [sold["job_id"] for sold in sandbox.ledger()]


def test_a_timer_that_is_lost_does_not_begin_the_time_of_the_try_anew(sandbox: SandboxServer) -> None:
    refuse(sandbox)
    context = Tries().next()
    context["ti"].start_date = datetime.fromtimestamp(time.time() - 1300, UTC)
    put_off(render(), context)
    with pytest.raises(LipsyncRateLimited, match=r"job_timeout allows \(1800 s\)"):
        render().resume_execution(TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, context)


@pytest.mark.parametrize("failure", LOST)
def test_the_lost_trigger_of_a_job_is_not_taken_for_a_timer(sandbox: SandboxServer, failure: dict[str, Any]) -> None:
    sandbox.set_faults([{"fault": "never_ends"}])
    context = Tries().next()
    with pytest.raises(TaskDeferred):
        render().execute(context)
    [sold] = sandbox.ledger()
    sandbox.finish(sold["job_id"])
    assert render().resume_execution(TRIGGER_FAIL_REPR, failure, context)["job_id"] == sold["job_id"]
    assert len(sandbox.ledger()) == 1


def test_a_video_that_somebody_else_bought_meanwhile_is_taken(
    sandbox: SandboxServer, clock: Clock, tmp_path: Path
) -> None:
    path = f"file://{tmp_path}/video.mp4"
    refuse(sandbox, times=1)
    context, others = Tries().next(), Tries().next()
    others["ti"].task_id = "other"
    deferred = put_off(render(output_path=path), context)
    other = render(output_path=path)
    bought = run_task(other, others)
    succeed(other, others)
    result = come_back(render(output_path=path), context, deferred)
    assert (result["job_id"], result["sha256"]) == (bought["job_id"], bought["sha256"])
    assert len(sandbox.ledger()) == 1


def test_a_task_that_was_ended_while_it_is_put_off_buys_nothing(sandbox: SandboxServer, clock: Clock) -> None:
    refuse(sandbox, times=1)
    context = Tries().next()
    deferred = put_off(render(), context)
    task = render()
    task.on_kill()
    with pytest.raises(AirflowException, match="ended from outside"):
        come_back(task, context, deferred)
    assert sandbox.ledger() == []


def test_no_key_and_no_input_travels_with_a_timer(sandbox: SandboxServer) -> None:
    refuse(sandbox)
    deferred = put_off(render(), Tries().next())
    path, arguments = deferred.trigger.serialize()
    assert path == "airflow_provider_lipsync.triggers.timer.LipsyncTimerTrigger"
    assert set(arguments) == {"until"}
    travels = json.dumps([arguments, deferred.kwargs])
    assert sandbox.key not in travels
    assert "host" not in travels


def test_a_timer_fires_once_at_its_moment_however_often_it_is_restarted(clock: Clock) -> None:
    until = time.time() + 1000
    trigger = LipsyncTimerTrigger(until=until)
    assert run_trigger(trigger) == {"status": "due", "until": until}
    assert 999 <= clock.ahead <= 1001
    ahead = clock.ahead
    assert run_trigger(trigger) == {"status": "due", "until": until}  # another triggerer, once it has passed
    assert clock.ahead == ahead


def test_a_timer_that_is_cancelled_fires_nothing() -> None:
    async def cancel() -> list[Any]:
        fired: list[Any] = []

        async def wait() -> None:
            fired.extend([event async for event in LipsyncTimerTrigger(until=time.time() + 3600).run()])

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return fired

    assert asyncio.run(cancel()) == []


def next_wait(count: int, asked: float | None, *, chance: float = 0.0, left: float = 1e6) -> float | None:
    refusals = Refusals(since=0.0, count=count)
    found = refusals.next_submit(asked, now=1000.0, job_timeout=1000.0 + left, chance=lambda: chance)
    return None if found is None else found[0] - 1000.0


@pytest.mark.parametrize(
    ("count", "asked", "waits"),
    [
        pytest.param(0, 61.0, 61.0, id="as asked"),
        pytest.param(5, 61.0, 61.0, id="as asked, however often"),
        pytest.param(0, None, 60.0, id="not asked"),
        pytest.param(0, 0.0, 60.0, id="asked for nothing, and refused all the same"),
        pytest.param(2, None, 240.0, id="grows"),
        pytest.param(2, 5.0, 240.0, id="asked for too little"),
        pytest.param(50, None, 600.0, id="not for ever"),
        pytest.param(5000, None, 600.0, id="nor does a large number overflow"),
    ],
)
def test_how_long_a_submit_is_put_off(count: int, asked: float | None, waits: float) -> None:
    assert next_wait(count, asked) == waits
    assert next_wait(count, asked, chance=1.0) == waits * 1.5


def test_the_wait_is_at_least_what_was_asked_and_never_longer_than_what_is_left() -> None:
    assert next_wait(0, 100.0, left=100.0, chance=1.0) == 100.0
    assert next_wait(0, 100.0, left=99.0) is None
    assert next_wait(0, float("1e300")) is None


def test_two_hundred_tasks_that_were_refused_in_one_second_do_not_come_back_in_one() -> None:
    draw = random.Random(7)
    waits = [next_wait(0, 300.0, chance=draw.random()) or 0.0 for _ in range(200)]
    assert min(waits) >= 300
    busiest = max(sum(second <= wait < second + 1 for wait in waits) for second in range(300, 450))
    assert busiest <= 8


def test_no_wait_is_so_short_that_it_trips_the_schedulers_race() -> None:
    assert (next_wait(0, 0.0) or 0.0) > FIRST_LOOK_SECONDS
