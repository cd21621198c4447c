"""How long a deferral must last at the least: a race of Airflow's scheduler fails tasks that come back sooner."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import conf

__all__ = ["FIRST_LOOK_SECONDS", "RESUME_SECONDS", "net_seconds", "race_seconds", "resume_seconds"]

# A deferral that ends within some five seconds trips a race in Airflow's scheduler, which then fails the healthy task
# (apache/airflow#71580, #72716): the end of the worker's process is told late, and read later. On two cores under load
# it was met after six seconds, too. No job is that quick, so nothing is lost by looking first after this long.
FIRST_LOOK_SECONDS = 10.0
# A webhook is waited for by somebody: it resumes a task a little sooner. Should the race strike all the same, the retry
# finds the job, and nothing is bought twice.
RESUME_SECONDS = 7.0
_AFTER_IT = 1.0  # seconds
_USUAL_HEARTBEAT = 5.0  # seconds: Airflow's default, which the two are made for


def race_seconds() -> float:
    """Return the seconds for which a deferral must last: longer where workers report later than usual."""
    return FIRST_LOOK_SECONDS + _later_than_usual()


def resume_seconds() -> float:
    """Return the seconds after which a webhook may resume a deferral, likewise."""
    return RESUME_SECONDS + _later_than_usual()


def net_seconds() -> float:
    """Return the seconds after which a trigger whose job a webhook tells of looks whether it was told of already.

    Behind :func:`resume_seconds`: until then the receiver itself resumes what was told of too early.
    """
    return resume_seconds() + _AFTER_IT


def _later_than_usual() -> float:
    heartbeat: float = conf.getfloat("workers", "min_heartbeat_interval", fallback=_USUAL_HEARTBEAT)
    return max(0.0, heartbeat - _USUAL_HEARTBEAT)
