"""The job that a try works for: one that was bought before, one that was given, or a new one. Nothing else buys."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_lipsync.api.models import Endpoint, Job, JobStatus, SubmitRequest
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncError,
    LipsyncLedgerUnavailable,
    LipsyncPollFault,
    LipsyncSubmitUncertain,
    LipsyncUnknownJob,
)
from airflow_provider_lipsync.jobs.budget import Budget, Estimate, Spent
from airflow_provider_lipsync.jobs.callbacks import CallbackUrls
from airflow_provider_lipsync.jobs.ledger import Generation, Ledger, Record, State, unhurried
from airflow_provider_lipsync.jobs.policy import Action, Plan, plan_try
from airflow_provider_lipsync.jobs.wanted import Marks, Wanted
from airflow_provider_lipsync.jobs.wishes import Wishes
from airflow_provider_lipsync.jobs.wording import ambiguous, changed_input, forgotten, moment, uncertain
from airflow_provider_lipsync.media.receipt import Receipt

if TYPE_CHECKING:
    from airflow_provider_lipsync.jobs.keeping import Keeper

__all__ = ["Held", "Purchase"]

_SHARE_OF_TIMEOUT = 1 / 3  # what a try that re-attaches may wait at the least


@dataclass(frozen=True, kw_only=True)
class Held:
    """The job that this try works for.

    :param job: as it was last seen.
    :param deadline: seconds since the epoch, until which it is waited for.
    :param marks: fingerprint of what it was bought for; None where not known.
    :param is_new: whether this try bought it.
    :param submitted_at: when it was bought, seconds since the epoch; None = not known.
    :param cost: as it was estimated when it was bought.
    """

    job: Job
    deadline: float
    marks: Marks | None = None
    is_new: bool = False
    submitted_at: float | None = None
    cost: Estimate = field(default_factory=Estimate)


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """Finds or buys the job of one try.

    :param submit: sends the POST.
    :param look: sends the GET; returns the job, or the error of the look.
    :param ledger: what is remembered; None where this Airflow has no memory and none was given.
    :param keeper: knows what stands where the video is to stand; None where it is not to be kept.
    :param budget: credits that may be spent.
    :param labels: of the task, for the log; None = none.
    :param callbacks: makes the URL at which the vendor tells our own receiver of the job; None = it is not told.
    :param is_first_try: whether no earlier try can have bought anything; read only where there is no ledger.
    :param job_timeout: seconds from the submit.
    :param log: the task's.
    :param began_at: when this try began, seconds since the epoch: it buys no other job where one of its own has failed.
    """

    submit: Callable[[SubmitRequest], Job]
    look: Callable[[str], Job | LipsyncError]
    ledger: Ledger | None
    keeper: Keeper | None
    wishes: Wishes
    budget: Budget
    is_first_try: bool
    job_timeout: float
    log: Any
    began_at: float = math.inf
    labels: Mapping[str, str] | None = None
    callbacks: CallbackUrls | None = None
    now: Callable[[], float] = time.time

    def job_for(self, wanted: Wanted, *, resume_job_id: str | None = None) -> Held | Receipt:
        """Return the job to wait for, or the receipt of a video that stands already.

        One is bought only where the ledger, the output path and the user's wishes allow it.

        :param resume_job_id: a job that a person found; None = none. Nothing is bought then.
        :raises LipsyncSubmitUncertain: an earlier submit, or this one, may have been charged.
        :raises LipsyncLedgerUnavailable: the ledger cannot be used; nothing was sent.
        :raises LipsyncOutputExists: something else stands where the video is to stand; nothing was sent.
        :raises LipsyncInputChanged: a retry has other inputs than the job that is not delivered yet.
        :raises LipsyncError: the submit was refused, or the job cannot be looked at.
        """
        try:
            return self._find_or_buy(wanted, resume_job_id)
        except (
            LipsyncLedgerUnavailable
        ) as error:  # never after a submit: an id that cannot be written is told, not raised
            if error.job_id is not None:
                raise
            raise LipsyncLedgerUnavailable(f"{error.message}. Nothing was sent.") from error.__cause__

    def _find_or_buy(self, wanted: Wanted, resume_job_id: str | None) -> Held | Receipt:
        if resume_job_id is not None:
            stored = self.keeper.of_job(resume_job_id) if self.keeper else None
            return stored or self._adopt(resume_job_id, wanted.endpoint)
        if self.ledger is None:
            return self._buy_without_memory(wanted)
        record = self.ledger.read()
        if record is None:
            return self._buy(self.ledger, wanted, None)
        plan = self._plan(record, self.ledger.generation, wanted)
        if plan.action is Action.BUY:
            self._tell_purchase(record, plan)
            return self._buy(self.ledger, wanted, record)
        if plan.action is Action.ASK or record.job_id is None:
            return self._there_already(wanted) or self._ask(record)
        return self._continue(self.ledger, record, plan) or self._buy(self.ledger, wanted, record)

    def _plan(self, record: Record, generation: Generation, wanted: Wanted) -> Plan:
        if self._is_own(record):  # whatever its templates render to since it came back
            return Plan(action=Action.REATTACH)
        marks = wanted.marks_beside(record.fingerprint)
        return plan_try(record, generation=generation, fingerprint=marks, wishes=self.wishes)

    def _is_own(self, record: Record) -> bool:
        """Whether this very try bought the job, whose id a webhook brought back: as if its submit was answered."""
        return record.state is State.BOUGHT and record.submitted_at >= self.began_at

    def _there_already(self, wanted: Wanted) -> Receipt | None:
        """Return the receipt of a video of the same inputs: then nobody need be asked."""
        try:
            return self.keeper.found(wanted.marks(), is_again=True) if self.keeper else None
        except LipsyncError:
            return None

    def _ask(self, record: Record) -> NoReturn:
        raise uncertain(record)

    def _continue(self, ledger: Ledger, record: Record, plan: Plan) -> Held | Receipt | None:
        """Return the job that was bought, or the video it stored; None if an earlier try's job failed at the vendor."""
        job_id = record.job_id or ""
        stored = self.keeper.of_job(job_id) if self.keeper and plan.action is Action.REATTACH else None
        if stored is not None:
            return stored
        found = self._look_at(job_id)
        seen = found if isinstance(found, Job) else _unseen(job_id)
        if seen.status is JobStatus.FAILED and not self._is_own(record):
            self.log.warning(
                "Job %s of an earlier try failed (%s): buying a new one.", job_id, seen.error or "no words"
            )
            return None
        if plan.action is Action.REFUSE:
            if isinstance(found, LipsyncError):
                raise found  # it may have failed: then this try may buy
            raise changed_input(job_id, plan.changed, seen)
        if record.generation != ledger.generation:
            self._renew(ledger, record)
        self.log.info(
            "Re-attaching to job %s, which %s bought at %s: nothing is bought, nothing new is charged. "
            "At the vendor it is %s.%s",
            job_id,
            "this try" if self._is_own(record) else "an earlier try",
            moment(record.submitted_at),
            repr(seen.raw_status) if isinstance(found, Job) else "(not seen)",
            f" What was asked for differs now in {', '.join(plan.changed)}." if plan.changed else "",
        )
        return Held(
            job=seen,
            deadline=self._deadline(record.submitted_at),
            marks=record.fingerprint or None,
            submitted_at=record.submitted_at,
            cost=record.cost,
        )

    def _adopt(self, job_id: str, endpoint: Endpoint) -> Held:
        """Take a job that a person named, once it was seen: a slip of the pen must not replace what is known."""
        job = self.look(job_id)
        if isinstance(job, LipsyncError):
            raise job
        submitted_at, cost = self.now(), Estimate()
        if self.ledger is not None:
            record = self._record_of_adopted(self.ledger, job_id, endpoint)
            submitted_at, cost = record.submitted_at, record.cost
        self.log.info(
            "Waiting for job %s, given as resume_job_id: nothing is bought. At the vendor it is %r.",
            job_id,
            job.raw_status,
        )
        return Held(job=job, deadline=self._deadline(submitted_at), cost=cost)

    def _record_of_adopted(self, ledger: Ledger, job_id: str, endpoint: Endpoint) -> Record:
        record = ledger.read()
        if record is not None and record.job_id == job_id:
            return ledger.renew(record) if record.generation != ledger.generation else record
        if record is not None and record.state is State.BOUGHT:
            self.log.warning("Job %s, bought before and not delivered, is given up for resume_job_id.", record.job_id)
        adopted = Record(
            state=State.BOUGHT,
            endpoint=endpoint.value,
            generation=ledger.generation,
            submitted_at=self.now(),
            job_id=job_id,
            # An intent without an id is most likely this very job: its cost is told, and counted.
            cost=record.cost if record is not None and record.state is State.INTENT else Estimate(),
            spent=Spent() if record is None else record.spent_with_it(),
        )
        return ledger.renew(adopted)

    def _buy(self, ledger: Ledger, wanted: Wanted, record: Record | None) -> Held | Receipt:
        marks = wanted.marks()
        standing = self.keeper.found(marks, is_again=record is not None) if self.keeper else None
        if standing is not None:
            return standing
        spent = Spent() if record is None else record.spent_with_it()
        request, cost = self._affordable(wanted, spent)
        now = self.now()
        until = self.callbacks.until(now + self.job_timeout) if self.callbacks else None
        intent = ledger.intend(
            endpoint=wanted.endpoint.value, fingerprint=marks, now=now, cost=cost, spent=spent, webhook_until=until
        )
        if self.callbacks:
            request = replace(request, webhook=self.callbacks.url_of(intent))
        try:
            job = self.submit(request)
        except LipsyncSubmitUncertain as error:
            ledger.uncertain(intent, error.message)
            raise uncertain(replace(intent, note=error.message), error) from error.__cause__
        except LipsyncError as error:
            ledger.refused(intent, error.message)
            raise
        deadline = intent.submitted_at + self.job_timeout
        with unhurried():
            self._tell_bought(job, wanted.endpoint, deadline)
            ledger.bought(intent, job.id)
        return Held(job=job, deadline=deadline, marks=marks, is_new=True, submitted_at=intent.submitted_at, cost=cost)

    def _affordable(self, wanted: Wanted, spent: Spent) -> tuple[SubmitRequest, Estimate]:
        """Return the request and what it will cost, if that is allowed; what costs too much is not even staged.

        :raises LipsyncOverBudget: it is not.
        """
        cost = wanted.estimate()
        if cost.credits is not None:
            self.budget.verify(cost, spent)
        request = wanted.request()  # an input that is wrong is told before a cost that is not known
        self.budget.verify(cost, spent)
        self.log.info("Credits, estimated: %s.%s", cost, self._shown_labels())
        return request, cost

    def _shown_labels(self) -> str:
        if not self.labels:
            return ""
        return f" Labels: {', '.join(f'{name}={value}' for name, value in self.labels.items())}."

    def _buy_without_memory(self, wanted: Wanted) -> Held | Receipt:
        must_ask = not self.is_first_try and self.wishes.on_ambiguous_submit != "resubmit"
        try:
            marks = wanted.marks()
            standing = self.keeper.found(marks, is_again=False) if self.keeper else None
        except LipsyncError as error:
            raise (forgotten(wanted.endpoint) if must_ask else error) from error.__cause__
        if standing is not None:
            return standing
        if must_ask:
            raise forgotten(wanted.endpoint)
        self.log.warning(
            "This Airflow has no task state store and the connection has no ledger_path: should this try die, the next "
            "one will not know its job, and will refuse to buy. Airflow 3.3, or ledger_path, mends that."
        )
        request, cost = self._affordable(wanted, Spent(is_known=self.is_first_try))
        submitted_at = self.now()
        try:
            job = self.submit(request)
        except LipsyncSubmitUncertain as error:
            raise ambiguous(error.message, wanted.endpoint, submitted_at, error) from error.__cause__
        self._tell_bought(job, wanted.endpoint, submitted_at + self.job_timeout)
        deadline = submitted_at + self.job_timeout
        return Held(job=job, deadline=deadline, marks=marks, is_new=True, submitted_at=submitted_at, cost=cost)

    def _look_at(self, job_id: str) -> Job | LipsyncError:
        """Return the job, or why it cannot be seen now, which says nothing about it. A refused key is raised."""
        seen = self.look(job_id)
        if isinstance(seen, Job):
            return seen
        if not isinstance(seen, LipsyncPollFault | LipsyncUnknownJob):
            raise seen
        self.log.warning("The look at job %s did not work: %s. This says nothing about the job.", job_id, seen.message)
        return seen

    def _renew(self, ledger: Ledger, record: Record) -> None:
        try:
            ledger.renew(record)
        except LipsyncLedgerUnavailable as error:
            raise LipsyncLedgerUnavailable(
                f"{error.message}. The job goes on.", job_id=record.job_id, charged=Charged.YES
            ) from error.__cause__

    def _deadline(self, submitted_at: float) -> float:
        return max(submitted_at + self.job_timeout, self.now() + self.job_timeout * _SHARE_OF_TIMEOUT)

    def _tell_bought(self, job: Job, endpoint: Endpoint, deadline: float) -> None:
        """Tell the id before anything else is done with it: this line outlives a worker that dies now."""
        self.log.info(
            "Job %s (%s) was bought and is charged; it has no cancel. Deadline: %s.",
            job.id,
            endpoint.value,
            moment(deadline),
        )

    def _tell_purchase(self, record: Record, plan: Plan) -> None:
        if record.state is State.REFUSED:
            return
        if plan.given_up:
            changed = f"the inputs changed ({', '.join(plan.changed)})" if plan.changed else "it was asked for"
            self.log.warning(
                "Job %s, bought at %s and not delivered, is given up: %s. It stays charged; LipsyncJobSensor(job=%r) "
                "still fetches it.",
                plan.given_up,
                moment(record.submitted_at),
                changed,
                plan.given_up,
            )
        else:
            what = f"job {record.job_id}" if record.job_id else "a submit that may have been charged"
            self.log.info("Buying anew: before there was %s (%s).", what, record.state.value)


def _unseen(job_id: str) -> Job:
    return Job(id=job_id, status=JobStatus.PROCESSING, raw_status=JobStatus.PROCESSING.value)
