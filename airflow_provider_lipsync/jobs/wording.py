"""What is said where money may have been spent: errors that tell when, what, and both ways on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_lipsync.api.models import Endpoint, Job
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncInputChanged, LipsyncSubmitUncertain

if TYPE_CHECKING:
    from airflow_provider_lipsync.jobs.ledger import Record

__all__ = ["COMPLETED", "ambiguous", "changed_input", "forgotten", "moment", "uncertain"]

COMPLETED = "Job %s is completed. For a time its video is at %s."


def moment(seconds: float) -> str:
    """Return seconds since the epoch as a person reads them, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def uncertain(record: Record, error: LipsyncError | None = None) -> LipsyncSubmitUncertain:
    """Return the error of an intent without an id.

    :param error: of the submit, where it was this try's.
    """
    why = record.note or "whoever sent it ended before the answer was written down"
    return ambiguous(why, record.endpoint, record.submitted_at, error)


def ambiguous(
    why: str, endpoint: Endpoint | str, submitted_at: float, error: LipsyncError | None = None
) -> LipsyncSubmitUncertain:
    """Return the error of a submit whose answer is not known.

    :param submitted_at: seconds since the epoch.
    """
    when = moment(submitted_at)
    return LipsyncSubmitUncertain(
        f"A submit to {endpoint!s} left at {when}, and it is not known what came of it: {why.rstrip('.')}. A job may "
        "exist, and may have been charged for its length (at least 5 seconds).",
        status=error.status if error else None,
        vendor_message=error.vendor_message if error else "",
        next_step=_search(f"a {endpoint!s} job of {when}"),
    )


def forgotten(endpoint: Endpoint) -> LipsyncSubmitUncertain:
    """Return the error of a second try that has no memory of the first."""
    return LipsyncSubmitUncertain(
        "This is not the task's first try, and nothing is remembered of the earlier ones: this Airflow has no task "
        "state store (3.3 and later have one), and the connection has no ledger_path. They may have bought a job.",
        next_step=_search(f"a {endpoint!s} job"),
    )


def changed_input(job_id: str, changed: tuple[str, ...], seen: Job) -> LipsyncInputChanged:
    """Return the error of a retry that would throw away a job which nobody has had."""
    return LipsyncInputChanged(
        "An earlier try bought this job, nobody has had it yet, and this retry asks for something else: "
        f"{', '.join(changed)} changed. At the vendor the job is {seen.raw_status!r}. Nothing new was bought. (Are "
        "these templates that render anew on every try, such as now() or try_number?)",
        job_id=job_id,
        next_step=(
            'set on_changed_input="reattach" to take this job all the same, or clear the task to buy one with the new '
            "inputs"
        ),
    )


def _search(what: str) -> str:
    return (
        f"look for {what} in this task's earlier logs and in the vendor's dashboard; if there is one, set "
        'resume_job_id="<its id>" and clear; if there is none, set on_ambiguous_submit="resubmit" and clear'
    )
