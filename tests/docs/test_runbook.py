"""The runbook has a heading for every error, and what it shows there is what the error really begins with."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from airflow_provider_lipsync import exceptions
from airflow_provider_lipsync.api.answers import Answer, NoAnswer, parse_job, parse_submit
from airflow_provider_lipsync.api.models import Endpoint, Job, JobStatus
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncError,
    LipsyncMediaUnavailable,
    LipsyncOutputExists,
    LipsyncPollFault,
    LipsyncSubmitUncertain,
    LipsyncTransferFailed,
    Video,
)
from airflow_provider_lipsync.hooks.settings import read_connection
from airflow_provider_lipsync.jobs.budget import Budget, Estimate, Spent
from airflow_provider_lipsync.jobs.ledger import Generation, Ledger, Record, State
from airflow_provider_lipsync.jobs.outcome import as_submit_error, as_wait_error, finished, timed_out
from airflow_provider_lipsync.jobs.putting_off import Refusals
from airflow_provider_lipsync.jobs.wording import changed_input, uncertain
from tests.docs.test_docs import ROOT

PAGE = (ROOT / "docs" / "runbook.md").read_text()
SITUATIONS = (
    "Task stuck in deferred",
    "Charged but undelivered",
    "Triggerer down",
    "Vendor slow",
    "Ledger unreadable",
    "Many tasks fail",
)
JOB_ID = "550e8400-e29b-41d4-a716-446655440000"
SHOWN_ID = "550e8400-…"
MONDAY = 1767600000.0  # 2026-01-05, 08:00 UTC
WAITS_ON = "a retry or clear waits on for this job"
PROCESSING = Job(id=JOB_ID, status=JobStatus.PROCESSING, raw_status="processing")


class BrokenMemory:
    """A ledger whose bucket is not there."""

    place = "ledger_path, s3://media/ledger/weekly/render.json"
    refuses_old_tries = False

    def load(self) -> NoReturn:
        raise PermissionError("Access Denied")

    def save(self, value: dict[str, Any]) -> NoReturn:
        raise PermissionError("Access Denied")


def submit(status: int, words: str = "") -> None:
    body = f'{{"error": "{words}"}}'.encode() if words else b""
    parse_submit(Answer(status=status, headers={}, body=body), endpoint=Endpoint.IMAGE, api_key="")


def look(status: int, body: bytes = b"") -> None:
    parse_job(Answer(status=status, headers={}, body=body), job_id=JOB_ID, api_key="")


def raising(error: LipsyncError) -> NoReturn:
    raise error


def misconfigured() -> None:
    read_connection(
        SimpleNamespace(
            conn_id="lipsync_default", host="lipsync.studio", schema=None, port=None, password="", extra_dejson={}
        )
    )


def over_budget() -> None:
    budget = Budget(of_operator=60, conn_id="lipsync_default")
    budget.verify(Estimate(seconds=45, credits=90), Spent())


def unreadable_ledger() -> None:
    Ledger(BrokenMemory(), generation=Generation(max_tries=0), log=logging.getLogger(__name__)).read()


def lost_answer() -> NoReturn:
    record = Record(
        state=State.INTENT,
        endpoint="lipsync-image",
        generation=Generation(max_tries=0),
        submitted_at=MONDAY,
        note="the answer to the submit was lost: ReadTimeout",
    )
    raise uncertain(record)


def put_off_too_long() -> NoReturn:
    refused = exceptions.LipsyncRateLimited("the vendor asks to slow down (429)", charged=Charged.NO)
    raise Refusals(since=MONDAY, count=7).over(refused, job_timeout=1800)


# How each error comes about, and how the task that meets it raises it: at the submit, or at the wait.
AT_SUBMIT: dict[str, Callable[[], object]] = {
    "LipsyncBadInput": lambda: submit(422, "image: not a picture"),
    "LipsyncTooLarge": lambda: submit(413),
    "LipsyncKeyRefused": lambda: submit(401),
    "LipsyncNoCredits": lambda: submit(402),
    "LipsyncOverBudget": over_budget,
    "LipsyncMisconfigured": misconfigured,
    "LipsyncRateLimited": put_off_too_long,
    "LipsyncUnreachable": lambda: parse_submit(
        NoAnswer(left=False, reason="ConnectError: name not known"), endpoint=Endpoint.IMAGE, api_key=""
    ),
    "LipsyncMediaUnavailable": lambda: raising(
        LipsyncMediaUnavailable(
            "audio: s3://media/inputs/2026-01-05.wav could not be read: ReadTimeout. Nothing was sent."
        )
    ),
    "LipsyncLedgerUnavailable": unreadable_ledger,
    "LipsyncSubmitUncertain": lost_answer,
    "LipsyncInputChanged": lambda: raising(changed_input(JOB_ID, ("prompt",), PROCESSING)),
    "LipsyncOutputExists": lambda: raising(
        LipsyncOutputExists(
            "Something else stands at s3://media/videos/2026-01-05.mp4 (1482315 bytes): it has no receipt. It was not "
            "touched, and nothing was sent.",
            charged=Charged.NO,
        )
    ),
    "LipsyncError": lambda: raising(
        LipsyncError("the task was ended from outside before anything was bought", charged=Charged.NO)
    ),
}
AT_WAIT: dict[str, Callable[[], object]] = {
    "LipsyncUnknownJob": lambda: look(404),
    "LipsyncVendorFault": lambda: look(503),
    "LipsyncUnreadableAnswer": lambda: look(200),
    "LipsyncPollFault": lambda: raising(
        LipsyncPollFault("the job goes on, but was not watched: TriggerFailure", job_id=JOB_ID, charged=Charged.YES)
    ),
    "LipsyncJobFailed": lambda: finished(
        Job(id=JOB_ID, status=JobStatus.FAILED, raw_status="failed", error="Invalid audio format")
    ),
    "LipsyncJobTimeout": lambda: raising(timed_out(JOB_ID, seen="last seen as 'processing'", job=PROCESSING)),
    "LipsyncTransferFailed": lambda: raising(
        LipsyncTransferFailed(
            "storing under s3://media/videos/2026-01-05.mp4 did not work: PermissionError: Access Denied",
            job_id=JOB_ID,
            video=Video.AT_VENDOR,
        )
    ),
}


def met(name: str) -> LipsyncError:
    """The error as it stands in the task's log."""
    at_submit = name in AT_SUBMIT
    with pytest.raises(LipsyncError) as caught:
        (AT_SUBMIT if at_submit else AT_WAIT)[name]()
    return as_submit_error(caught.value) if at_submit else as_wait_error(caught.value, next_try=WAITS_ON)


def errors() -> list[str]:
    found = {name: getattr(exceptions, name) for name in exceptions.__all__}
    return [name for name, value in found.items() if issubclass(value, LipsyncError)]


def section(title: str) -> str:
    found = re.search(rf"^### {title}\n(.*?)(?=^##|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert found, f"no heading {title!r}"
    return found.group(1)


def test_every_error_has_a_heading_and_there_is_none_for_an_error_that_is_not() -> None:
    headings = re.findall(r"^### (Lipsync\w+)$", PAGE, flags=re.MULTILINE)
    assert headings == sorted(headings)
    assert set(headings) == set(errors()) == {*AT_SUBMIT, *AT_WAIT}


@pytest.mark.parametrize("name", errors())
def test_what_is_shown_is_what_the_error_says(name: str) -> None:
    error = met(name)
    assert type(error).__name__ == name
    said = str(error).replace(JOB_ID, SHOWN_ID)
    [shown, *_] = re.findall(r"```text\n(.*?)\n```", section(name), flags=re.DOTALL)
    assert shown.splitlines() == said.splitlines()


@pytest.mark.parametrize("name", errors())
def test_each_tells_whether_it_was_charged_what_to_do_now_and_how_to_prevent_it(name: str) -> None:
    steps = dict(re.findall(r"^- \*\*(.+?)\*\*: (.+?)(?=^- |^$|\Z)", section(name), flags=re.MULTILINE | re.DOTALL))
    assert list(steps) == ["Charged", "Now", "Next time"]
    charged = met(name).charged
    told = {Charged.YES: "yes", Charged.NO: "no", Charged.UNKNOWN: "unknown"}[charged]
    assert re.match(rf"{told}\b", steps["Charged"]), steps["Charged"]


@pytest.mark.parametrize("title", SITUATIONS)
def test_each_situation_has_a_heading_with_steps(title: str) -> None:
    assert re.search(r"^1\. ", section(title), flags=re.MULTILINE), title


def test_the_runbook_and_the_page_of_errors_lead_to_each_other() -> None:
    assert "](errors.md" in PAGE
    assert LipsyncSubmitUncertain.__name__ in (ROOT / "docs" / "errors.md").read_text()
