"""What is counted and timed, by fixed names, through Airflow's own metrics. Nothing here may ever end a task.

Tags are few and bounded: the connection and the model, and of what did not work its kind; never an id. What is bought
is also counted by the task's labels, whose values are the user's to keep few.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow_provider_lipsync.api.models import Endpoint, Job, JobStatus
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncError,
    LipsyncInputChanged,
    LipsyncJobFailed,
    LipsyncJobTimeout,
    LipsyncKeyRefused,
    LipsyncMediaUnavailable,
    LipsyncMisconfigured,
    LipsyncNoCredits,
    LipsyncOverBudget,
    LipsyncRateLimited,
    LipsyncSubmitUncertain,
    LipsyncTransferFailed,
)

__all__ = [
    "KINDS",
    "NAMES",
    "PREFIX",
    "count",
    "count_failure",
    "count_purchase",
    "gauge",
    "kind_of",
    "note_end",
    "timing",
]

log = logging.getLogger(__name__)

PREFIX = "lipsync."
NAMES = frozenset(
    {
        *("submitted", "completed", "failed", "uncertain", "delivered"),
        *("credits_estimated", "rate_limited", "no_credits"),
        *("job_seconds", "detection_lag", "in_flight", "webhooks"),
    }
)

_ENDPOINTS = frozenset(Endpoint)

_KIND_OF: tuple[tuple[type[LipsyncError], str], ...] = (
    (LipsyncJobFailed, "job"),
    (LipsyncJobTimeout, "timeout"),
    (LipsyncTransferFailed, "transfer"),
    (LipsyncKeyRefused, "key"),
    (LipsyncMisconfigured, "key"),
    (LipsyncOverBudget, "budget"),
    (LipsyncNoCredits, "no_credits"),
    (LipsyncSubmitUncertain, "uncertain"),
    (LipsyncRateLimited, "rate_limited"),
    (LipsyncInputChanged, "input"),
    (LipsyncBadInput, "input"),
    (LipsyncMediaUnavailable, "input"),
)
KINDS = frozenset({*(kind for _, kind in _KIND_OF), "other"})


def kind_of(error: LipsyncError) -> str:
    """Return the kind that a failure is counted as, one of :data:`KINDS`."""
    return next((kind for known, kind in _KIND_OF if isinstance(error, known)), "other")


def count(name: str, number: int = 1, *, conn_id: str, model: str = "", tags: Mapping[str, str] | None = None) -> None:
    """Add to a counter.

    :param name: without the prefix, one of :data:`NAMES`.
    :param model: the endpoint, e.g. ``lipsync-image``; empty = not known.
    """
    _tell("incr", name, number, {"conn_id": conn_id, "model": model, **(tags or {})})


def count_purchase(credits: int | None, *, conn_id: str, model: str, labels: Mapping[str, str] | None) -> None:  # noqa: A002
    """Count a job that was bought, and its credits, by the task's labels, too: the bill is split so.

    :param credits: as estimated; None = unknown, and only the job is counted.
    """
    tags = {f"label_{_plain(name)}": value for name, value in (labels or {}).items()}
    count("submitted", conn_id=conn_id, model=model, tags=tags)
    if credits is not None:
        count("credits_estimated", credits, conn_id=conn_id, model=model, tags=tags)


def count_failure(error: LipsyncError, *, conn_id: str, model: str = "") -> None:
    """Count a try that failed, by its kind, and what an alert asks for by a name of its own."""
    kind = kind_of(error)
    count("failed", conn_id=conn_id, model=model, tags={"kind": kind})
    if kind in NAMES:  # uncertain, no_credits, rate_limited
        count(kind, conn_id=conn_id, model=model)


def timing(name: str, seconds: float, *, conn_id: str, model: str = "") -> None:
    """Time something, likewise.

    :param seconds: how long it took.
    """
    _tell("timing", name, timedelta(seconds=seconds), {"conn_id": conn_id, "model": model})


def note_end(job: Job, *, submitted_at: float | None, now: float, conn_id: str) -> None:
    """Time a job that was just seen completed: from the submit, and from its end by what the vendor says it took.

    :param submitted_at: seconds since the epoch; None = not known, and nothing is timed.
    :param now: likewise.
    """
    if submitted_at is None or job.status is not JobStatus.COMPLETED:
        return
    age = max(0.0, now - submitted_at)
    timing("job_seconds", age, conn_id=conn_id, model=job.model or "")
    if job.execution_time is not None:
        lag = age - job.execution_time / 1000  # milliseconds: inferred
        timing("detection_lag", max(0.0, lag), conn_id=conn_id, model=job.model or "")


def gauge(name: str, value: float, *, conn_id: str) -> None:
    """Tell how many there are now, likewise."""
    _tell("gauge", name, value, {"conn_id": conn_id})


def _plain(text: str) -> str:
    """Return a text that every backend takes as a tag: Airflow drops others."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)


def _bounded(model: str) -> str:
    """Return an endpoint by its name, whatever a vendor may call a model: there are few tags, and never an id."""
    return model if not model or model in _ENDPOINTS else "other"


def _tell(how: str, name: str, value: Any, tags: dict[str, str]) -> None:
    if name not in NAMES:
        raise ValueError(f"there is no metric {name!r}")
    try:
        from airflow.providers.common.compat.sdk import Stats

        told = {tag: _plain(_bounded(said) if tag == "model" else said) for tag, said in tags.items() if said}
        getattr(Stats, how)(f"{PREFIX}{name}", value, tags=told)
    except Exception:  # a metric is not worth a paid job
        log.debug("The metric %s could not be told.", name, exc_info=True)
