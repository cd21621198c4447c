"""How a job is waited for: when to look, what to tolerate, when to give up. Pure; sync and async callers drive it.

A look that did not work says nothing about the job: it is tolerated until the deadline. The deadline is wall-clock
time, so that it survives a restart, and a last look is taken before giving up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypedDict

from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.api.retry import LONGEST_WAIT, RetryPolicy
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncPollFault, LipsyncUnknownJob
from airflow_provider_lipsync.jobs.pace import Durations, net_pause, next_pause, on_a_beat

__all__ = [
    "ONE_ATTEMPT",
    "SHORTEST_INTERVAL",
    "JobEvent",
    "JobWatch",
    "Logs",
    "Waiting",
    "ended_event",
    "error_event",
    "is_tolerable",
    "timeout_event",
]

SHORTEST_INTERVAL = 0.1  # seconds: at 0, which Airflow allows a sensor, one job would use up the rate limit of all
_GRACE_SECONDS = 30.0  # for a job that the vendor does not know yet
ONE_ATTEMPT = RetryPolicy(attempts=1)  # the schedule of looks is the retry


class Logs(Protocol):
    """What is used of a logger; Airflow's are of several kinds."""

    def info(self, event: Any, *args: Any) -> Any: ...

    def warning(self, event: Any, *args: Any) -> Any: ...


class JobEvent(TypedDict):
    """The event of the trigger, and what the synchronous path works with.

    ``job`` is the vendor's own object, for ``completed`` and ``failed``; None otherwise.
    """

    status: Literal["completed", "failed", "timeout", "error"]
    job_id: str
    job: dict[str, Any] | None
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What is waited for, and how patiently. Moments are seconds since the epoch.

    :param deadline: until when.
    :param poll_interval: seconds between two looks at the most, from the connection's ``typical_seconds_low`` on; less
        than :data:`SHORTEST_INTERVAL` counts as that.
    :param submitted_at: when the job was bought; None = not known: it is looked at by the interval alone.
    :param kind: what the job was bought as; jobs of one kind take a similar time. Empty = not known.
    :param not_before: no look before it, and nothing made of one that somebody else had.
    :param webhook: whether a webhook is expected to tell of it: looks are the net below that.
    """

    job_id: str
    deadline: float
    poll_interval: float
    submitted_at: float | None = None
    kind: str = ""
    not_before: float = 0.0
    webhook: bool = False


class JobWatch:
    """What one that waits knows of its job, and when it wants to look next.

    :param now: seconds since the epoch.
    :param durations: what jobs of this kind take; None = look by the interval alone.
    :param chance: in [0, 1), for the jitter.
    """

    __slots__ = (
        "_began",
        "_durations",
        "_fault",
        "_interval",
        "_looked_at",
        "_seen",
        "_told",
        "next_at",
        "waiting",
    )

    def __init__(
        self, waiting: Waiting, *, now: float, durations: Durations | None = None, chance: float = 0.5
    ) -> None:
        self.waiting = waiting
        self._interval = max(waiting.poll_interval, SHORTEST_INTERVAL)
        self._began = now
        self._durations = None if waiting.submitted_at is None else durations
        self._seen, self._fault = "", ""  # the vendor's word alone, which many share: no sentence for each to keep
        self._told: tuple[str, ...] = ()
        self._looked_at: float | None = None
        self.next_at = min(self._first_look(now, chance), max(now, waiting.deadline))

    def saw(
        self, found: Job | LipsyncError | None, *, left: float, now: float, log: Logs, chance: float = 0.5
    ) -> JobEvent | None:
        """Take what a look showed; return the event if the waiting is over, else set ``next_at``.

        :param found: the job, or the error of the look; None = it is processing, as expected.
        :param left: when the look left, seconds since the epoch.
        :param log: where changes are told.
        :param chance: in [0, 1), for the jitter.
        """
        if now < min(self.waiting.not_before, self.waiting.deadline):
            return None  # somebody else's look at the same job: this one wants to know nothing yet
        if isinstance(found, LipsyncError):
            if not is_tolerable(found, now - self._began):
                return error_event(self.waiting.job_id, found)
            self._note_fault(found, log)
            pause = max(self._interval, min(found.retry_after or 0.0, LONGEST_WAIT))
        elif found is not None and found.status.is_terminal:
            self._learn(found, now)
            return ended_event(found)
        else:
            self._note_job(found, now, log)
            pause = self._pause(now, chance)
        if left >= self.waiting.deadline:
            return self.gives_up()
        self.next_at = now + min(pause, max(0.0, self.waiting.deadline - now))
        return None

    def set_back(self, seconds: float) -> None:
        """Take a clock that was set back; the deadline stays what it was, a moment of that clock."""
        known = self.waiting.submitted_at
        submitted_at = None if known is None else known - seconds
        self.waiting = replace(self.waiting, submitted_at=submitted_at, not_before=self.waiting.not_before - seconds)
        self._began -= seconds
        self._looked_at = None if self._looked_at is None else self._looked_at - seconds
        self.next_at -= seconds

    def gives_up(self) -> JobEvent:
        """Return the event of a deadline that has passed."""
        if self._fault:
            seen = f"it could not be seen: {self._fault}"
        else:
            seen = "never looked at" if self._looked_at is None else f"last seen as {self._seen!r}"
        return timeout_event(self.waiting.job_id, seen)

    def _first_look(self, now: float, chance: float) -> float:
        """Return when to look first: one that comes late in its job's life looks at once."""
        earliest, durations = self.waiting.not_before, self._durations
        if earliest <= now and (durations is None or self._age(now) >= self._worth_a_look(durations)):
            return now
        return max(earliest, now + self._pause(now, chance))

    def _worth_a_look(self, durations: Durations) -> float:
        return durations.nearly_all() if self.waiting.webhook else durations.low

    def _pause(self, now: float, chance: float) -> float:
        age, interval, durations = self._age(now), self._interval, self._durations
        if self.waiting.webhook and durations is not None:
            pause = net_pause(age=age, poll_interval=interval, durations=durations, chance=chance)
        else:
            pause = next_pause(age=age, poll_interval=interval, durations=durations, chance=chance)
        return on_a_beat(now + pause, interval) - now

    def _age(self, now: float) -> float:
        return max(0.0, now - (self.waiting.submitted_at or now))

    def _learn(self, job: Job, now: float) -> None:
        if self.waiting.webhook and job.execution_time is None:
            return  # it was not looked at for so long that nothing is known of it
        if self._durations is not None and job.status is JobStatus.COMPLETED:
            age = self._age(now)
            unseen = age if self._looked_at is None else min(age, now - self._looked_at)
            told = None if job.execution_time is None else job.execution_time / 1000  # milliseconds: inferred
            self._durations.learn(seconds=age, since_last_look=unseen, told=told)

    def _note_job(self, job: Job | None, now: float, log: Logs) -> None:
        status = JobStatus.PROCESSING.value if job is None else job.raw_status
        self._looked_at, self._seen = now, status
        if self._fault:
            log.info("Job %s can be seen again: %s.", self.waiting.job_id, status)
            self._fault = ""
        if job is not None and job.status is JobStatus.UNKNOWN and status not in self._told:
            self._told = (*self._told, status)
            log.warning(
                "Job %s has a status that the API does not document: %r. Looking on.", self.waiting.job_id, status
            )

    def _note_fault(self, error: LipsyncError, log: Logs) -> None:
        if error.message == self._fault:
            return
        self._fault = error.message
        log.warning(
            "Job %s could not be seen: %s. This says nothing about the job; looking on.",
            self.waiting.job_id,
            error.message,
        )


def is_tolerable(error: LipsyncError, seconds: float) -> bool:
    """Whether a look that ended so says nothing about the job.

    :param seconds: since the waiting began.
    """
    if isinstance(error, LipsyncUnknownJob):
        return seconds < _GRACE_SECONDS
    return isinstance(error, LipsyncPollFault)


def error_event(job_id: str, error: LipsyncError) -> JobEvent:
    """Return the event of a job that cannot be seen for good."""
    return JobEvent(status="error", job_id=job_id, job=None, message=error.message)


def timeout_event(job_id: str, seen: str) -> JobEvent:
    """Return the event of a job whose deadline has passed.

    :param seen: how it was last seen.
    """
    return JobEvent(status="timeout", job_id=job_id, job=None, message=seen)


def ended_event(job: Job) -> JobEvent:
    """Return the event of a job that has ended."""
    status: Literal["completed", "failed"] = "completed" if job.status is JobStatus.COMPLETED else "failed"
    return JobEvent(status=status, job_id=job.id, job=job.as_dict(), message=job.error)
