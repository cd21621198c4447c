"""Pay once: what the next try does about the job of an earlier one, whoever died, retried or cleared."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferred

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobTrigger
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncInputChanged,
    LipsyncJobFailed,
    LipsyncKeyRefused,
    LipsyncLedgerUnavailable,
    LipsyncMisconfigured,
    LipsyncPollFault,
    LipsyncRateLimited,
    LipsyncSubmitUncertain,
    LipsyncUnknownJob,
)
from tests.provider.conftest import Tell
from tests.support.scripted import Step, answer, drop, json_answer
from tests.support.tasks import FakeStateStore, Tries, run_task, succeed
from tests.support.vendor import JOB_ID, KEY, accepted, completed, connection, failed, job, posts, processing

SECOND_ID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"


class Killed(BaseException):
    """SIGKILL, as far as Python can show it."""


def render(**changes: Any) -> LipsyncImageOperator:
    values = {"image": "https://host/face.png", "audio": "https://host/voice.mp3", "poll_interval": 0.02}
    return LipsyncImageOperator(task_id="render", **(values | changes))


def accepted_again() -> Step:
    return json_answer(200, {"id": SECOND_ID, "status": "processing"})


def completed_again() -> Step:
    return job(id=SECOND_ID, status="completed", output="https://vendor.example/second.mp4")


def die_before_waiting(context: Any, **changes: Any) -> None:
    """A try whose worker dies when the id stands and nobody waits yet."""
    task = render(**changes)

    def die(key: str, value: str) -> None:
        raise Killed

    context["ti"].xcom_push = die
    with pytest.raises(Killed):
        task.execute(context)


def deliver(tries: Tries, **changes: Any) -> dict[str, Any]:
    """A try that ends well, and is recorded so."""
    task, context = render(**changes), tries.next()
    result: dict[str, Any] = run_task(task, context)
    succeed(task, context)
    return result


@pytest.fixture(params=["retry", "clear"])
def cleared(request: pytest.FixtureRequest) -> bool:
    """Both ways to another try."""
    return bool(request.param == "clear")


def test_a_try_that_died_is_followed_by_one_that_waits_for_its_job(
    tell: Tell, deferrable: bool, cleared: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    server, tries = tell(accepted(), processing(), processing(), completed()), Tries()
    die_before_waiting(tries.next())
    context = tries.next(cleared=cleared)
    assert run_task(render(deferrable=deferrable), context)["job_id"] == JOB_ID
    assert context["ti"].xcoms["job_id"] == JOB_ID
    assert posts(server) == 1
    assert f"Re-attaching to job {JOB_ID}, which an earlier try bought at 20" in capfd.readouterr().out


def test_a_job_that_ended_meanwhile_is_handed_on_at_once(tell: Tell, cleared: bool) -> None:
    server, tries = tell(accepted(), completed()), Tries()
    die_before_waiting(tries.next())
    assert render().execute(tries.next(cleared=cleared))["video_url"].startswith("https://vendor.example/result")
    assert len(server.requests) == 2


def test_a_job_that_failed_meanwhile_is_bought_anew(tell: Tell, cleared: bool) -> None:
    server, tries = tell(accepted(), failed(), accepted_again(), completed_again()), Tries()
    die_before_waiting(tries.next())
    assert run_task(render(), tries.next(cleared=cleared))["job_id"] == SECOND_ID
    assert posts(server) == 2


def test_a_job_that_the_try_itself_saw_fail_is_bought_anew_without_another_look(tell: Tell, cleared: bool) -> None:
    server, tries = tell(accepted(), processing(), failed(), accepted_again(), completed_again()), Tries()
    with pytest.raises(LipsyncJobFailed):
        run_task(render(), tries.next())
    assert run_task(render(), tries.next(cleared=cleared))["job_id"] == SECOND_ID
    assert (posts(server), len(server.requests)) == (2, 5)


def test_a_job_that_is_completed_without_a_video_has_not_failed(tell: Tell, cleared: bool) -> None:
    server, tries = tell(accepted(), completed(None), completed(None), completed()), Tries()
    for number in range(2):
        with pytest.raises(LipsyncJobFailed, match="a retry or clear looks at it again"):
            run_task(render(), tries.next(cleared=cleared and number > 0))
    assert run_task(render(), tries.next(cleared=cleared))["job_id"] == JOB_ID
    assert posts(server) == 1


def test_what_was_delivered_is_bought_again_by_a_clear_alone(tell: Tell) -> None:
    server, tries = tell(accepted(), completed(), completed(), accepted_again(), completed_again()), Tries()
    first = deliver(tries)
    assert deliver(tries) == first  # a try that is no clear
    task, context = render(), tries.next(cleared=True)
    assert run_task(task, context)["job_id"] == SECOND_ID
    assert posts(server) == 2


def test_a_clear_that_reuses_hands_on_what_was_delivered(tell: Tell) -> None:
    server, tries = tell(accepted(), completed()), Tries()
    first = deliver(tries)
    assert run_task(render(on_clear="reuse"), tries.next(cleared=True)) == first
    assert posts(server) == 1


def test_a_clear_that_resubmits_buys_and_names_what_it_gives_up(tell: Tell, capfd: pytest.CaptureFixture[str]) -> None:
    server, tries = tell(accepted(), accepted_again(), completed_again()), Tries()
    die_before_waiting(tries.next())
    assert run_task(render(on_clear="resubmit"), tries.next(cleared=True))["job_id"] == SECOND_ID
    assert posts(server) == 2
    assert f"Job {JOB_ID}, bought at" in capfd.readouterr().out


@pytest.mark.parametrize("recorded", ["running", "failed", "restarting"])
def test_a_result_that_airflow_did_not_record_counts_as_not_delivered(tell: Tell, recorded: str) -> None:
    server, tries = tell(accepted(), completed(), completed()), Tries()
    task, context = render(), tries.next()
    first = run_task(task, context)
    succeed(task, context, recorded=recorded)
    assert run_task(render(), tries.next(cleared=True)) == first
    assert posts(server) == 1


def test_a_worker_that_dies_before_its_success_is_recorded_has_not_delivered(tell: Tell) -> None:
    server, tries = tell(accepted(), completed(), completed()), Tries()
    first = run_task(render(), tries.next())
    assert run_task(render(), tries.next(cleared=True)) == first
    assert posts(server) == 1


def test_a_retry_after_a_clear_is_a_retry(tell: Tell) -> None:
    """The job of a cleared task's first try is that of its later tries, too, whatever their templates render to."""
    server, tries = tell(accepted(), processing()), Tries(retries=1)
    die_before_waiting(tries.next())
    die_before_waiting(tries.next(cleared=True))
    with pytest.raises(LipsyncInputChanged):
        render(audio="https://host/other.mp3").execute(tries.next())
    assert posts(server) == 1


def test_an_answer_that_was_lost_asks_a_person_until_one_decides(tell: Tell, cleared: bool) -> None:
    server, tries = tell(drop, accepted(), completed()), Tries()
    for number in range(3):
        with pytest.raises(LipsyncSubmitUncertain) as caught:
            render().execute(tries.next(cleared=cleared and number > 0))
        assert isinstance(caught.value, AirflowFailException)
        first, second = str(caught.value).splitlines()[:2]
        assert first.startswith(
            "job unknown · charged: unknown · video: none · next: look for a lipsync-image job of 20"
        )
        assert 'set resume_job_id="<its id>"' in first
        assert 'set on_ambiguous_submit="resubmit"' in first
        assert "the answer to the submit was lost" in second
        assert "may have been charged for its length" in second
    assert posts(server) == 1
    assert run_task(render(on_ambiguous_submit="resubmit"), tries.next(cleared=cleared))["job_id"] == JOB_ID
    assert posts(server) == 2


def test_who_wants_to_pay_twice_is_retried_after_a_lost_answer(tell: Tell) -> None:
    server, tries = tell(drop, accepted(), completed()), Tries(retries=1)
    with pytest.raises(LipsyncSubmitUncertain) as caught:
        render(on_ambiguous_submit="resubmit").execute(tries.next())
    assert not isinstance(caught.value, AirflowFailException)
    assert run_task(render(on_ambiguous_submit="resubmit"), tries.next())["status"] == "completed"
    assert posts(server) == 2


def test_a_try_that_died_during_its_submit_left_an_intent(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, cleared: bool
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    server, tries = tell(accepted()), Tries()
    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_lipsync.api.client.LipsyncClient.submit", die)
        with pytest.raises(Killed):
            render().execute(tries.next())
    with pytest.raises(LipsyncSubmitUncertain, match="whoever sent it ended before the answer was written down"):
        render().execute(tries.next(cleared=cleared))
    assert posts(server) == 0


def test_a_job_that_a_person_found_is_taken_and_nothing_is_bought(tell: Tell, deferrable: bool) -> None:
    server, tries = tell(drop, processing(), processing(), completed(), completed()), Tries()
    with pytest.raises(LipsyncSubmitUncertain):
        render().execute(tries.next())
    task, context = render(resume_job_id=f" {JOB_ID} ", deferrable=deferrable), tries.next(cleared=True)
    first = run_task(task, context)
    assert (first["job_id"], first["status"]) == (JOB_ID, "completed")
    succeed(task, context)
    assert run_task(render(resume_job_id=JOB_ID), tries.next(cleared=True)) == first
    assert posts(server) == 1


@pytest.mark.parametrize("empty", ["", " ", "None", None])
def test_an_empty_resume_job_id_is_none(tell: Tell, empty: str | None) -> None:
    server = tell(accepted(), completed())
    run_task(render(resume_job_id=empty), Tries().next())
    assert posts(server) == 1


@pytest.mark.parametrize("wrong", ["not an id", {"video_url": "x"}, 7, KEY])
def test_a_resume_job_id_that_is_none_costs_nothing(tell: Tell, wrong: Any) -> None:
    server = tell(accepted())
    with pytest.raises(LipsyncBadInput) as caught:
        render(resume_job_id=wrong).execute(Tries().next())
    assert KEY not in str(caught.value)
    assert server.requests == []


def test_a_resume_job_id_that_the_vendor_does_not_know_is_told_at_once(tell: Tell) -> None:
    server = tell(answer(404), accepted())
    with pytest.raises(LipsyncUnknownJob, match="the vendor does not know this job"):
        render(resume_job_id=JOB_ID).execute(Tries().next())
    assert len(server.requests) == 1


def test_a_resume_job_id_that_cannot_be_seen_replaces_nothing(tell: Tell) -> None:
    server, tries = tell(accepted(), *[answer(200, "<html>")] * 2, completed()), Tries()
    die_before_waiting(tries.next())
    with pytest.raises(LipsyncPollFault):
        render(resume_job_id="a-slip-of-the-pen").execute(tries.next())
    assert run_task(render(), tries.next())["job_id"] == JOB_ID
    assert posts(server) == 1


def test_a_retry_with_other_inputs_that_cannot_see_the_job_is_retried(tell: Tell) -> None:
    server, tries = tell(accepted(), answer(200, "<html>")), Tries()
    die_before_waiting(tries.next())
    with pytest.raises(LipsyncPollFault) as caught:
        render(seed=3).execute(tries.next())
    assert not isinstance(caught.value, AirflowFailException)
    assert posts(server) == 1


def test_adopting_gives_up_another_job_only_aloud(tell: Tell, capfd: pytest.CaptureFixture[str]) -> None:
    server, tries = tell(accepted(), completed_again()), Tries()
    die_before_waiting(tries.next())
    assert render(resume_job_id=SECOND_ID).execute(tries.next(cleared=True))["job_id"] == SECOND_ID
    assert f"Job {JOB_ID}, bought before and not delivered, is given up" in capfd.readouterr().out
    assert posts(server) == 1


def test_an_intent_that_cannot_be_written_sends_nothing_and_is_retried(tell: Tell) -> None:
    class Broken(FakeStateStore):
        def set(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("the API server is away")

    server, tries = tell(accepted(), completed()), Tries(store=Broken())
    with pytest.raises(LipsyncLedgerUnavailable, match="charged: no") as caught:
        render().execute(tries.next())
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert server.requests == []
    tries.store = FakeStateStore()
    assert run_task(render(), tries.next())["status"] == "completed"


class IdRefused(FakeStateStore):
    """A store that takes the intent, and nothing more for so many writes."""

    def __init__(self, refused: int) -> None:
        super().__init__()
        self.refused, self.writes = refused, 0

    def set(self, key: str, value: Any, **options: Any) -> None:
        self.writes += 1
        if 1 < self.writes <= 1 + self.refused:
            raise ConnectionError("the API server is away")
        super().set(key, value, **options)


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_lipsync.jobs.ledger._FIRST_PAUSE", 0.0)


@pytest.mark.usefixtures("_no_pauses")
def test_an_id_that_cannot_be_written_is_written_when_the_task_comes_back(
    tell: Tell, capfd: pytest.CaptureFixture[str]
) -> None:
    tell(accepted(), processing(), completed())
    tries = Tries(store=IdRefused(refused=6))
    context = tries.next()
    with pytest.raises(TaskDeferred) as deferred:
        render().execute(context)
    assert f"The id of job {JOB_ID} could not be written" in capfd.readouterr().out
    assert json.loads(tries.store.rows["lipsync_job"])["state"] == "intent"
    event = {"status": "completed", "job_id": JOB_ID, "job": None}
    task = render()
    assert task.resume_execution("execute_complete", {**(deferred.value.kwargs or {}), "event": event}, context)
    assert json.loads(tries.store.rows["lipsync_job"])["job_id"] == JOB_ID


def test_a_finished_video_is_handed_on_although_the_ledger_is_gone(tell: Tell) -> None:
    tell(accepted(), processing(), completed())
    tries = Tries()
    context = tries.next()
    with pytest.raises(TaskDeferred) as deferred:
        render().execute(context)
    tries.store.rows["lipsync_job"] = '"rubbish"'
    event = {"status": "completed", "job_id": JOB_ID, "job": None}
    task = render()
    result = task.resume_execution("execute_complete", {**(deferred.value.kwargs or {}), "event": event}, context)
    assert result["status"] == "completed"
    succeed(task, context)


def test_a_submit_that_was_refused_leaves_the_way_free(tell: Tell, cleared: bool) -> None:
    server, tries = tell(answer(429, headers={"Retry-After": "999"}), accepted(), completed()), Tries()
    with pytest.raises(LipsyncRateLimited):
        render(deferrable=False).execute(tries.next())
    assert run_task(render(), tries.next(cleared=cleared))["status"] == "completed"
    assert posts(server) == 2


def test_a_key_that_was_refused_while_waiting_costs_no_second_job(tell: Tell, cleared: bool) -> None:
    server, tries = tell(accepted(), processing(), *[answer(401)] * 3, completed()), Tries()
    with pytest.raises(LipsyncKeyRefused, match="a retry or clear waits on for this job"):
        run_task(render(), tries.next())
    with pytest.raises(LipsyncKeyRefused) as caught:  # still refused: at the look before waiting
        run_task(render(), tries.next(cleared=cleared))
    assert caught.value.job_id == JOB_ID
    assert not isinstance(caught.value, AirflowFailException)
    assert run_task(render(), tries.next(cleared=cleared))["job_id"] == JOB_ID
    assert posts(server) == 1


def test_a_look_that_does_not_work_is_no_reason_to_buy(tell: Tell, deferrable: bool, cleared: bool) -> None:
    server, tries = tell(accepted(), answer(200, "<html>"), answer(404), processing(), completed()), Tries()
    die_before_waiting(tries.next())
    assert run_task(render(deferrable=deferrable), tries.next(cleared=cleared))["job_id"] == JOB_ID
    assert posts(server) == 1


@pytest.mark.parametrize(
    ("job_timeout", "age", "left"),
    [
        pytest.param(900, 100, 800, id="time is left"),
        pytest.param(900, 850, 300, id="little is left"),
        pytest.param(900, 9000, 300, id="none is left"),
    ],
)
def test_who_re_attaches_waits_until_the_later_of_two_moments(
    tell: Tell, job_timeout: int, age: float, left: float
) -> None:
    tell(accepted(), processing())
    tries = Tries()
    die_before_waiting(tries.next())
    row = json.loads(tries.store.rows["lipsync_job"])
    tries.store.rows["lipsync_job"] = json.dumps(row | {"submitted_at": time.time() - age})
    with pytest.raises(TaskDeferred) as deferred:
        render(job_timeout=job_timeout).execute(tries.next())
    assert abs(deferred.value.trigger.deadline - time.time() - left) < 30


def test_a_retry_with_other_inputs_does_not_buy_and_names_them(tell: Tell) -> None:
    server, tries = tell(accepted(), processing()), Tries()
    die_before_waiting(tries.next())
    with pytest.raises(
        LipsyncInputChanged, match=r"audio, seed changed\. At the vendor the job is 'processing'"
    ) as caught:
        render(audio="https://host/2.mp3", seed=3).execute(tries.next())
    assert isinstance(caught.value, AirflowFailException)
    assert str(caught.value).startswith(f"job {JOB_ID} · charged: yes · video: none · next: set on_changed_input")
    assert posts(server) == 1


def test_a_retry_with_other_inputs_buys_if_the_job_failed(tell: Tell) -> None:
    server, tries = tell(accepted(), failed(), accepted_again(), completed_again()), Tries()
    die_before_waiting(tries.next())
    assert run_task(render(audio="https://host/2.mp3"), tries.next())["job_id"] == SECOND_ID
    assert posts(server) == 2


@pytest.mark.parametrize(("wish", "bought"), [("reattach", 1), ("resubmit", 2)])
def test_what_a_retry_with_other_inputs_does_is_for_the_user_to_say(tell: Tell, wish: Any, bought: int) -> None:
    story = (accepted(), completed()) if wish == "reattach" else (accepted(), accepted_again(), completed_again())
    server, tries = tell(*story), Tries()
    die_before_waiting(tries.next())
    run_task(render(audio="https://host/2.mp3", on_changed_input=wish), tries.next())
    assert posts(server) == bought


def test_a_clear_with_other_inputs_buys_and_names_the_job_it_gives_up(
    tell: Tell, capfd: pytest.CaptureFixture[str]
) -> None:
    server, tries = tell(accepted(), accepted_again(), completed_again()), Tries()
    die_before_waiting(tries.next())
    assert run_task(render(audio="https://host/2.mp3"), tries.next(cleared=True))["job_id"] == SECOND_ID
    assert posts(server) == 2
    told = capfd.readouterr().out
    assert f"Job {JOB_ID}, bought at" in told
    assert "is given up: the inputs changed (audio)" in told


def test_media_that_are_signed_anew_are_the_same(tell: Tell, cleared: bool) -> None:
    server, tries = tell(accepted(), completed()), Tries()
    die_before_waiting(tries.next(), audio="https://b.s3.amazonaws.com/v.mp3?X-Amz-Date=1&X-Amz-Signature=1")
    signed_anew = render(audio="https://b.s3.amazonaws.com/v.mp3?X-Amz-Date=2&X-Amz-Signature=2")
    assert run_task(signed_anew, tries.next(cleared=cleared))["job_id"] == JOB_ID
    assert posts(server) == 1


def test_without_waiting_a_job_is_bought_once_too(tell: Tell, cleared: bool) -> None:
    server, tries = tell(accepted(), processing()), Tries()
    die_before_waiting(tries.next(), wait_for_completion=False)
    assert render(wait_for_completion=False).execute(tries.next(cleared=cleared))["job_id"] == JOB_ID
    assert posts(server) == 1


# Where Airflow has no task state store.


def test_without_a_memory_it_says_so_once_and_a_second_try_does_not_buy(
    tell: Tell, cleared: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    server, tries = tell(accepted(), answer(401), answer(401)), Tries(store=None)
    with pytest.raises(LipsyncKeyRefused, match="the next try cannot know this job"):
        run_task(render(), tries.next())
    assert capfd.readouterr().out.count("This Airflow has no task state store") == 1
    with pytest.raises(LipsyncSubmitUncertain, match=r"resume_job_id=(.|\n)*not the task's first try") as caught:
        render().execute(tries.next(cleared=cleared))
    assert isinstance(caught.value, AirflowFailException)
    assert posts(server) == 1


def test_without_a_memory_who_wants_to_pay_twice_does(tell: Tell, cleared: bool) -> None:
    server, tries = tell(drop, accepted(), completed()), Tries(store=None)
    with pytest.raises(LipsyncSubmitUncertain, match="the answer to the submit was lost"):
        render(on_ambiguous_submit="resubmit").execute(tries.next())
    assert run_task(render(on_ambiguous_submit="resubmit"), tries.next(cleared=cleared))["status"] == "completed"
    assert posts(server) == 2


def test_without_a_memory_a_job_that_a_person_found_is_taken(tell: Tell) -> None:
    server, tries = tell(completed()), Tries(store=None)
    tries.next()
    assert render(resume_job_id=JOB_ID).execute(tries.next(cleared=True))["job_id"] == JOB_ID
    assert posts(server) == 0


@pytest.mark.parametrize("store", [None, FakeStateStore()], ids=["Airflow 3.1", "Airflow 3.3"])
def test_a_folder_for_the_ledger_remembers_on_any_airflow(
    tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cleared: bool, store: Any
) -> None:
    server, tries = tell(accepted(), completed()), Tries(store=store)
    (tmp_path / "ledger").mkdir()
    with_ledger = connection(server.url, ledger_path=f"file://{tmp_path}/ledger")
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", with_ledger)
    die_before_waiting(tries.next())
    task, context = render(), tries.next(cleared=cleared)
    assert run_task(task, context)["job_id"] == JOB_ID
    succeed(task, context)
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert json.loads(kept.read_text())["state"] == "delivered"
    assert KEY not in kept.read_text()
    assert posts(server) == 1
    assert store is None or store.rows == {}


@pytest.mark.parametrize("folder", ["/srv/ledger", 7, "s3://bucket/{KEY}", "s4://bucket/x"])
def test_a_folder_that_cannot_be_used_costs_nothing(tell: Tell, monkeypatch: pytest.MonkeyPatch, folder: Any) -> None:
    server = tell(accepted())
    wanted = folder.replace("{KEY}", KEY) if isinstance(folder, str) else folder
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(server.url, ledger_path=wanted))
    with pytest.raises(LipsyncMisconfigured, match="ledger_path") as caught:
        render().execute(Tries().next())
    assert KEY not in str(caught.value)
    assert server.requests == []


# What ends a task from outside.


def test_a_kill_says_once_that_the_job_runs_on(tell: Tell, capfd: pytest.CaptureFixture[str]) -> None:
    tell(accepted(), processing())
    task = render()
    with pytest.raises(TaskDeferred):
        task.execute(Tries().next())
    task.on_kill()
    task.on_kill()
    task._teller.join()
    assert capfd.readouterr().out.count(f"Job {JOB_ID} has no cancel: it runs on at the vendor and stays charged") == 1


def test_a_task_that_was_killed_before_it_bought_does_not_buy(tell: Tell, capfd: pytest.CaptureFixture[str]) -> None:
    server, tries = tell(accepted(), completed()), Tries()
    task = render()
    task.on_kill()
    with pytest.raises(AirflowException, match="charged: no"):
        task.execute(tries.next())
    assert posts(server) == 0
    assert "has no cancel" not in capfd.readouterr().out
    assert run_task(render(), tries.next(cleared=True))["status"] == "completed"


def test_a_kill_while_the_submit_is_on_its_way_is_told_with_the_id(
    tell: Tell, capfd: pytest.CaptureFixture[str]
) -> None:
    task = render(wait_for_completion=False)

    def answer_after_the_kill(connection: Any) -> None:
        task.on_kill()
        accepted()(connection)

    tell(answer_after_the_kill)
    task.execute(Tries().next())
    assert capfd.readouterr().out.count(f"Job {JOB_ID} has no cancel") == 1


def test_execution_timeout_after_the_answer_keeps_the_id(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(FakeStateStore):
        writes = 0

        def set(self, key: str, value: Any, **options: Any) -> None:
            self.writes += 1
            if self.writes == 2:
                raise AirflowTaskTimeout("execution_timeout")
            super().set(key, value, **options)

    server, tries = tell(accepted(), completed()), Tries(store=Slow())
    with pytest.raises(AirflowTaskTimeout):
        render().execute(tries.next())
    assert run_task(render(), tries.next())["job_id"] == JOB_ID
    assert posts(server) == 1


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        pytest.param(processing(), True, id="goes on"),
        pytest.param(drop, True, id="cannot be seen"),
        pytest.param(completed(), False, id="an event came from elsewhere"),
        pytest.param(failed(), False, id="an event of a failed job came from elsewhere"),
    ],
)
def test_a_deferred_task_that_is_ended_says_that_its_job_runs_on(
    tell: Tell, seen: Step, told: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    server = tell(seen)
    trigger = LipsyncJobTrigger(job_id=JOB_ID, lipsync_conn_id="lipsync_default", poll_interval=1, deadline=2e9)
    asyncio.run(trigger.on_kill())
    assert (f"Job {JOB_ID} has no cancel" in capfd.readouterr().out) is told
    assert {request.split(b" ")[0] for request in server.requests} == {b"GET"}


def test_a_deferred_task_whose_connection_is_gone_can_be_ended(capfd: pytest.CaptureFixture[str]) -> None:
    trigger = LipsyncJobTrigger(job_id=JOB_ID, lipsync_conn_id="lipsync_nowhere", poll_interval=1, deadline=2e9)
    asyncio.run(trigger.on_kill())
    assert f"Job {JOB_ID} has no cancel" in capfd.readouterr().out


def test_a_finished_video_is_handed_on_although_the_connection_is_gone() -> None:
    job_done = {"id": JOB_ID, "status": "completed", "output": "https://vendor.example/result.mp4"}
    event = {"status": "completed", "job_id": JOB_ID, "job": job_done}
    task = render(lipsync_conn_id="lipsync_nowhere")
    assert task.execute_complete(Tries().next(), event, job_id=JOB_ID)["status"] == "completed"


def test_a_task_that_is_killed_while_it_waits_to_submit_again_does_not_buy(tell: Tell) -> None:
    task = render()

    def refuse_after_the_kill(connection: Any) -> None:
        task.on_kill()
        answer(429, headers={"Retry-After": "0"})(connection)

    server, tries = tell(refuse_after_the_kill, accepted(), completed()), Tries()
    with pytest.raises(AirflowException, match="charged: no"):
        task.execute(tries.next())
    assert posts(server) == 1
    assert run_task(render(), tries.next(cleared=True))["status"] == "completed"


@pytest.mark.parametrize(
    ("changes", "store", "words"),
    [
        pytest.param({}, FakeStateStore(), "then clear the task (that buys a new job)", id="remembered"),
        pytest.param({}, None, "the next try cannot know this job: it will refuse to buy", id="no memory"),
        pytest.param({"resume_job_id": JOB_ID}, FakeStateStore(), "looks at the job of resume_job_id", id="given"),
    ],
)
def test_who_is_on_call_reads_what_the_next_try_will_do(tell: Tell, changes: Any, store: Any, words: str) -> None:
    tell(*([] if changes else [accepted()]), failed())
    with pytest.raises(LipsyncJobFailed, match=re.escape(words)):
        run_task(render(**changes), Tries(store=store).next())


# What the operator shows of itself.


def test_the_users_callbacks_run_as_well() -> None:
    def mine(context: Any) -> None:
        pass

    assert render(on_success_callback=mine).on_success_callback[-1] is mine
    assert render(on_success_callback=[mine, mine]).on_success_callback[1:] == [mine, mine]
    assert len(render().on_success_callback) == 1


@pytest.mark.parametrize("name", ["on_clear", "on_ambiguous_submit", "on_changed_input"])
def test_a_wish_that_is_none_is_refused_while_the_dag_is_read(name: str) -> None:
    with pytest.raises(LipsyncBadInput, match=f"{name}: allowed are"):
        render(**{name: "whatever"})


def test_the_record_holds_no_key_and_no_input(tell: Tell) -> None:
    tell(accepted(), completed())
    tries = Tries()
    deliver(tries, prompt="a secret plan", audio="https://b.s3.amazonaws.com/v.mp3?X-Amz-Signature=abc")
    (kept,) = tries.store.rows.values()
    assert not [text for text in (KEY, "secret plan", "amazonaws", "X-Amz", "abc") if text in kept]
    assert len(kept) < 4096
