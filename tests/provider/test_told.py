"""Told by webhook: the URL that the vendor gets, what the trigger reads of a delivery, the wait for a lost id.

The receiver itself stands in for by what it writes: the ledger's record, and an XCom.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobTrigger
from airflow_provider_lipsync.api.answers import read_job
from airflow_provider_lipsync.api.callback import read_token
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncJobFailed,
    LipsyncMisconfigured,
    LipsyncSubmitUncertain,
)
from airflow_provider_lipsync.jobs import net
from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY, delivered_job, delivery_of
from airflow_provider_lipsync.triggers.delivery import LipsyncDeliveryTrigger
from tests.provider.conftest import Tell
from tests.support.scripted import ScriptedServer, Step, answer, drop
from tests.support.supervisor import Supervisor
from tests.support.tasks import FakeStateStore, Tries, of_task, run_task, run_trigger
from tests.support.vendor import JOB_ID, KEY, accepted, completed, connection, failed, posts, processing

SECRET = "9e107d9d372bb6826bd81d3542a419d6" * 2
BASE = "http://127.0.0.1:8080/airflow"
EXTRAS = {"webhook_base_url": f"{BASE}/", "webhook_secret": SECRET}
NONCE = "7c9e6679f7f14b4c8f3d0d9c3a1b2c4d"
ENDED = {"id": JOB_ID, "model": "lipsync-image", "status": "completed", "output": "https://vendor.example/result.mp4"}


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "_misses", {})
    monkeypatch.setattr("airflow_provider_lipsync.jobs.race.RESUME_SECONDS", 0.0)
    monkeypatch.setattr("airflow_provider_lipsync.jobs.race._AFTER_IT", 0.0)


@pytest.fixture
def told(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Start a vendor that answers so, connected with a receiver."""

    def start(*steps: Step) -> ScriptedServer:
        server = tell(*steps)
        monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(server.url, **EXTRAS))
        return server

    return start


def render(**changes: Any) -> LipsyncImageOperator:
    values = {"image": "https://host/face.png", "audio": "https://host/voice.mp3", "poll_interval": 0.02}
    return LipsyncImageOperator(task_id="render", **(values | changes))


def deferred_by(task: LipsyncImageOperator, context: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    return deferred.value


def record_of(tries: Tries) -> dict[str, Any]:
    found: dict[str, Any] = tries.store.get("lipsync_job")
    return found


def bring_back(store: Any, job_id: str = JOB_ID) -> None:
    """What the receiver writes where an id was lost."""
    record = store.get("lipsync_job")
    store.rows["lipsync_job"] = json.dumps(record | {"state": "bought", "job_id": job_id})


def body_of(server: ScriptedServer) -> dict[str, Any]:
    [request] = [request for request in server.requests if request.startswith(b"POST ")]
    found: dict[str, Any] = json.loads(request.partition(b"\r\n\r\n")[2])
    return found


def come_back(task: LipsyncImageOperator, deferred: TaskDeferred, context: Any, event: Any) -> Any:
    return task.resume_execution(deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context)


# The URL


def test_the_vendor_is_given_a_url_that_names_this_one_purchase(told: Tell) -> None:
    server, tries = told(accepted(), processing()), Tries()
    before = time.time()
    deferred_by(render(job_timeout=600), tries.next())
    url, record = body_of(server)["webhook"], record_of(tries)
    assert url.startswith(f"{BASE}/lipsync/webhooks/")
    callback = read_token(url.rsplit("/", 1)[1], secrets={"lipsync_default": (SECRET,)}, now=time.time())
    assert (callback.dag_id, callback.run_id) == ("show", "manual__2026-01-05")
    assert (callback.task_id, callback.map_index, callback.nonce) == ("render", -1, record["nonce"])
    assert before + 600 + 3600 <= callback.expires_at <= time.time() + 600 + 3600 + 1
    assert record["webhook_until"] == pytest.approx(callback.expires_at, abs=1)
    assert SECRET.encode() not in server.requests[0]


@pytest.mark.parametrize(
    ("extras", "changes"),
    [
        pytest.param({}, {}, id="a connection without a receiver"),
        pytest.param(EXTRAS, {"use_webhook": False}, id="not wanted"),
    ],
)
def test_no_url_is_given_without_a_receiver_or_where_it_is_not_wanted(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, extras: dict[str, Any], changes: dict[str, Any]
) -> None:
    server, tries = tell(accepted(), processing()), Tries()
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(server.url, **extras))
    deferred = deferred_by(render(**changes), tries.next())
    assert "webhook" not in body_of(server)
    assert record_of(tries)["webhook_until"] is None
    assert deferred.trigger.serialize()[1]["nonce"] == ""


def test_a_receiver_of_ones_own_goes_before_ours(told: Tell) -> None:
    server = told(accepted(), processing())
    deferred = deferred_by(render(webhook_url="https://own.example/hook"), Tries().next())
    assert body_of(server)["webhook"] == "https://own.example/hook"
    assert deferred.trigger.serialize()[1]["nonce"] == ""


def test_without_a_ledger_there_is_nothing_to_hold_a_delivery_against(told: Tell) -> None:
    server = told(accepted(), processing())
    deferred_by(render(), Tries(store=None).next())
    assert "webhook" not in body_of(server)


@pytest.mark.parametrize(
    ("extras", "changes", "store", "error", "words"),
    [
        pytest.param(
            {}, {}, FakeStateStore(), LipsyncMisconfigured, "needs the extras webhook_base_url", id="no receiver"
        ),
        pytest.param(EXTRAS, {}, None, LipsyncMisconfigured, "needs a ledger", id="no ledger"),
        pytest.param(
            EXTRAS,
            {"webhook_url": "https://own.example/hook"},
            FakeStateStore(),
            LipsyncBadInput,
            "tells only one",
            id="a receiver of one's own",
        ),
    ],
)
def test_what_is_asked_for_and_cannot_be_fails_before_anything_is_sent(
    tell: Tell,
    monkeypatch: pytest.MonkeyPatch,
    extras: dict[str, Any],
    changes: dict[str, Any],
    store: Any,
    error: type[Exception],
    words: str,
) -> None:
    server = tell(accepted(), processing())
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(server.url, **extras))
    with pytest.raises(error, match=words):
        render(use_webhook=True, **changes).execute(Tries(store=store).next())
    assert server.requests == []


def test_a_switch_that_is_none_is_refused_when_the_dag_is_read() -> None:
    with pytest.raises(LipsyncBadInput, match="use_webhook: allowed are None, True and False"):
        render(use_webhook="yes")


# What the trigger reads


def fire(**changes: Any) -> tuple[dict[str, Any], LipsyncJobTrigger]:
    """Run a trigger as the triggerer does; it begins later than its submit, as after a restart."""
    values = {
        "job_id": JOB_ID,
        "lipsync_conn_id": "lipsync_default",
        "poll_interval": 0.05,
        "deadline": time.time() + 60,
        "submitted_at": time.time() - 600,
        "nonce": NONCE,
        "not_before": time.time(),
    }
    _, arguments = LipsyncJobTrigger(**(values | changes)).serialize()

    async def drain() -> tuple[list[Any], LipsyncJobTrigger]:
        trigger = LipsyncJobTrigger(**json.loads(json.dumps(arguments)))
        of_task(trigger, "render")
        return [event.payload async for event in trigger.run()], trigger

    [event], trigger = asyncio.run(drain())
    return event, trigger


def told_event(tries: Tries) -> dict[str, Any]:
    """Return the event that the receiver hands over for the purchase of a task."""
    nonce = record_of(tries)["nonce"]
    return {"status": "completed", "job_id": JOB_ID, "job": ENDED, "message": "", "nonce": nonce}


def hand_on(supervisor: Supervisor, *, nonce: str = NONCE, **changes: Any) -> None:
    job = read_job(JOB_ID, ENDED | changes)
    supervisor.xcoms["render", -1, DELIVERY_KEY] = delivery_of(nonce, job, at=time.time())


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_job_that_was_told_of_is_not_looked_at(told: Tell, supervisor: Supervisor, status: str) -> None:
    server = told(answer(500))
    hand_on(supervisor, status=status)
    event, _ = fire()
    assert (event["status"], event["job_id"], event["job"]["id"]) == (status, JOB_ID, JOB_ID)
    assert server.requests == []


def test_one_that_is_told_of_in_the_first_seconds_is_read_when_they_are_over(
    told: Tell, supervisor: Supervisor
) -> None:
    server, begins = told(answer(500)), time.time() + 0.4

    async def late(message: Any) -> Any:
        if len(supervisor.asked) == 1:
            hand_on(supervisor)
        return await Supervisor.asend(supervisor, message)

    supervisor.asend = late  # type: ignore[method-assign]
    event, _ = fire(not_before=begins)
    assert event["status"] == "completed"
    assert time.time() >= begins
    assert (server.requests, len(supervisor.asked)) == ([], 2)


def test_nothing_is_handed_on_before_a_task_may_be_resumed(told: Tell, supervisor: Supervisor) -> None:
    told(answer(500))
    hand_on(supervisor)
    begins = time.time() + 0.4
    fire(not_before=begins)
    assert time.time() >= begins


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"nonce": "another"}, id="of another purchase"),
        pytest.param({"status": "processing", "output": None}, id="not ended"),
    ],
)
def test_a_delivery_that_is_none_of_this_job_leaves_it_to_the_looks(
    told: Tell, supervisor: Supervisor, changes: dict[str, Any]
) -> None:
    server = told(completed())
    hand_on(supervisor, **changes)
    assert fire()[0]["status"] == "completed"
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", [None, "text", [], {}, {"version": 1, "nonce": NONCE}, {"nonce": NONCE, "job": 5}])
def test_an_xcom_that_is_no_delivery_is_none(value: object) -> None:
    assert delivered_job(value, NONCE) is None


def test_an_xcom_that_cannot_be_read_leaves_it_to_the_looks(told: Tell, supervisor: Supervisor) -> None:
    async def broken(message: Any) -> Any:
        raise ConnectionError

    supervisor.asend = broken  # type: ignore[method-assign]
    told(completed())
    assert fire()[0]["status"] == "completed"


def test_the_old_trigger_says_nothing_once_the_job_was_told_of(
    told: Tell, supervisor: Supervisor, capfd: pytest.CaptureFixture[str]
) -> None:
    server = told(processing())
    hand_on(supervisor)
    _, trigger = fire()
    asyncio.run(trigger.on_kill())
    assert server.requests == []
    assert "cancel" not in capfd.readouterr().out


def test_webhooks_that_never_arrive_are_not_waited_for(
    told: Tell, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    told(completed())
    for _ in range(3):
        assert net.is_trusted("lipsync_default")
        fire()
    assert not net.is_trusted("lipsync_default")
    assert "Is [lipsync] webhook_receiver on" in caplog.text
    hand_on(supervisor)
    fire()
    assert net.is_trusted("lipsync_default")


def test_in_dag_test_where_nobody_hears_a_webhook_a_job_is_looked_at(told: Tell, supervisor: Supervisor) -> None:
    told(processing(), completed())
    values = {"job_id": JOB_ID, "lipsync_conn_id": "lipsync_default", "poll_interval": 0.05, "nonce": NONCE}
    trigger = LipsyncJobTrigger(**values, deadline=time.time() + 60, submitted_at=time.time())
    assert run_trigger(trigger)["status"] == "completed"
    assert supervisor.asked == []


# Ids that were lost


@pytest.mark.parametrize("lost", [drop, answer(503), answer(200, "{}")], ids=["no answer", "503", "no id"])
def test_a_lost_id_is_waited_for_without_a_worker_and_brought_back(told: Tell, lost: Step) -> None:
    server, tries = told(lost, completed()), Tries()
    context, task = tries.next(), render()
    deferred = deferred_by(task, context)
    assert isinstance(deferred.trigger, LipsyncDeliveryTrigger)
    assert record_of(tries)["state"] == "intent"
    assert "job_id" not in context["ti"].xcoms
    bring_back(tries.store)
    event = told_event(tries)
    result = come_back(render(), deferred, context, event)
    assert (result["job_id"], result["status"]) == (JOB_ID, "completed")
    assert context["ti"].xcoms["job_id"] == JOB_ID
    assert posts(server) == 1


def test_the_id_that_a_resumed_task_is_told_is_written_where_our_own_doubt_stands(told: Tell) -> None:
    server, tries = told(drop, completed()), Tries()
    context = tries.next()
    deferred = deferred_by(render(), context)
    assert come_back(render(), deferred, context, told_event(tries))["job_id"] == JOB_ID
    assert record_of(tries)["job_id"] == JOB_ID
    assert posts(server) == 1


@pytest.mark.parametrize("changes", [{"nonce": NONCE}, {}], ids=["of another purchase", "of a look"])
def test_the_event_of_another_task_brings_no_id(told: Tell, changes: dict[str, str]) -> None:
    """SQLite gives the id of a trigger again while that still runs: what it fires then resumes a stranger."""
    _, tries = told(drop), Tries()
    context = tries.next()
    deferred = deferred_by(render(), context)
    event = {"status": "completed", "job_id": "of-another-task", "job": ENDED, "message": "", **changes}
    with pytest.raises(TaskDeferred) as again:
        come_back(render(), deferred, context, event)
    assert isinstance(again.value.trigger, LipsyncDeliveryTrigger)
    assert record_of(tries)["job_id"] is None


def test_the_trigger_of_the_wait_fires_once_a_delivery_stands(told: Tell, supervisor: Supervisor) -> None:
    tries = Tries()
    told(drop, completed())
    context = tries.next()
    deferred = deferred_by(render(), context)
    nonce = record_of(tries)["nonce"]
    hand_on(supervisor, nonce=nonce)
    trigger = LipsyncDeliveryTrigger(**deferred.trigger.serialize()[1])
    of_task(trigger, "render")

    async def drain() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(drain()) == [{"status": "delivered", "nonce": nonce}]
    context["ti"].xcoms[DELIVERY_KEY] = supervisor.xcoms["render", -1, DELIVERY_KEY]
    assert come_back(render(), deferred, context, {"status": "delivered", "nonce": nonce})["job_id"] == JOB_ID


def test_where_none_comes_a_person_is_asked_as_before(told: Tell) -> None:
    server, tries = told(drop), Tries()
    with pytest.raises(LipsyncSubmitUncertain, match="it is not known what came of it") as error:
        run_task(render(job_timeout=0.3), tries.next())
    assert isinstance(error.value, AirflowFailException)
    assert posts(server) == 1


def test_a_job_whose_id_came_back_and_that_failed_fails_its_own_try(told: Tell) -> None:
    """As it does where nothing is lost; only a retry or a clear buys another."""
    server, tries = told(drop, failed(), accepted(), completed()), Tries()
    context = tries.next()
    deferred = deferred_by(render(), context)
    bring_back(tries.store)
    with pytest.raises(LipsyncJobFailed):
        come_back(render(), deferred, context, {"status": "delivered"})
    assert (posts(server), record_of(tries)["state"]) == (1, "failed")
    run_task(render(), tries.next())
    assert posts(server) == 2


def test_so_it_does_where_the_worker_is_held(told: Tell) -> None:
    server, tries = told(drop, failed()), Tries(store=Delivered())
    with pytest.raises(LipsyncJobFailed):
        run_task(render(deferrable=False), tries.next())
    assert (posts(server), record_of(tries)["state"]) == (1, "failed")


def test_a_try_that_comes_back_to_its_own_job_may_render_to_something_else(told: Tell) -> None:
    """Templates are rendered anew when a task comes back, too: now() is another moment."""
    server, tries = told(drop, completed()), Tries()
    context = tries.next()
    deferred = deferred_by(render(prompt="at nine"), context)
    bring_back(tries.store)
    assert come_back(render(prompt="at ten"), deferred, context, {"status": "delivered"})["job_id"] == JOB_ID
    assert posts(server) == 1


@pytest.mark.parametrize("cleared", [False, True], ids=["retried", "cleared"])
def test_where_an_earlier_job_failed_the_one_that_is_bought_instead_may_be_lost_too(told: Tell, cleared: bool) -> None:
    """Its id is waited for as well, in the try that has waited before."""
    server, tries = told(drop, failed(), drop, completed()), Tries()
    deferred_by(render(), tries.next())  # and dies
    context = tries.next(cleared=cleared)
    deferred = deferred_by(render(), context)
    bring_back(tries.store)
    with pytest.raises(TaskDeferred) as again:
        come_back(render(), deferred, context, {"status": "delivered"})
    assert isinstance(again.value.trigger, LipsyncDeliveryTrigger)
    assert again.value.trigger.nonce == record_of(tries)["nonce"] != deferred.trigger.nonce
    assert posts(server) == 2
    bring_back(tries.store)
    assert come_back(render(), again.value, context, {"status": "delivered"})["job_id"] == JOB_ID
    assert posts(server) == 2


def test_so_is_that_where_the_worker_is_held(told: Tell) -> None:
    server, tries = told(drop, failed(), drop, completed()), Tries(store=Delivered())
    deferred_by(render(), tries.next())  # and dies
    assert run_task(render(deferrable=False), tries.next())["status"] == "completed"
    assert posts(server) == 2


@pytest.mark.parametrize("cleared", [False, True], ids=["retried", "cleared"])
def test_a_try_whose_worker_died_is_followed_by_one_that_waits_for_its_id(told: Tell, cleared: bool) -> None:
    server, tries = told(drop, completed()), Tries()
    deferred_by(render(), tries.next())  # and dies here, for all that anybody knows
    context = tries.next(cleared=cleared)
    deferred = deferred_by(render(), context)
    assert isinstance(deferred.trigger, LipsyncDeliveryTrigger)
    bring_back(tries.store)
    assert come_back(render(), deferred, context, {"status": "delivered"})["job_id"] == JOB_ID
    assert posts(server) == 1


def test_an_id_that_came_between_two_tries_is_found_by_the_next(told: Tell) -> None:
    server, tries = told(drop, completed()), Tries()
    deferred_by(render(), tries.next())
    bring_back(tries.store)
    assert run_task(render(), tries.next())["job_id"] == JOB_ID
    assert posts(server) == 1


class Delivered(FakeStateStore):
    """The receiver writes while a worker waits, for each purchase once."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def get(self, key: str, default: Any = None) -> Any:
        found = super().get(key, default)
        if found is not None and found["note"]:
            self.reads[found["nonce"]] += 1
            if self.reads[found["nonce"]] == 3:
                bring_back(self)
        return found


def test_a_worker_that_is_held_waits_in_place(told: Tell) -> None:
    server, tries = told(drop, completed()), Tries(store=Delivered())
    assert run_task(render(deferrable=False), tries.next())["job_id"] == JOB_ID
    assert posts(server) == 1


def test_our_own_doubt_never_takes_the_place_of_an_id_that_came(told: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhook overtakes the answer, which is then lost."""
    tries = Tries()
    server = told(drop, completed())
    submit = LipsyncImageOperator._submit

    def overtaken(self: Any, request: Any) -> Any:
        bring_back(tries.store)
        return submit(self, request)

    monkeypatch.setattr(LipsyncImageOperator, "_submit", overtaken)
    assert run_task(render(), tries.next())["job_id"] == JOB_ID
    assert record_of(tries)["job_id"] == JOB_ID
    assert posts(server) == 1


def test_who_would_rather_pay_twice_does_not_wait(told: Tell) -> None:
    told(drop)
    with pytest.raises(LipsyncSubmitUncertain) as error:
        render(on_ambiguous_submit="resubmit").execute(Tries().next())
    assert not isinstance(error.value, AirflowFailException)
    assert isinstance(error.value, AirflowException)


def test_who_would_rather_pay_twice_takes_an_id_that_came_all_the_same(
    told: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The webhook overtakes the answer, which is then lost."""
    tries = Tries()
    server = told(drop, completed())
    submit = LipsyncImageOperator._submit

    def overtaken(self: Any, request: Any) -> Any:
        bring_back(tries.store)
        return submit(self, request)

    monkeypatch.setattr(LipsyncImageOperator, "_submit", overtaken)
    assert run_task(render(on_ambiguous_submit="resubmit"), tries.next())["job_id"] == JOB_ID
    assert posts(server) == 1


@pytest.mark.parametrize("store", [None, FakeStateStore()], ids=["a folder alone", "a folder beside Airflow's store"])
def test_with_a_folder_as_the_ledger_nobody_waits_for_an_id_that_cannot_come_back(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Any
) -> None:
    server = tell(drop)
    extras = {**EXTRAS, "ledger_path": f"file://{tmp_path}"}
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(server.url, **extras))
    with pytest.raises(LipsyncSubmitUncertain):
        render().execute(Tries(store=store).next())
    assert "webhook" in body_of(server)


def test_who_wants_no_webhook_is_asked_at_once(told: Tell) -> None:
    server, tries = told(drop), Tries()
    deferred_by(render(), tries.next())
    with pytest.raises(LipsyncSubmitUncertain):
        render(use_webhook=False).execute(tries.next(cleared=True))
    assert posts(server) == 1


def test_after_the_deadline_nobody_waits_any_more(told: Tell) -> None:
    server, tries = told(drop), Tries()
    with pytest.raises(LipsyncSubmitUncertain):
        run_task(render(job_timeout=0.2), tries.next())
    with pytest.raises(LipsyncSubmitUncertain):
        render(job_timeout=0.2).execute(tries.next(cleared=True))
    assert posts(server) == 1


def test_a_wait_that_the_triggerer_lost_goes_on(told: Tell) -> None:
    server, tries = told(drop, completed()), Tries()
    context = tries.next()
    deferred = deferred_by(render(), context)
    lost = {"error": TriggerFailureReason.TRIGGER_TIMEOUT, **(deferred.kwargs or {})}
    with pytest.raises(TaskDeferred) as again:
        render().resume_execution(TRIGGER_FAIL_REPR, lost, context)
    assert isinstance(again.value.trigger, LipsyncDeliveryTrigger)
    bring_back(tries.store)
    assert render().resume_execution(TRIGGER_FAIL_REPR, lost, context)["job_id"] == JOB_ID
    assert context["ti"].xcoms["job_id"] == JOB_ID
    assert posts(server) == 1


def test_a_job_that_the_triggerer_lost_is_no_lost_id(told: Tell) -> None:
    """Its id could not be written, but it was handed on."""
    tries = Tries()
    told(accepted(), processing(), completed())
    context = tries.next()
    deferred = deferred_by(render(), context)
    tries.store.rows["lipsync_job"] = json.dumps(record_of(tries) | {"state": "intent", "job_id": None})
    lost = {"error": TriggerFailureReason.TRIGGER_TIMEOUT, **(deferred.kwargs or {})}
    assert render().resume_execution(TRIGGER_FAIL_REPR, lost, context)["job_id"] == JOB_ID


def test_no_secret_is_in_what_is_deferred_or_handed_on(told: Tell, capfd: pytest.CaptureFixture[str]) -> None:
    told(drop)
    tries = Tries()
    context = tries.next()
    deferred = deferred_by(render(), context)
    said = capfd.readouterr().out + json.dumps(
        [deferred.trigger.serialize(), deferred.kwargs, context["ti"].xcoms, tries.store.rows], default=str
    )
    assert SECRET not in said
    assert KEY not in said
    assert "/lipsync/webhooks/" not in said
    assert run_trigger(LipsyncDeliveryTrigger(nonce="n", until=time.time()))["status"] == "due"
