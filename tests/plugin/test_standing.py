"""What is said of a task: each state of a job, and what a person should do about it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lipsync.plugin.standing import how_to_adopt, standing_of, took
from airflow_provider_lipsync.plugin.task_facts import TaskFacts
from airflow_provider_lipsync.plugin.values import read_failure
from tests.plugin.facts_support import JOB, OTHER_JOB, SUBMITTED, card, facts, record, result, stored

SENSOR = {"operator": "LipsyncJobSensor"}
SUBCLASS = {"operator": "GreetingOperator"}


def said(known: TaskFacts, *, after: float = 42) -> tuple[str, str]:
    found = standing_of(known, now=SUBMITTED + after)
    return found.state.value, found.headline


@pytest.mark.parametrize(
    ("known", "state", "headline"),
    [
        pytest.param(facts("running", operator="PythonOperator"), "nothing", "This is no Lipsync task", id="another's"),
        pytest.param(facts(None), "waiting", "Has not begun", id="not begun"),
        pytest.param(facts("running"), "waiting", "Has begun; no job is known yet", id="begun"),
        pytest.param(facts("running", record=record("intent")), "waiting", "Being submitted", id="submitting"),
        pytest.param(
            facts("deferred", record=record("refused", note="429")), "waiting", "Nothing was bought", id="put off"
        ),
        pytest.param(facts("deferred", card=card()), "rendering", "Rendering for 42 s", id="rendering"),
        pytest.param(
            facts("deferred", record=record()), "rendering", "Rendering for 42 s", id="rendering, by the ledger"
        ),
        pytest.param(facts("deferred", card=card(), **SUBCLASS), "rendering", "Rendering for 42 s", id="of a subclass"),
        pytest.param(facts("up_for_retry", card=card()), "rendering", "Bought; a try ended", id="between tries"),
        pytest.param(
            facts("up_for_retry", card=card(), record=record("failed")),
            "failed",
            f"The vendor says that job {JOB}",
            id="between tries, the job failed",
        ),
        pytest.param(
            facts("up_for_retry", record=record("intent")), "uncertain", "A submit left at", id="nobody knows"
        ),
        pytest.param(
            facts("deferred", record=record("intent", webhook_until=SUBMITTED + 43 + 3600)),
            "waiting",
            "A submit left at 2025-11-23T12:13:20+00:00, and its answer was lost",
            id="a webhook may bring it back",
        ),
        pytest.param(
            facts("deferred", record=record("intent", webhook_until=SUBMITTED + 42 + 3600)),
            "uncertain",
            "A submit left at",
            id="no webhook brought it back in time",
        ),
        pytest.param(facts("deferred", **SENSOR), "waiting", "Waits for a job that another", id="a sensor"),
        pytest.param(facts(None, result=stored(), record=record("delivered")), "waiting", "Cleared", id="cleared"),
        pytest.param(
            facts("running", record=record("delivered")),
            "waiting",
            f"Job {JOB} was delivered before",
            id="cleared, begun",
        ),
        pytest.param(
            facts(None, record=record()), "waiting", "Waits to run again; its next try waits on", id="to wait on"
        ),
        pytest.param(facts(result=stored(), card=card(), record=record("delivered")), "stored", "Stored", id="stored"),
        pytest.param(facts(result=stored(), record=record()), "stored", "Stored", id="delivery not written down"),
        pytest.param(facts(result=result()), "completed", "Completed", id="at the vendor"),
        pytest.param(
            facts(result=result(status="processing", video_url=None), record=record("delivered")),
            "rendering",
            "Submitted; the task did not wait",
            id="not waited for",
        ),
        pytest.param(
            facts("failed", record=record("failed"), card=card()), "failed", "The vendor says", id="job failed"
        ),
        pytest.param(
            facts("failed", record=record("refused")), "refused", "Refused: nothing was charged", id="refused"
        ),
        pytest.param(facts("failed"), "failed", "Failed; no job is known", id="failed, nothing known"),
        pytest.param(facts("failed", **SENSOR), "failed", "Failed: it handed on no video", id="sensor failed"),
        pytest.param(facts("failed", record=record("intent")), "uncertain", "A submit left at", id="uncertain"),
        pytest.param(
            facts("failed", record=record()), "undelivered", f"Charged, and not handed on: job {JOB}", id="bought"
        ),
        pytest.param(facts("success", record=record()), "undelivered", "Charged, and not", id="marked as success"),
        pytest.param(facts("skipped", record=record()), "undelivered", "Charged, and not", id="skipped with a job"),
        pytest.param(
            facts("failed", record=record("intent"), card=card()),
            "undelivered",
            "Charged, and not",
            id="id not written",
        ),
        pytest.param(
            facts("failed", card=card(), has_store=False), "undelivered", f"Job {JOB} was charged", id="no store"
        ),
        pytest.param(facts("failed", job_id=JOB, has_store=False), "undelivered", f"Job {JOB} was", id="the id alone"),
        pytest.param(facts("failed", job_id=JOB, **SENSOR), "failed", "Failed: it handed", id="a sensor's id"),
        pytest.param(
            facts(result=stored(job_id=OTHER_JOB), record=record()),
            "undelivered",
            f"Charged, and not handed on: job {JOB}",
            id="another job's video was taken",
        ),
        pytest.param(facts(record=record("delivered")), "completed", "Ended in success; what job", id="XCom gone"),
        pytest.param(facts(), "nothing", "Ended in success, and told of no job", id="success without a word"),
        pytest.param(facts("upstream_failed"), "nothing", "Ended as upstream_failed", id="never ran"),
        pytest.param(facts("failed", unread="why"), "uncertain", "The ledger's record", id="ledger cannot be read"),
    ],
)
def test_it_says_what_became_of_the_job(known: TaskFacts, state: str, headline: str) -> None:
    found = said(known)
    assert found[0] == state
    assert found[1].startswith(headline)


def test_a_job_past_its_deadline_is_told() -> None:
    assert said(facts("deferred", card=card()), after=3600)[1] == "Rendering for 60 min 0 s, past its deadline"


@pytest.mark.parametrize(
    ("ledger", "clear"),
    [
        pytest.param({"record": record()}, "clear the task: with the same inputs it waits on", id="the ledger knows"),
        pytest.param({"record": record("intent"), "card": card()}, "A plain clear asks", id="the ledger knows no id"),
        pytest.param({"card": card(), "has_store": False}, "A plain clear waits on for it where", id="no ledger"),
    ],
)
def test_a_charged_job_comes_with_every_way_to_its_video(ledger: dict[str, Any], clear: str) -> None:
    told = how_to_adopt(facts("failed", **ledger))
    assert f'set resume_job_id="{JOB}" on the operator and clear' in told
    assert f'LipsyncJobSensor(job="{JOB}")' in told
    assert clear in told


def test_an_uncertain_submit_comes_with_both_ways_on() -> None:
    known = facts("failed", record=record("intent", note="the connection broke"))
    found = standing_of(known, now=0)
    assert "the connection broke" in found.error
    assert 'resume_job_id="<its id>"' in how_to_adopt(known)
    assert 'on_ambiguous_submit="resubmit"' in how_to_adopt(known)


def test_what_is_well_needs_no_adoption() -> None:
    assert how_to_adopt(facts(result=stored(), record=record("delivered"))) == ""


def test_nothing_was_charged_is_only_said_where_the_ledger_says_so() -> None:
    known = [
        facts(state, has_store=store) for state in (None, "running", "deferred", "failed") for store in (True, False)
    ]
    for one in known:
        found = standing_of(one, now=0)
        assert "nothing was" not in (found.headline + found.next_step).lower(), one


def test_lengths_of_time_are_as_a_person_says_them() -> None:
    assert [took(value) for value in (-3, 0.9, 119, 120, 7199, 7200)] == [
        "0 s",
        "0 s",
        "119 s",
        "2 min 0 s",
        "119 min 59 s",
        "2 h 0 min",
    ]


TOO_DEAR = {
    "error": "LipsyncOverBudget",
    "message": "This job costs some 26 credits.",
    "vendor_message": "",
    "charged": "no",
    "next_step": "raise the limit",
}


def test_a_task_that_failed_says_why_in_the_words_of_its_error() -> None:
    standing = standing_of(facts("failed", failure=read_failure(TOO_DEAR)), now=0.0)
    assert (standing.state.value, standing.error) == ("refused", "This job costs some 26 credits.")
    assert standing.next_step == "raise the limit"


def test_a_charged_job_keeps_the_ways_to_its_video_beside_the_words_of_the_error() -> None:
    failure = read_failure({"message": "The disk is full.", "charged": "yes", "next_step": "mend it"})
    standing = standing_of(facts("failed", record=record("bought"), failure=failure), now=0.0)
    assert (standing.state.value, standing.error) == ("undelivered", "The disk is full.")
    assert "resume_job_id" in standing.next_step


def test_the_failure_of_an_earlier_try_is_no_longer_said_of_a_task_that_went_well() -> None:
    standing = standing_of(facts("success", failure=read_failure(TOO_DEAR)), now=0.0)
    assert "26 credits" not in standing.error


@pytest.mark.parametrize("value", [None, 7, [], {}, {"message": ""}])
def test_what_is_no_failure_of_ours_is_none(value: object) -> None:
    assert read_failure(value) is None
