"""What one that waits makes of what is seen: when it looks next, what it tolerates, when it gives up. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.exceptions import (
    LipsyncError,
    LipsyncKeyRefused,
    LipsyncMisconfigured,
    LipsyncRateLimited,
    LipsyncUnknownJob,
    LipsyncVendorFault,
)
from airflow_provider_lipsync.jobs.pace import Durations
from airflow_provider_lipsync.jobs.waiting import SHORTEST_INTERVAL, JobEvent, JobWatch, Waiting
from tests.jobs.world import done

NOW = 1000.0
JOB = "job-1"


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: Any, *args: Any) -> None:
        self.lines.append("info: " + event % args)

    def warning(self, event: Any, *args: Any) -> None:
        self.lines.append("warning: " + event % args)


class Watch(JobWatch):
    """A watch whose looks take no time."""

    def __init__(self, *, durations: Durations | None = None, **changes: Any) -> None:
        self.told = Log()
        waiting = Waiting(**{"job_id": JOB, "deadline": NOW + 600, "poll_interval": 5.0, **changes})
        super().__init__(waiting, now=NOW, durations=durations)

    def sees(self, found: Job | LipsyncError | None, now: float) -> JobEvent | None:
        return self.saw(found, left=now, now=now, log=self.told)


def word(status: str) -> Job:
    return Job(id=JOB, status=JobStatus.UNKNOWN, raw_status=status)


def test_a_job_that_ended_is_told_in_the_vendors_own_shape() -> None:
    completed = done(JOB, output="https://vendor.example/video.mp4")
    event = Watch().sees(completed, NOW)
    assert event == {"status": "completed", "job_id": JOB, "job": completed.as_dict(), "message": ""}
    failed = Watch().sees(done(JOB, JobStatus.FAILED, error="Invalid audio format"), NOW)
    assert failed is not None
    assert (failed["status"], failed["message"]) == ("failed", "Invalid audio format")


def test_a_trigger_that_starts_late_in_its_jobs_life_looks_at_once() -> None:
    assert Watch(not_before=NOW - 50).next_at == NOW
    late = Watch(durations=Durations(low=30, high=120), submitted_at=NOW - 45, not_before=NOW - 39)
    assert late.next_at == NOW


def test_one_that_starts_early_waits_until_a_look_is_worth_it() -> None:
    assert Watch(not_before=NOW + 6).next_at == NOW + 6
    early = Watch(durations=Durations(low=30, high=120), submitted_at=NOW - 1, not_before=NOW + 6)
    assert NOW + 7 <= early.next_at <= NOW + 8  # a quarter of the low mark
    restarted = Watch(durations=Durations(low=30, high=120), submitted_at=NOW - 8, not_before=NOW - 2)
    assert restarted.next_at > NOW + 5


def test_a_job_of_unknown_age_is_looked_at_by_the_interval_alone() -> None:
    watch = Watch(durations=Durations(low=30, high=120))
    assert watch.sees(None, NOW) is None
    assert watch.next_at == NOW + 5


@pytest.mark.parametrize("found", [None, LipsyncVendorFault("500")])
def test_an_interval_of_zero_does_not_use_up_the_rate_limit(found: LipsyncError | None) -> None:
    watch = Watch(poll_interval=0.0)
    assert watch.sees(found, NOW) is None
    assert watch.next_at == pytest.approx(NOW + SHORTEST_INTERVAL, abs=1e-6)


def test_a_deadline_that_has_passed_gets_one_look() -> None:
    watch = Watch(deadline=NOW - 100, not_before=NOW + 6)
    assert watch.next_at == NOW
    event = watch.sees(None, NOW)
    assert event is not None
    assert (event["status"], event["message"]) == ("timeout", "last seen as 'processing'")


@pytest.mark.parametrize("found", [None, done(JOB), LipsyncKeyRefused("401"), LipsyncVendorFault("500")])
def test_a_look_that_somebody_else_had_before_it_wants_any_changes_nothing(found: Job | LipsyncError | None) -> None:
    watch = Watch(not_before=NOW + 6)  # a deferral that ends sooner is failed by Airflow's scheduler
    assert watch.sees(found, NOW + 2) is None
    assert watch.next_at == NOW + 6
    assert watch.told.lines == []
    assert watch.sees(done(JOB), NOW + 6) is not None


def test_the_last_look_is_at_the_deadline() -> None:
    watch = Watch(deadline=NOW + 12)
    for moment in (NOW, NOW + 5, NOW + 10):
        assert watch.sees(None, moment) is None
    assert watch.next_at == NOW + 12
    assert watch.sees(None, NOW + 11.9) is None  # it left before the deadline: one more
    ended = watch.sees(done(JOB), NOW + 12)
    assert ended is not None
    assert ended["status"] == "completed"


@pytest.mark.parametrize("error", [LipsyncVendorFault("500"), LipsyncRateLimited("429", retry_after=None)])
def test_a_look_that_did_not_work_is_tolerated_until_the_deadline(error: LipsyncError) -> None:
    watch = Watch()
    for moment in range(0, 595, 5):
        assert watch.sees(error, NOW + moment) is None
    event = watch.sees(error, NOW + 600)
    assert event is not None
    assert (event["status"], event["message"]) == ("timeout", f"it could not be seen: {error.message}")


def test_a_vendor_that_says_when_to_come_back_is_heard_up_to_a_minute() -> None:
    watch = Watch()
    watch.sees(LipsyncVendorFault("503", retry_after=20.0), NOW)
    assert watch.next_at == NOW + 20
    watch.sees(LipsyncVendorFault("503", retry_after=2e9), NOW + 20)
    assert watch.next_at == NOW + 80


@pytest.mark.parametrize("error", [LipsyncKeyRefused("401"), LipsyncMisconfigured("redirected")])
def test_what_cannot_pass_ends_the_waiting(error: LipsyncError) -> None:
    event = Watch().sees(error, NOW)
    assert event == {"status": "error", "job_id": JOB, "job": None, "message": error.message}


def test_a_job_that_the_vendor_does_not_know_has_half_a_minute_to_appear() -> None:
    unknown = LipsyncUnknownJob("the vendor does not know this job (404)")
    watch = Watch()
    assert watch.sees(unknown, NOW + 29) is None
    event = watch.sees(unknown, NOW + 30)
    assert event is not None
    assert event["status"] == "error"


def test_each_change_is_told_once() -> None:
    watch, fault = Watch(), LipsyncVendorFault("the vendor's server failed (500)")
    for found in (None, None, fault, fault, None, word("queued"), word("queued"), None, fault, None):
        watch.sees(found, NOW)
    gone = (
        f"warning: Job {JOB} could not be seen: the vendor's server failed (500). "
        "This says nothing about the job; looking on."
    )
    back = f"info: Job {JOB} can be seen again: processing."
    odd = f"warning: Job {JOB} has a status that the API does not document: 'queued'. Looking on."
    assert watch.told.lines == [gone, back, odd, gone, back]


class Noted(Durations):
    def __init__(self) -> None:
        super().__init__(low=30, high=120)
        self.noted: list[tuple[float, float, float | None]] = []

    def learn(self, *, seconds: float, since_last_look: float, told: float | None = None) -> None:
        self.noted.append((seconds, since_last_look, told))


def test_what_a_job_took_is_learned_with_what_is_not_known_of_it() -> None:
    durations = Noted()
    watch = Watch(durations=durations, submitted_at=NOW - 2)
    watch.sees(None, NOW + 30)
    watch.sees(LipsyncVendorFault("500"), NOW + 35)
    watch.sees(done(JOB, execution_time=33_000), NOW + 40)
    Watch(durations=durations, submitted_at=NOW - 50).sees(done(JOB), NOW + 10)
    assert durations.noted == [(42, 10, 33.0), (60, 60, None)]


def test_a_job_that_failed_teaches_nothing_about_those_that_do_not() -> None:
    durations = Noted()
    Watch(durations=durations, submitted_at=NOW).sees(done(JOB, JobStatus.FAILED), NOW + 3)
    assert durations.noted == []
