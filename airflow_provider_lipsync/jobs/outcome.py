"""From a job to its result or its error: one policy for operator, sensor and transfer, and the classes a task raises.

What a task raises is both ours (``except LipsyncJobFailed`` works) and Airflow's (``soft_fail``, ``never_fail`` and
``retry_policy`` read the class): :func:`as_task_error` makes the pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypedDict

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.api.texts import holds_key, is_job_id
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncError,
    LipsyncInputChanged,
    LipsyncJobFailed,
    LipsyncJobTimeout,
    LipsyncKeyRefused,
    LipsyncNoCredits,
    LipsyncOutputExists,
    LipsyncOverBudget,
    LipsyncSubmitUncertain,
    LipsyncTransferFailed,
    LipsyncUnknownJob,
    Video,
)

__all__ = [
    "LipsyncKnown",
    "LipsyncResult",
    "as_sensor_error",
    "as_submit_error",
    "as_task_error",
    "as_wait_error",
    "finished",
    "job_id_of",
    "known_of",
    "result_of",
    "timed_out",
]

# A try that ended so is not repeated: repeating it cannot help, or could pay twice.
_HOPELESS_AT_SUBMIT = (
    LipsyncBadInput,
    LipsyncInputChanged,
    LipsyncKeyRefused,
    LipsyncNoCredits,
    LipsyncOutputExists,
    LipsyncOverBudget,
    LipsyncSubmitUncertain,
)


class LipsyncResult(TypedDict):
    """What operator, sensor and transfer hand on (XCom ``return_value``): always these keys, unknown is None.

    ``video_url`` is the vendor's, and temporary. ``output_path`` and ``output_uri`` are yours, the second without
    Airflow's connection id in it. ``size`` is in bytes, ``execution_time`` as the vendor gave it (inferred: ms).
    """

    job_id: str
    model: str | None
    status: str
    video_url: str | None
    output_path: str | None
    output_uri: str | None
    sha256: str | None
    size: int | None
    credits_estimated: int | None
    execution_time: float | None
    labels: dict[str, str] | None


class LipsyncKnown(TypedDict):
    """What whoever bought a job knows of it, and the vendor does not tell; unknown is None."""

    credits_estimated: int | None
    labels: dict[str, str] | None


def result_of(job: Job, known: LipsyncKnown | None = None) -> LipsyncResult:
    """Return the result that a job stands for; what nobody knows yet is None."""
    known = known or known_of(None)
    return LipsyncResult(
        job_id=job.id,
        model=job.model,
        status=job.raw_status,
        video_url=job.output,
        output_path=None,
        output_uri=None,
        sha256=None,
        size=None,
        credits_estimated=known["credits_estimated"],
        execution_time=job.execution_time,
        labels=known["labels"],
    )


def finished(job: Job, known: LipsyncKnown | None = None) -> LipsyncResult:
    """Return the result of a job that will change no more.

    :raises LipsyncJobFailed: the vendor says that it failed, or calls it completed but gives no video.
    """
    if job.status is JobStatus.COMPLETED and job.output:
        return result_of(job, known)
    if job.status is JobStatus.COMPLETED:
        raise LipsyncJobFailed(
            "the vendor calls the job completed but gives no video",
            job_id=job.id,
            vendor_message=job.error,
            next_step="ask the vendor for the video of this job, with its id; a retry or clear looks at it again",
        )
    raise LipsyncJobFailed(
        "the vendor says that the job failed", job_id=job.id, vendor_message=job.error or "(nothing)"
    )


def known_of(given: object) -> LipsyncKnown:
    """Return what a user's value for a job tells beyond what the vendor does: a whole result does, an id does not."""
    told = given if isinstance(given, Mapping) else {}
    return LipsyncKnown(credits_estimated=told.get("credits_estimated"), labels=told.get("labels"))


def job_id_of(value: object, *, api_key: str = "") -> str:
    """Return the job id that a user gave: an id, or a whole result of an operator, sensor or transfer.

    :param api_key: refused as an id, and never repeated.
    :raises LipsyncBadInput: it is neither.
    """
    found = value.get("job_id") if isinstance(value, Mapping) else value
    text = found.strip() if isinstance(found, str) else ""
    if api_key and holds_key(text, api_key):
        raise LipsyncBadInput("job: the API key stands where a job id belongs; nothing was sent")
    if not is_job_id(text) or text == "None":  # what a template makes of None
        shown = f"a {type(value).__name__}" if not isinstance(value, str) else repr(value[:80])
        raise LipsyncBadInput(
            f"job: a job id, or the result of a Lipsync task with its job_id, is required; got {shown}"
        )
    return text


def as_submit_error(error: LipsyncError, *, retried: tuple[type[LipsyncError], ...] = ()) -> LipsyncError:
    """Return what a task raises when it could not buy: hopeless and uncertain ones are not retried.

    :param retried: what the user wants to be tried again all the same.
    """
    hopeless = isinstance(error, _HOPELESS_AT_SUBMIT) and not isinstance(error, retried)
    if isinstance(error, LipsyncNoCredits) and not hopeless:
        error.next_step = "buy API credits (they are not the same as user credits): a retry submits again"
    return as_task_error(error, AirflowFailException if hopeless else AirflowException)


def as_wait_error(error: LipsyncError, *, next_try: str) -> LipsyncError:
    """Return what an operator raises when a bought job did not end well, or could not be seen.

    All are retried, but for a place that is taken: waiting does not free it.

    :param next_try: what a retry or clear will do about the job.
    """
    if isinstance(error, LipsyncOutputExists):
        return as_task_error(error, AirflowFailException)
    if error.job_id and isinstance(error, LipsyncJobFailed):
        if not next_try.endswith("waits on for this job"):
            error.next_step = f"mend what the vendor names; {next_try}"
    elif error.job_id:
        free = "LipsyncJobSensor(job=id), or resume_job_id, fetches it for nothing, too"
        error.next_step = f"{_FIRST_STEP.get(type(error), '')}{next_try}; {free}"
    return as_task_error(error, AirflowException)


_FIRST_STEP: dict[type[LipsyncError], str] = {
    LipsyncKeyRefused: "correct the API key in the Airflow connection; ",
    LipsyncTransferFailed: "mend what is named below; ",
    LipsyncUnknownJob: (
        "check the id, and that the connection's key is the one that bought the job; if it is lost for good, a clear "
        'with on_clear="resubmit" buys a new one; '
    ),
}


def as_sensor_error(error: LipsyncError) -> LipsyncError:
    """Return what a sensor or transfer raises: a job that failed stays failed, however often it is looked at."""
    if isinstance(error, LipsyncJobTimeout):
        return as_task_error(error, AirflowSensorTimeout)
    if type(error) is LipsyncJobFailed and error.next_step == LipsyncJobFailed.default_next:
        error.next_step = "mend what the vendor names, then clear the task that bought this job (this one buys nothing)"
    hopeless = isinstance(error, LipsyncJobFailed | LipsyncBadInput | LipsyncOutputExists)
    return as_task_error(error, AirflowFailException if hopeless else AirflowException)


def as_task_error(error: LipsyncError, airflows: type[Exception]) -> LipsyncError:
    """Return the same error in a class that is also one of Airflow's."""
    made: LipsyncError = _task_class((type(error), airflows))(error.message, **error.details())
    return made


def timed_out(job_id: str, *, seen: str, job: Job | None) -> LipsyncJobTimeout:
    """Return the error of a job that was not seen finished before its deadline."""
    video = Video.AT_VENDOR if job is not None and job.output else Video.NONE
    return LipsyncJobTimeout(
        f"the job was not seen finished before its deadline ({seen}). It has no cancel: it runs on at the vendor.",
        job_id=job_id,
        video=video,
    )


@cache
def _task_class(bases: tuple[type[Exception], ...]) -> Any:
    """Return the class that is both, under our name; made once, so that classes compare."""
    return type(bases[0].__name__, bases, {"__module__": bases[0].__module__, "__doc__": bases[0].__doc__})
