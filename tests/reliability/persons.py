"""The people of a schedule: how the task is written, and what is done about a failure that is not retried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_lipsync import LipsyncImageOperator
from tests.reliability.plan import Death, Decision, Fault
from tests.reliability.story import Told

if TYPE_CHECKING:
    from tests.reliability.schedule import Schedule

__all__ = ["Persons"]

# Reached by a job that was found, too; the others need a purchase.
_AFTER_A_PURCHASE = (
    *(Death.BEFORE_HANDOVER, Death.WAITING, Death.ON_RESUME, Death.RACE),
    *(Death.BEFORE_SUCCESS, Death.BEFORE_CALLBACK),
)
_ON_POST = (Fault.LOST, Fault.ACCEPTED_5XX, Fault.REFUSED_5XX, Fault.SLOW_DOWN, Fault.GARBLED, Fault.ID, Fault.INTENT)
_MOST_WITHOUT_VIDEO = 3

NOWHERE = "http://127.0.0.1:1"  # nothing listens: what the product sees of a medium beforehand is no part of a story


class Persons:
    """Who wrote the DAG, and who is on call."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule, self._plan = schedule, schedule.plan
        self._decisions, self._changes = iter(self._plan.decisions), iter(self._plan.changes)
        self._version = self._tries = self._without_video = 0
        self._keeps_inputs = False
        self._error = ""
        self.forget()

    def forget(self) -> None:
        """Write the task as it was at first."""
        self.on_ambiguous_submit = self._plan.on_ambiguous_submit
        self.on_changed_input = self._plan.on_changed_input
        self.resume_job_id: str | None = None

    @property
    def inputs(self) -> str:
        """What is asked for."""
        return f"voice{self._version}"

    def render_inputs(self) -> None:
        """Render the templates anew, as every try does."""
        self._tries += 1
        if self._plan.cell.fault is not Fault.INPUTS or self._keeps_inputs or not self._schedule.jobs:
            return
        if next(self._changes, not self._schedule.is_dealt):
            self._version += 1
            self._schedule.note_dealt(Fault.INPUTS)

    def write_task(self) -> LipsyncImageOperator:
        """Return the operator, as a process makes it."""
        self._error = ""
        signature = f"?X-Amz-Date={self._tries}&X-Amz-Signature={self._tries}" if self._plan.signs else ""
        return LipsyncImageOperator(
            task_id="render",
            image=f"{NOWHERE}/face.png",
            audio=f"{NOWHERE}/{self.inputs}.mp3{signature}",
            wait_for_completion=self._plan.waits,
            deferrable=self._plan.deferrable,
            job_timeout=self._plan.job_timeout,
            on_clear=self._plan.on_clear,
            on_ambiguous_submit=self.on_ambiguous_submit,
            on_changed_input=self.on_changed_input,
            resume_job_id=self.resume_job_id,
        )

    def hear(self, error: str) -> None:
        """See how a try ended."""
        self._error = error
        self._without_video += error == "LipsyncJobFailed" and bool(self._plan.rules)

    def decide(self) -> str:
        """Do what can be done about a task that failed for good; return how it rests, if nothing can."""
        error, self._error = self._error, ""
        if error == "LipsyncJobFailed" and self._without_video >= _MOST_WITHOUT_VIDEO:
            return "no video"
        self.forget()
        if error == "LipsyncSubmitUncertain":
            decision = self._answer_uncertain()
        elif error == "LipsyncInputChanged":
            decision = self._answer_changed()
        else:
            decision = Decision.LOOK_AGAIN
        if decision is Decision.LEAVE:
            return "left to a person"
        self._schedule.story.add(Told(process=0, what=f"somebody {decision.value}"))
        self._schedule.clear()
        return ""

    def _answer_uncertain(self) -> Decision:
        decision = next(self._decisions, Decision.RESUBMIT)
        if self._schedule.is_pending and not (decision is Decision.ADOPT and self._may_adopt()):
            decision = Decision.RESUBMIT
        if decision is Decision.ADOPT and self._schedule.jobs:
            self.resume_job_id = self._schedule.jobs[-1]
            return decision
        if decision in (Decision.LEAVE, Decision.LOOK_AGAIN):
            return decision
        self.on_ambiguous_submit = "resubmit"
        return Decision.RESUBMIT

    def _may_adopt(self) -> bool:
        """Whether what is still to come of the cell can come without another purchase."""
        needs_purchase = self._plan.cell.fault in _ON_POST and not self._schedule.is_dealt
        return not needs_purchase and (self._schedule.has_died or self._plan.cell.death in _AFTER_A_PURCHASE)

    def _answer_changed(self) -> Decision:
        decision = next(self._decisions, Decision.REATTACH)
        if decision is Decision.BACK and self._version > 0:
            self._version -= 1
            self._keeps_inputs = True
        elif decision is Decision.REATTACH:
            self.on_changed_input = "reattach"
        else:
            decision = Decision.LOOK_AGAIN
        return decision
