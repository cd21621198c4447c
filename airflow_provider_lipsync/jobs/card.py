"""What a task tells of its job as soon as it has one: an XCom from which the pages and mails read. Never a secret."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from airflow_provider_lipsync.exceptions import LipsyncError
    from airflow_provider_lipsync.jobs.purchase import Held
    from airflow_provider_lipsync.media.receipt import Receipt

__all__ = ["CARD_KEY", "FAILURE_KEY", "Card", "card_of", "tell_failure"]

CARD_KEY = "lipsync_job"
FAILURE_KEY = "lipsync_error"

_VERSION = 1
_LONGEST_INPUT = 500  # characters


class Card(TypedDict):
    """Always these keys; unknown is None. ``seconds`` are those charged; moments are seconds since the epoch.

    ``inputs`` and ``output_path`` are shown without query, credentials and connection id.
    """

    version: int
    job_id: str
    endpoint: str
    resolution: str | None
    seconds: int | None
    credits_estimated: int | None
    labels: dict[str, str] | None
    inputs: dict[str, str]
    seed: int | None
    conn_id: str
    submitted_at: float | None
    deadline: float | None
    output_path: str | None
    player_url: str


def card_of(
    found: Held | Receipt,
    *,
    endpoint: str,
    resolution: str | None,
    labels: Mapping[str, str] | None,
    inputs: Mapping[str, str],
    seed: int | None,
    conn_id: str,
    output_path: str | None,
    player_url: str,
) -> Card:
    """Return the card of a job that is waited for, or of a video that stands already.

    :param inputs: the media as a page may show them, by field.
    """
    from airflow_provider_lipsync.jobs.budget import Estimate
    from airflow_provider_lipsync.jobs.purchase import Held

    if isinstance(found, Held):
        job_id, cost = found.job.id, found.cost
        submitted_at, deadline = found.submitted_at, found.deadline
    else:
        job_id, cost = found.job_id, Estimate(credits=found.credits_estimated)
        submitted_at = deadline = None
    return Card(
        version=_VERSION,
        job_id=job_id,
        endpoint=endpoint,
        resolution=resolution,
        seconds=cost.seconds,
        credits_estimated=cost.credits,
        labels=None if labels is None else dict(labels),
        inputs={name: shown[:_LONGEST_INPUT] for name, shown in inputs.items()},
        seed=seed,
        conn_id=conn_id,
        submitted_at=submitted_at,
        deadline=deadline,
        output_path=output_path,
        player_url=player_url,
    )


def tell_failure(context: Any, error: LipsyncError) -> None:
    """Hand on why a try failed: Airflow keeps errors in logs alone, which no page can read."""
    told = {
        "error": type(error).__name__,
        "message": error.message,
        "vendor_message": error.vendor_message,
        "job_id": error.job_id,
        "charged": error.charged.value,
        "video": error.video.value,
        "next_step": error.next_step,
    }
    with contextlib.suppress(Exception):  # it is raised right after this, and says the same
        context["ti"].xcom_push(key=FAILURE_KEY, value=told)
