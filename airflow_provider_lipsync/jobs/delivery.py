"""What the webhook receiver hands on of a job that has ended: an XCom of the task that bought it. Pure.

It is written only once a look with the API key has confirmed it. It holds what the task's result holds, and no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lipsync.api.answers import read_job
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.jobs.waiting import JobEvent, ended_event

__all__ = ["DELIVERY_KEY", "delivered_job", "delivery_of", "event_of"]

DELIVERY_KEY = "lipsync_delivery"
_VERSION = 1


def delivery_of(nonce: str, job: Job, *, at: float) -> dict[str, Any]:
    """Return the XCom of a delivery, of JSON's own types.

    :param nonce: the ledger's name of the purchase that it is of.
    :param job: that has ended, as the vendor's answer to a look told.
    :param at: when it was confirmed, seconds since the epoch.
    """
    return {"version": _VERSION, "nonce": nonce, "job": job.as_dict(), "at": at}


def delivered_job(value: object, nonce: str) -> Job | None:
    """Return the job of a delivery; None where it is none, is of another purchase, or its job has not ended."""
    if not isinstance(value, Mapping) or value.get("nonce") != nonce or value.get("version") != _VERSION:
        return None
    described = value.get("job")
    if not isinstance(described, dict) or not isinstance(described.get("id"), str):
        return None
    job = read_job(described["id"], described)
    return job if job.status.is_terminal else None


def event_of(job: Job) -> JobEvent:
    """Return the event that a trigger fires for a job that has ended."""
    return ended_event(job)
