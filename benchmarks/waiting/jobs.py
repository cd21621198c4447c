"""The jobs that are waited for: when each comes and when it ends, which its id tells. Pure."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["HIGH", "LOW", "Job", "end_of", "milliseconds_of", "plan_jobs"]

LOW, HIGH = 30.0, 120.0  # seconds
_MEDIAN, _SIGMA = 55.0, 0.45
_MOMENTS = 10**13  # milliseconds since the epoch, below this for two hundred years
_TAKEN = 10**20  # what a job took stands above this


@dataclass(frozen=True)
class Job:
    """A job; moments are seconds since the epoch.

    :param number: unlike that of any other job.
    :param submitted_at: when its trigger is registered.
    :param ends_at: from when on the vendor calls it done.
    """

    number: int
    submitted_at: float
    ends_at: float

    @property
    def id(self) -> int:
        """Tell the vendor all it has to know; a vendor that keeps no books is a quick one."""
        return self.number * _MOMENTS + int(self.ends_at * 1000)

    @property
    def uuid(self) -> str:
        """Return the id as a UUID, as this API writes it; it tells also how long the job takes."""
        milliseconds = round((self.ends_at - self.submitted_at) * 1000)
        return str(uuid.UUID(int=milliseconds * _TAKEN + self.id))


def end_of(job_id: int) -> float:
    """Return when the job of an id ends."""
    return job_id % _MOMENTS / 1000


def milliseconds_of(job_id: int) -> int:
    """Return how long the job of an id takes, where it tells."""
    return job_id // _TAKEN


def plan_jobs(
    count: int, *, begin: float, compressed: float = 1.0, arrive_within: float = 0.0, seed: int = 1
) -> list[Job]:
    """Return jobs of 30 to 120 s, lognormal, in the order in which they come.

    :param begin: when the first one comes.
    :param compressed: how many times quicker than that they are.
    :param arrive_within: seconds over which they come; 0 = all at once.
    :param seed: the same jobs for the same seed.
    """
    chance = random.Random(seed)
    jobs = []
    for number in range(1, count + 1):
        came = begin + arrive_within * (number - 1) / count
        jobs.append(Job(number, came, came + _seconds(chance.lognormvariate) / compressed))
    return jobs


def _seconds(draw: Callable[[float, float], float]) -> float:
    return min(HIGH, max(LOW, draw(math.log(_MEDIAN), _SIGMA)))
