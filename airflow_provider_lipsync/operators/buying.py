"""How an operator buys: every check, then the one POST that costs credits. Nothing else sends it.

Where the vendor asks to come back much later, the worker is freed, and a timer brings the task back to try again.
"""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_lipsync.api import check
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncError,
    LipsyncInputChanged,
    LipsyncLedgerUnavailable,
    LipsyncNoCredits,
    LipsyncRateLimited,
    LipsyncSubmitUncertain,
)
from airflow_provider_lipsync.jobs.outcome import LipsyncKnown, as_submit_error
from airflow_provider_lipsync.operators.base import BACKSTOP_SECONDS
from airflow_provider_lipsync.operators.inputs import JobInputs
from airflow_provider_lipsync.operators.told import ToldTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_lipsync.api.models import Job, SubmitRequest
    from airflow_provider_lipsync.jobs.budget import Budget
    from airflow_provider_lipsync.jobs.card import Card
    from airflow_provider_lipsync.jobs.purchase import Held
    from airflow_provider_lipsync.jobs.putting_off import Refusals
    from airflow_provider_lipsync.jobs.wishes import Wishes
    from airflow_provider_lipsync.media.receipt import Receipt
    from airflow_provider_lipsync.media.staging import Staging
    from airflow_provider_lipsync.operators.wanted import WantedJob

__all__ = ["BuyingTask"]

# Ids that one try can wait for: that of an earlier try's job, and, if that one failed, of the job that it buys itself.
_MOST_LOST = 2


class BuyingTask(ToldTask, JobInputs):
    """Mixed into an operator: it finds or buys the job of a try."""

    on_no_credits: Any
    labels: Any
    max_credits: Any
    deferrable: bool

    _staged: Staging | None = None
    _asked: WantedJob | None = None
    _labels: dict[str, str] | None = None

    def _wishes(self) -> Wishes:
        """Return what the user wants done about earlier jobs."""
        raise NotImplementedError

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from Airflow; see :meth:`JobTask.resume_execution`. Where no job was waited for: try again."""
        from airflow_provider_lipsync._airflow import trigger_failure

        failure = trigger_failure(next_method, next_kwargs)
        if failure is not None and self._has_no_job(context):
            self.log.warning("What this task waited for ended (%s): going on now.", failure["message"])
            next_method, next_kwargs = "execute_again", {}
        return super().resume_execution(next_method, next_kwargs, context)

    def _has_no_job(self, context: Context) -> bool:
        """Whether this task was deferred for a refused submit or a lost id, not for a job; in doubt it was a job."""
        from airflow_provider_lipsync.jobs.ledger import State

        with contextlib.suppress(Exception):
            ledger = self._open_ledger(context)
            record = ledger.read() if ledger else None
            if record is None or record.state is State.REFUSED:
                return record is not None
            ti = context["ti"]
            return ti.xcom_pull(task_ids=ti.task_id, key="job_id", map_indexes=ti.map_index) is None
        return False

    def _hold(self, context: Context, refusals: Refusals) -> Held | Receipt:
        """Check everything, then return the job of this try; the one POST that costs credits is sent in here."""
        from airflow_provider_lipsync.jobs.purchase import Held
        from airflow_provider_lipsync.jobs.putting_off import is_put_off

        try:
            self._open_files(context)
            held = self._purchase_or_await(context, refusals)
        except LipsyncError as error:
            if not isinstance(error, LipsyncSubmitUncertain):
                self._give_up_copies()
            error = self._with_known_job(context, error)
            if isinstance(error, LipsyncRateLimited) and is_put_off(error):
                error = self._put_off(error, refusals)
            if error.job_id is None or isinstance(error, LipsyncInputChanged):
                raise as_submit_error(error, retried=self._retried()) from error.__cause__
            raise error from error.__cause__
        if isinstance(held, Held):
            self._job_id, self._marks, self._submitted_at = held.job.id, held.marks, held.submitted_at
            self._told = LipsyncKnown(credits_estimated=held.cost.credits, labels=self._labels)
            if held.is_new:
                self._count_purchase(held)
        return held

    def _retried(self) -> tuple[type[LipsyncError], ...]:
        """Return what is tried again because the user asked for it."""
        resubmits = self.on_ambiguous_submit == "resubmit"
        retries = self.on_no_credits == "retry"
        return (*((LipsyncSubmitUncertain,) * resubmits), *((LipsyncNoCredits,) * retries))

    def _recalled(self, job_id: str) -> LipsyncKnown | None:
        cost = self._ledger.cost_of(job_id) if self._ledger else None
        try:
            labels = check.checked_labels(self.labels)
        except LipsyncError:  # a template that renders to something else now: the job was bought all the same
            labels = None
        return LipsyncKnown(credits_estimated=cost.credits if cost else None, labels=labels)

    def _count_purchase(self, held: Held) -> None:
        from airflow_provider_lipsync.metrics import count_purchase

        count_purchase(held.cost.credits, conn_id=self.lipsync_conn_id, model=self._model(), labels=self._labels)

    def _put_off(self, error: LipsyncRateLimited, refusals: Refusals) -> LipsyncRateLimited:
        """Free the worker until the vendor may take a submit; return what to raise where that cannot be."""
        from airflow_provider_lipsync.jobs.putting_off import held
        from airflow_provider_lipsync.jobs.wording import moment
        from airflow_provider_lipsync.triggers.timer import LipsyncTimerTrigger

        if not self.deferrable:
            return held(error)
        from airflow_provider_lipsync.metrics import count

        count("rate_limited", conn_id=self.lipsync_conn_id, model=self._model())
        now = time.time()
        found = refusals.next_submit(error.retry_after, now=now, job_timeout=self.job_timeout)
        if found is None:
            return refusals.over(error, job_timeout=self.job_timeout)
        until, known = found
        self.log.warning(
            "Nothing was bought: %s. Freeing the worker until %s; then the task submits again. That uses up no retry.",
            error.message,
            moment(until),
        )
        self.defer(
            trigger=LipsyncTimerTrigger(until=until),
            method_name="execute_again",
            kwargs={"since": known.since, "refusals": known.count},
            timeout=timedelta(seconds=until - now + BACKSTOP_SECONDS),
        )

    def _purchase_or_await(self, context: Context, refusals: Refusals) -> Held | Receipt:
        for _ in range(_MOST_LOST):
            try:
                return self._purchase(context, since=refusals.since)
            except LipsyncSubmitUncertain:
                if not self._await_delivery(context, refusals):
                    raise
        return self._purchase(context, since=refusals.since)  # the id is known by now

    def _purchase(self, context: Context, *, since: float) -> Held | Receipt:
        from airflow_provider_lipsync.jobs.purchase import Purchase

        budget, self._labels = self._budget(), check.checked_labels(self.labels)
        self._staged = self._staging()
        wanted, resumed = self._wanted(self._fetcher(), self._staged), self._resumed_id()
        self._asked = wanted
        self._ledger = self._open_ledger(context)
        purchase = Purchase(
            submit=self._submit,
            look=self.hook.look,
            ledger=self._ledger,
            keeper=self._keeper,
            wishes=self._wishes(),
            budget=budget,
            labels=self._labels,
            callbacks=self._callbacks(),
            is_first_try=context["ti"].try_number <= 1,
            began_at=since,
            job_timeout=self.job_timeout,
            log=self.log,
        )
        return purchase.job_for(wanted, resume_job_id=resumed)

    def _budget(self) -> Budget:
        from airflow_provider_lipsync.jobs.budget import Budget

        limit = check.checked_credits("max_credits", self.max_credits)
        if limit is None and self.max_credits is not None:  # a slip in a template must not lift a limit unseen
            self.log.warning("max_credits is %r: the task has no limit of its own.", self.max_credits)
        return Budget(
            of_operator=limit,
            of_connection=self.hook.settings.max_credits_per_job,
            conn_id=self.lipsync_conn_id,
        )

    def _card(self, found: Held | Receipt) -> Card:
        """Return what the pages read of this task."""
        from airflow_provider_lipsync.jobs.card import card_of
        from airflow_provider_lipsync.links import player_url
        from airflow_provider_lipsync.media.places import shown

        asked = self._asked
        assert asked is not None
        assert self._key is not None
        form = {**asked.values, **asked.values["extra_form_state"]}
        resolution, seed = form.get("resolution"), form.get("seed")
        return card_of(
            found,
            endpoint=asked.endpoint.value,
            resolution=None if resolution is None else str(resolution),
            labels=self._labels,
            inputs={name: source.shown for name, source in asked.sources.items()},
            seed=seed if isinstance(seed, int) else None,
            conn_id=self.lipsync_conn_id,
            output_path=None if self.output_path is None else shown(self.output_path),
            player_url=player_url(self._key),
        )

    def _give_up_copies(self) -> None:
        """Remove the copies that this try made: there is no job that could want them."""
        if self._staged is not None:
            self._staged.give_up()

    def _with_known_job(self, context: Context, error: LipsyncError) -> LipsyncError:
        """Name the job of an earlier try that waits to be handed on, where this one broke before it was looked for."""
        from airflow_provider_lipsync.jobs.ledger import State

        if error.job_id is not None or isinstance(error, LipsyncLedgerUnavailable | LipsyncSubmitUncertain):
            return error
        with contextlib.suppress(Exception):
            ledger = self._ledger or self._open_ledger(context)
            record = ledger.read() if ledger else None
            if record is not None and record.state is State.BOUGHT:
                told: dict[str, Any] = {**error.details(), "job_id": record.job_id, "charged": Charged.YES}
                named = type(error)(f"{error.message} Job {record.job_id}, bought by an earlier try, is kept.", **told)
                return as_submit_error(named)
        return error

    def _submit(self, request: SubmitRequest) -> Job:
        try:
            job = self.hook.client.submit(request, before_each=self._check_alive)
        except AirflowTaskTimeout:
            message = "execution_timeout ended the submit before its answer came."
            raise LipsyncSubmitUncertain(message) from None
        self._note_job(job.id)
        return job

    def _check_alive(self) -> None:
        """Refuse to buy for a task that was ended meanwhile."""
        if self._killed:
            raise LipsyncError("the task was ended from outside before anything was bought", charged=Charged.NO)

    def _push(self, context: Context, key: str, value: Any, job_id: str) -> None:
        """Hand something on at once; if Airflow cannot take it now, the job is paid for all the same, and goes on."""
        try:
            context["ti"].xcom_push(key=key, value=value)
        except Exception:
            self.log.warning("The %s of job %s could not be pushed to XCom; going on.", key, job_id, exc_info=True)
