"""How a job is waited for: when to look, what to tolerate, when to give up. Pure; sync and async callers drive it.

A look that did not work says nothing about the job: it is tolerated until the deadline. The deadline is wall-clock
time, so that it survives a restart, and a last look is taken before giving up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict

from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.api.retry import LONGEST_WAIT, RetryPolicy
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncPollFault, LipsyncUnknownJob

__all__ = [
    "FIRST_LOOK_SECONDS",
    "ONE_ATTEMPT",
    "JobEvent",
    "Logs",
    "Look",
    "Pause",
    "Watch",
    "is_tolerable",
    "watch_job",
]

# A deferral that ends within some five seconds trips a race in Airflow's scheduler, which then fails the healthy task
# (apache/airflow#71580, #72716). No job is that quick, so nothing is lost by looking first after this long.
FIRST_LOOK_SECONDS = 6.0
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


@dataclass(frozen=True)
class Look:
    """Look at the job and tell what was seen: the job, or the error of the look."""


@dataclass(frozen=True)
class Pause:
    """Wait for this many seconds."""

    seconds: float


Watch = Generator[Look | Pause, Job | LipsyncError | None, JobEvent]


def watch_job(
    job_id: str,
    *,
    deadline: float,
    poll_interval: float,
    now: Callable[[], float],
    log: Logs,
    first_pause: float = 0.0,
) -> Watch:
    """Watch a job until it ends, cannot be seen for good, or its deadline has passed.

    :param deadline: seconds since the epoch.
    :param poll_interval: seconds between two looks.
    :param now: the clock, in seconds since the epoch.
    :param log: where changes are told.
    :param first_pause: seconds before the first look; cut to the deadline.
    :return: the event, when the generator ends.
    """
    started, seen, fault = now(), "never looked at", ""
    told: set[str] = set()
    pause = min(first_pause, deadline - started)
    while True:
        if pause > 0:
            yield Pause(pause)
        last = now() >= deadline
        found = yield Look()
        pause = poll_interval
        if isinstance(found, Job):
            if found.status.is_terminal:
                return _event("completed" if found.status is JobStatus.COMPLETED else "failed", found.id, found)
            seen = f"last seen as {found.raw_status!r}"
            if fault:
                log.info("Job %s can be seen again: %s.", job_id, found.raw_status)
                fault = ""
            _warn_once(found, told, log)
        elif isinstance(found, LipsyncError):
            if not is_tolerable(found, now() - started):
                return _event("error", job_id, None, found.message)
            if found.message != fault:
                fault = found.message
                log.warning("Job %s could not be seen: %s. This says nothing about the job; looking on.", job_id, fault)
            seen = f"it could not be seen: {fault}"
            pause = max(poll_interval, min(found.retry_after or 0.0, LONGEST_WAIT))
        if last:
            return _event("timeout", job_id, None, seen)
        pause = min(pause, max(0.0, deadline - now()))


def is_tolerable(error: LipsyncError, seconds: float) -> bool:
    """Whether a look that ended so says nothing about the job.

    :param seconds: since the waiting began.
    """
    if isinstance(error, LipsyncUnknownJob):
        return seconds < _GRACE_SECONDS
    return isinstance(error, LipsyncPollFault)


def _warn_once(job: Job, told: set[str], log: Logs) -> None:
    if job.status is JobStatus.UNKNOWN and job.raw_status not in told:
        told.add(job.raw_status)
        log.warning("Job %s has a status that the API does not document: %r. Looking on.", job.id, job.raw_status)


def _event(
    status: Literal["completed", "failed", "timeout", "error"], job_id: str, job: Job | None, message: str = ""
) -> JobEvent:
    described = None if job is None else job.as_dict()
    return JobEvent(status=status, job_id=job_id, job=described, message=message or (job.error if job else ""))
