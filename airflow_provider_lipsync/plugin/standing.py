"""What became of a task's job, and what the person who looks should do: from facts to words. Pure.

Money decides the order of the questions: what was charged and not handed on comes before whatever else is true. That
nothing was charged is only said where the ledger says so: XComs of earlier tries are gone, and a folder of records
(``ledger_path``) is not read here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from airflow_provider_lipsync.exceptions import Charged, LipsyncJobFailed
from airflow_provider_lipsync.jobs.callbacks import deadline_of
from airflow_provider_lipsync.jobs.ledger import Record, State
from airflow_provider_lipsync.jobs.wording import moment, uncertain
from airflow_provider_lipsync.plugin.adopting import adoption_of, fetch_it
from airflow_provider_lipsync.plugin.task_facts import TaskFacts

__all__ = ["Standing", "ViewState", "how_to_adopt", "is_active", "standing_of", "took"]

# States of a task instance after which Airflow does something by itself.
_WAITING_FOR_AIRFLOW = (None, "scheduled", "queued")
_ACTIVE = (*_WAITING_FOR_AIRFLOW, "running", "deferred", "up_for_retry", "up_for_reschedule", "restarting")
_NEVER_RAN = ("skipped", "upstream_failed", "removed")


class ViewState(StrEnum):
    """What a page shows of a task."""

    NOTHING = "nothing"
    WAITING = "waiting"
    RENDERING = "rendering"
    COMPLETED = "completed"
    STORED = "stored"
    FAILED = "failed"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    UNDELIVERED = "undelivered"


_BADLY = (ViewState.FAILED, ViewState.REFUSED, ViewState.UNCERTAIN, ViewState.UNDELIVERED)
_MAY_HAVE_FAILED = ("failed", "up_for_retry")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is said of a task.

    :param headline: a short sentence.
    :param next_step: what to do; empty where nothing is to be done.
    :param error: what went wrong, in somebody's words; empty where nothing did, or where only the log tells.
    """

    state: ViewState
    headline: str
    next_step: str = ""
    error: str = ""


def standing_of(facts: TaskFacts, *, now: float) -> Standing:
    """Return what to say of a task instance.

    :param now: seconds since the epoch.
    """
    if not facts.is_lipsync:
        return Standing(state=ViewState.NOTHING, headline="This is no Lipsync task: there is nothing to show")
    if facts.unread:
        return _unreadable(facts)
    questions = _WHILE_ACTIVE if is_active(facts) else _WHEN_ENDED
    found = next(answer for question in questions if (answer := question(facts, now)) is not None)
    return _in_its_own_words(found, facts)


def is_active(facts: TaskFacts) -> bool:
    """Whether Airflow will still do something about the task by itself."""
    return facts.task_state in _ACTIVE


def how_to_adopt(facts: TaskFacts) -> str:
    """Return how to get the video of a job that was charged and not handed on; empty where there is none."""
    standing = standing_of(facts, now=0.0)
    return standing.next_step if standing.state in (ViewState.UNDELIVERED, ViewState.UNCERTAIN) else ""


def took(seconds: float) -> str:
    """Return a length of time as a person says it."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _in_its_own_words(standing: Standing, facts: TaskFacts) -> Standing:
    """Return what is said of a task that did not end well with what its error said, which knows more."""
    failure = facts.failure
    if failure is None or standing.state not in _BADLY or facts.task_state not in _MAY_HAVE_FAILED:
        return standing
    keeps_step = standing.state in (ViewState.UNDELIVERED, ViewState.UNCERTAIN) or not failure.next_step
    return replace(standing, error=failure.message, next_step=standing.next_step if keeps_step else failure.next_step)


def _unreadable(facts: TaskFacts) -> Standing:
    return Standing(
        state=ViewState.UNCERTAIN,
        headline="The ledger's record of this task cannot be read",
        next_step="look for a job in this task's log; the record stands in Airflow's task state store",
        error=facts.unread,
    )


# While Airflow still does something about the task.


def _cleared(facts: TaskFacts, _: float) -> Standing | None:
    if facts.task_state not in _WAITING_FOR_AIRFLOW or facts.result is None:
        return None
    return Standing(
        state=ViewState.WAITING, headline="Cleared: it waits to run again", next_step="nothing: Airflow starts it"
    )


def _submitting(facts: TaskFacts, now: float) -> Standing | None:
    if facts.entry is None or facts.entry.state is not State.INTENT or facts.bought_job_id is not None:
        return None
    if facts.task_state in ("running", "restarting"):
        return Standing(state=ViewState.WAITING, headline="Being submitted: the answer has not come yet")
    return _awaited(facts.entry.record, now) or _uncertain(facts)


def _awaited(record: Record, now: float) -> Standing | None:
    """A lost id that a webhook may still bring back."""
    until = deadline_of(record)
    if until is None or until <= now:
        return None
    return Standing(
        state=ViewState.WAITING,
        headline=f"A submit left at {moment(record.submitted_at)}, and its answer was lost: a webhook may bring it",
        next_step=f"nothing until {moment(until)}: the task goes on by itself once it comes; then a person is asked",
        error=record.note,
    )


def _put_off(facts: TaskFacts, _: float) -> Standing | None:
    if facts.entry is None or facts.entry.state is not State.REFUSED or facts.bought_job_id is not None:
        return None
    return Standing(
        state=ViewState.WAITING,
        headline="Nothing was bought yet: the submit was refused, and comes again",
        next_step="nothing: it is submitted again by itself, and nothing was charged",
        error=facts.entry.record.note,
    )


def _over(facts: TaskFacts, _: float) -> Standing | None:
    """The job that is known is one of an earlier try, and over."""
    entry = facts.entry
    if entry is None or entry.state not in (State.FAILED, State.DELIVERED):
        return None
    if facts.card is not None and facts.card.job_id != entry.job_id:
        return None
    if entry.state is State.DELIVERED:
        said = f"Job {entry.job_id} was delivered before the task was cleared; no other is known yet"
        return Standing(state=ViewState.WAITING, headline=said)
    is_between = facts.task_state == "up_for_retry"
    return Standing(
        state=ViewState.FAILED if is_between else ViewState.WAITING,
        headline=f"The vendor says that job {entry.job_id} failed; the next try buys another",
        next_step=LipsyncJobFailed.default_next if is_between else "",
    )


def _rendering(facts: TaskFacts, now: float) -> Standing | None:
    job_id = facts.bought_job_id
    if job_id is None:
        return None
    if facts.task_state == "up_for_retry":
        return Standing(
            state=ViewState.RENDERING,
            headline="Bought; a try ended before the video came",
            next_step=f"nothing: the next try waits on for job {job_id}, and buys nothing",
        )
    if facts.task_state is None:
        said = f"Waits to run again; its next try waits on for job {job_id}"
        return Standing(state=ViewState.WAITING, headline=said)
    since = _submitted_at(facts)
    headline = "Rendering" if since is None else f"Rendering for {took(now - since)}"
    deadline = facts.card.deadline if facts.card else None
    if deadline is not None and now > deadline:
        headline += ", past its deadline"
    return Standing(state=ViewState.RENDERING, headline=headline)


def _not_begun(facts: TaskFacts, _: float) -> Standing:
    if not facts.buys:
        said = {
            "running": "Looks at a job that another task bought",
            "deferred": "Waits for a job that another task bought",
            "up_for_reschedule": "Waits for a job that another task bought",
            "up_for_retry": "A try ended without the job's video; another one follows",
        }
    else:
        said = {
            "running": "Has begun; no job is known yet",
            "deferred": "Waits; no job is known yet",
            "up_for_retry": "A try ended before it told of a job; another one follows",
        }
    return Standing(state=ViewState.WAITING, headline=said.get(str(facts.task_state), "Has not begun"))


# When the task has ended.


def _undelivered(facts: TaskFacts, _: float) -> Standing | None:
    job_id = facts.bought_job_id
    if job_id is None or not facts.buys or (facts.result is not None and facts.result.job_id == job_id):
        return None
    if facts.entry is not None:
        if facts.entry.state not in (State.BOUGHT, State.INTENT):
            return None
        headline = f"Charged, and not handed on: job {job_id}"
    elif facts.task_state == "success":
        return None
    else:
        headline = f"Job {job_id} was charged, and no video of it is known here"
    return Standing(state=ViewState.UNDELIVERED, headline=headline, next_step=adoption_of(facts, job_id))


def _uncertain(facts: TaskFacts, _: float = 0.0) -> Standing | None:
    if facts.entry is None or facts.entry.state is not State.INTENT or facts.bought_job_id is not None:
        return None
    error = uncertain(facts.entry.record)
    return Standing(
        state=ViewState.UNCERTAIN,
        headline=f"A submit left at {moment(facts.entry.record.submitted_at)}, and its answer is not known",
        next_step=error.next_step,
        error=error.message,
    )


def _handed_on(facts: TaskFacts, _: float) -> Standing | None:
    result = facts.result
    if result is None:
        return None
    if result.output_path and result.sha256:
        return Standing(state=ViewState.STORED, headline="Stored")
    if result.status in (None, "completed") or result.video_url:
        return Standing(
            state=ViewState.COMPLETED,
            headline="Completed; the video is at the vendor",
            next_step="keep it (LipsyncToObjectStorageOperator, or output_path): the vendor's address is temporary",
        )
    return Standing(
        state=ViewState.RENDERING,
        headline="Submitted; the task did not wait for it",
        next_step=_wait_for(result.job_id),
    )


def _vendor_failed(facts: TaskFacts, _: float) -> Standing | None:
    if facts.entry is None or facts.entry.state is not State.FAILED:
        return None
    return Standing(
        state=ViewState.FAILED,
        headline="The vendor says that the job failed",
        next_step=LipsyncJobFailed.default_next,
        error=facts.entry.record.note or "What the vendor said stands in the task's log.",
    )


def _refused(facts: TaskFacts, _: float) -> Standing | None:
    if facts.entry is None or facts.entry.state is not State.REFUSED or facts.task_state == "success":
        return None
    return Standing(
        state=ViewState.REFUSED,
        headline="Refused: nothing was charged",
        next_step="correct what is named here or in the task's log, then clear the task",
        error=facts.entry.record.note,
    )


def _never_ran(facts: TaskFacts, _: float) -> Standing | None:
    if facts.task_state not in _NEVER_RAN:
        return None
    return Standing(state=ViewState.NOTHING, headline=f"Ended as {facts.task_state}; no job is known of it")


def _delivered(facts: TaskFacts, _: float) -> Standing | None:
    if facts.task_state != "success":
        return None
    job_id = facts.bought_job_id
    if job_id is None:
        return Standing(state=ViewState.NOTHING, headline="Ended in success, and told of no job")
    return Standing(
        state=ViewState.COMPLETED,
        headline=f"Ended in success; what job {job_id} gave is not in its XComs",
        next_step=f"if a person marked it so: {fetch_it(job_id)}",
    )


def _failed(facts: TaskFacts, _: float) -> Standing:
    if not facts.buys:
        said = "Failed: it handed on no video"
        return Standing(
            state=ViewState.FAILED, headline=said, next_step="read the task's log; it buys nothing, so clearing is free"
        )
    if facts.failure is not None and facts.failure.charged == Charged.NO:
        return Standing(state=ViewState.REFUSED, headline="Refused: this try was charged nothing")
    delivered = f" after job {facts.entry.job_id} was delivered" if facts.entry is not None else ""
    return Standing(
        state=ViewState.FAILED,
        headline=f"Failed{delivered}; no other job is known of it" if delivered else "Failed; no job is known of it",
        next_step="read the task's log, correct it, then clear the task",
    )


_Question = Callable[[TaskFacts, float], Standing | None]
_WHILE_ACTIVE: tuple[_Question, ...] = (_cleared, _submitting, _put_off, _over, _rendering, _not_begun)
_WHEN_ENDED: tuple[_Question, ...] = (
    _undelivered,
    _uncertain,
    _handed_on,
    _vendor_failed,
    _refused,
    _never_ran,
    _delivered,
    _failed,
)


def _submitted_at(facts: TaskFacts) -> float | None:
    if facts.card is not None and facts.card.submitted_at is not None:
        return facts.card.submitted_at
    return facts.entry.record.submitted_at if facts.entry else None


def _wait_for(job_id: str) -> str:
    return f'wait for it by LipsyncJobSensor(job="{job_id}")'
