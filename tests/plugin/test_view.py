"""The View that the pages show: every key, always; addresses that lead to this server or the vendor alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.task_facts import TaskFacts
from airflow_provider_lipsync.plugin.view import credits_of, view_of
from tests.plugin.facts_support import JOB, KEY, OTHER_JOB, SUBMITTED, VENDORS, card, facts, record, result, stored

KEYS = {
    *("dag_id", "run_id", "task_id", "map_index", "is_lipsync", "task_state", "try_number", "state", "is_live"),
    *("headline", "next_step", "error", "job_id", "endpoint", "resolution", "seconds", "credits_estimated", "labels"),
    *("inputs", "seed", "conn_id", "submitted_at", "deadline", "execution_time", "output_path", "sha256", "size"),
    *("video", "poster", "ledger", "sources", "player"),
}


def view(known: TaskFacts) -> dict[str, Any]:
    return view_of(known, now=SUBMITTED + 42)


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(facts(operator="PythonOperator"), id="another's"),
        pytest.param(facts(None), id="nothing known"),
        pytest.param(facts(card=card(), result=stored(), record=record("delivered")), id="everything known"),
    ],
)
def test_every_key_is_always_there(known: TaskFacts) -> None:
    assert set(view(known)) == KEYS


def test_a_stored_video_is_played_from_here_and_else_from_the_vendor() -> None:
    found = view(facts(result=stored(), card=card()))
    assert found["video"]["where"] == "stored"
    assert found["video"]["fallback"] == VENDORS
    for address, page in ((found["video"]["src"], "video"), (found["poster"], "poster"), (found["player"], "player")):
        parts = urlsplit(address)
        assert (parts.scheme, parts.netloc, parts.path) == ("", "", page)
        told = dict(parse_qsl(parts.query))
        assert (told["dag_id"], told["run_id"], told["task_id"]) == (KEY.dag_id, KEY.run_id, KEY.task_id)
        assert told["map_index"] == "-1"


def test_another_video_of_the_same_task_has_another_address() -> None:
    first, second = (view(facts(result=stored(sha256=mark * 32))) for mark in ("ab", "cd"))
    assert first["video"]["src"] != second["video"]["src"]
    assert first["poster"] != second["poster"]


def test_a_video_that_is_only_at_the_vendor_is_played_from_there() -> None:
    found = view(facts(result=result()))
    assert found["video"] == {"src": VENDORS, "where": "vendor", "fallback": None}
    assert found["poster"] is None


def test_without_a_video_there_is_none() -> None:
    assert view(facts("deferred", card=card()))["video"] is None


def test_a_path_is_shown_without_its_connection() -> None:
    assert view(facts(result=stored("s3://aws_secret@bucket/a.mp4")))["output_path"] == "s3://bucket/a.mp4"


def test_a_task_is_live_while_airflow_will_do_something_about_it() -> None:
    assert view(facts("deferred", card=card()))["is_live"]
    assert not view(facts("success", result=stored()))["is_live"]
    assert not view(facts(None, run_state="failed"))["is_live"]
    assert not view(facts("running", operator="PythonOperator"))["is_live"]


def test_it_says_where_each_fact_comes_from() -> None:
    told = " ".join(view(facts(card=card(), result=result(), record=record("delivered")))["sources"])
    assert all(source in told for source in ("lipsync_job", "return_value", "task state store"))
    assert "no ledger" in " ".join(view(facts(card=card(), has_store=False))["sources"])


def test_the_ledger_is_shown() -> None:
    assert view(facts("failed", record=record(note="why")))["ledger"] == {
        "state": "bought",
        "submitted_at": SUBMITTED,
        "job_id": JOB,
        "note": "why",
        "credits": 26,
    }


def other(known: TaskFacts, task_id: str) -> TaskFacts:
    return replace(known, key=TaskKey(dag_id="show", run_id="r", task_id=task_id))


def test_each_job_counts_once_and_unknown_is_not_nothing() -> None:
    bought = facts(card=card(), result=result())
    waited = other(facts(result=result(), operator="LipsyncJobSensor"), "wait")
    adopted = other(facts(card=card()), "again")
    unknown = other(facts(card=card(job_id=OTHER_JOB, credits_estimated=None)), "unknown")
    assert credits_of([bought, waited, adopted, unknown]) == {"known": 26, "unknown_jobs": 1}


def test_what_earlier_tries_spent_counts_too() -> None:
    again = facts(card=card(), record=record("delivered", spent=52, spent_unknown=True))
    assert credits_of([again]) == {"known": 78, "unknown_jobs": 1}


def test_a_video_that_stood_there_already_costs_nothing() -> None:
    taken = facts(result=stored(video_url=None), job_id=JOB)
    assert credits_of([taken]) == {"known": 0, "unknown_jobs": 0}


def test_a_job_of_before_there_were_cards_is_unknown() -> None:
    assert credits_of([facts(result=result(credits_estimated=None), job_id=JOB)]) == {"known": 0, "unknown_jobs": 1}
