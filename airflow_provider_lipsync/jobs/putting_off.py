"""When a submit that was refused with 429 is sent again, where the wait is too long to hold a worker: pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_lipsync.api.retry import LONGEST_WAIT
from airflow_provider_lipsync.exceptions import Charged, LipsyncRateLimited
from airflow_provider_lipsync.jobs.wording import moment

__all__ = ["Refusals", "held", "is_put_off"]

_LEAST = LONGEST_WAIT  # seconds: what is shorter is waited in place; far beyond what trips the scheduler's race
_LONGEST_UNASKED = 600.0  # seconds between two submits, where the vendor does not say how long to wait
_SPREAD = 0.5  # of the wait, on top: many tasks that were refused in one second must not come back in one


def is_put_off(error: Exception) -> bool:
    """Whether an error is a submit's that was refused with 429: nothing was bought, and a later one may be."""
    return isinstance(error, LipsyncRateLimited) and error.job_id is None and error.charged is Charged.NO


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """The submits of one try that were refused with 429, those that were sent again in place counted as one.

    :param since: seconds since the epoch, when the try began.
    :param count: how many there were before.
    """

    since: float
    count: int = 0

    def next_submit(
        self, asked: float | None, *, now: float, job_timeout: float, chance: Callable[[], float] = random.random
    ) -> tuple[float, Refusals] | None:
        """Return when to submit again (seconds since the epoch), and what is known then; None = not in time.

        :param asked: seconds that the vendor asked to wait; None where it did not.
        :param now: seconds since the epoch.
        :param job_timeout: seconds from the beginning of the try, after which it gives up.
        :param chance: gives a random number from 0 to 1, for the spread.
        """
        growing = min(_LONGEST_UNASKED, _LEAST * 2.0 ** min(self.count, 10))
        wait = asked if asked is not None and asked >= _LEAST else growing
        left = self.since + job_timeout - now
        if wait > left:
            return None
        until = now + min(left, wait * (1 + _SPREAD * chance()))
        return until, Refusals(since=self.since, count=self.count + 1)

    def over(self, error: LipsyncRateLimited, *, job_timeout: float) -> LipsyncRateLimited:
        """Return the error of a try that would wait for longer than it may."""
        return _told(
            error,
            f"Since {moment(self.since)} the vendor refused each submit of this try ({self.count + 1}); the next one "
            f"would leave later than job_timeout allows ({job_timeout:.0f} s).",
            "none if the task has retries left: trying again is safe; else clear it later",
        )


def held(error: LipsyncRateLimited) -> LipsyncRateLimited:
    """Return the error of a task that may not be deferred: a worker is not held for so long."""
    seconds = max(_LEAST, error.retry_after or 0.0)
    return _told(
        error,
        f"A worker waits for at most {LONGEST_WAIT:.0f} s in place.",
        f"trying again is safe: give the task retries with a retry_delay of {seconds:.0f} s, or deferrable=True, which "
        "waits without a worker",
    )


def _told(error: LipsyncRateLimited, why: str, next_step: str) -> LipsyncRateLimited:
    told = {
        **error.details(),
        "next_step": f"{next_step}; if it happens often, let a pool bound how many tasks submit at once "
        "(docs/limits.md)",
    }
    return LipsyncRateLimited(f"{error.message}. {why} Nothing was bought.", **told)  # type: ignore[arg-type]
