"""How long a deferral must last at the least: a race of Airflow's scheduler fails tasks that come back sooner."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import conf

__all__ = ["FIRST_LOOK_SECONDS", "race_seconds"]

# A deferral that ends within some five seconds trips a race in Airflow's scheduler, which then fails the healthy task
# (apache/airflow#71580, #72716): the end of the worker's process is told late, and read later. On two cores under load
# it was met after six seconds, too. No job is that quick, so nothing is lost by looking first after this long.
FIRST_LOOK_SECONDS = 10.0
_USUAL_HEARTBEAT = 5.0  # seconds: Airflow's default, which FIRST_LOOK_SECONDS is made for


def race_seconds() -> float:
    """Return the seconds for which a deferral must last: longer where workers report later than usual."""
    heartbeat: float = conf.getfloat("workers", "min_heartbeat_interval", fallback=_USUAL_HEARTBEAT)
    return FIRST_LOOK_SECONDS + max(0.0, heartbeat - _USUAL_HEARTBEAT)
