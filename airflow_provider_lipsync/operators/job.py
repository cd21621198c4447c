"""What the three operators share. They buy a job on a worker, and free it while the job renders."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_lipsync.api import check
from airflow_provider_lipsync.api.models import Job, Resolution
from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError
from airflow_provider_lipsync.jobs.outcome import LipsyncResult, as_task_error, result_of
from airflow_provider_lipsync.jobs.wishes import (
    IfExists,
    OnAmbiguousSubmit,
    OnChangedInput,
    OnClear,
    OnNoCredits,
    Wishes,
    checked_if_exists,
)
from airflow_provider_lipsync.links import LipsyncPlayerLink
from airflow_provider_lipsync.operators.buying import BuyingTask
from airflow_provider_lipsync.operators.inputs import seconds
from airflow_provider_lipsync.operators.keeping import announce
from airflow_provider_lipsync.operators.lineage import LineageTask
from airflow_provider_lipsync.operators.remembering import tell_success

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_lipsync.jobs.purchase import Held
    from airflow_provider_lipsync.media.receipt import Receipt

__all__ = ["COMMON_FIELDS", "JobOperator"]

COMMON_FIELDS = (
    *("resolution", "prompt", "seed", "extra_form_state", "webhook_url", "lipsync_conn_id", "resume_job_id"),
    *("output_path", "output_options", "labels", "max_credits"),
)


class JobOperator(LineageTask, BuyingTask, BaseOperator):
    """What the three operators share: buy one job, hand on its id at once, wait for it, hand on its result.

    What a retry or a clear does about the job of an earlier try is told in ``docs/reliability.md``.

    :param resolution: ``480p`` (2 credits a second) or ``720p`` (4 credits a second).
    :param prompt: style guidance.
    :param seed: integer, for reproducible results.
    :param extra_form_state: fields added to the request's ``formState`` as they are, over any known one: for what the
        vendor added after this release.
    :param lipsync_conn_id: connection of type ``lipsync``.
    :param wait_for_completion: False hands on the result at once, with status ``processing``; wait for it by
        :class:`~airflow_provider_lipsync.sensors.lipsync.LipsyncJobSensor`.
    :param deferrable: whether the worker is freed while the job renders, and where the vendor puts off the submit (429)
        for longer than a minute; see ``docs/limits.md``.
    :param poll_interval: seconds between two looks at the job.
    :param job_timeout: seconds (or a timedelta) from the submit, after which the task gives up. The job has no cancel:
        it runs on and stays charged. A try that re-attaches waits for at least a third of it. A submit that is put off
        leaves within as long from the beginning of the try.
    :param webhook_url: https URL of a receiver of your own, which the vendor tells of the finished job.
    :param use_webhook: whether the vendor tells this Airflow of the finished job, by the provider's own receiver.
        None = where the connection has ``webhook_base_url`` and ``webhook_secret``, and no ``webhook_url`` is given;
        True fails without them before anything is sent. See ``docs/webhooks.md``.
    :param on_ambiguous_submit: what to do where an earlier submit may have been charged and its id is not known: None
        waits for a webhook that brings it back, if one is used, and then fails and asks a person; ``resubmit`` buys,
        and may so pay twice.
    :param on_clear: what a clear does: ``auto`` buys what was delivered or failed and re-attaches to what was not
        delivered, ``resubmit`` always buys, ``reuse`` never buys what was delivered (other inputs were not).
    :param on_changed_input: what a retry does whose inputs are not those of the job that is not delivered yet:
        ``fail``, ``reattach`` (take that job all the same; a clear, too), or ``resubmit`` (buy).
    :param resume_job_id: a job that you found at the vendor, to wait for it and buy nothing; empty = none.
    :param output_path: where the finished video is to stand, e.g. ``s3://aws_default@bucket/{{ ds }}.mp4``; None leaves
        it at the vendor. See ``docs/media.md``.
    :param if_exists: what to do where something stands there: ``reuse`` takes it and buys nothing if it was made of the
        same inputs (else fails before anything is paid), ``replace`` buys and puts the video in its place once it is
        whole, ``fail`` refuses.
    :param output_options: given to the storage with the video, e.g. ``{"ServerSideEncryption": "aws:kms"}`` on S3.
    :param labels: what the bill is to be split by, e.g. ``{"client": "acme", "cost_centre": "{{ params.centre }}"}``:
        at most 16; they go into the result, the log, the receipt, the asset events and the pages.
    :param max_credits: credits that this task may spend, all of its tries and clears together; a job that would cost
        more, or whose cost cannot be known, is refused before anything is sent. None = no limit but the connection's
        ``max_credits_per_job``. See ``docs/credits.md``.
    :param on_no_credits: what to do where the account has too few credits (402, nothing is charged): ``fail`` at once,
        or ``retry`` as ``retries`` and ``retry_delay`` say.
    :raises LipsyncBadInput: a value cannot be sent; nothing was charged.
    :raises LipsyncOverBudget: it would cost too much; nothing was sent, and it is not retried.
    :raises LipsyncNoCredits: the account has too few credits; nothing was charged.
    :raises LipsyncMediaUnavailable: a storage does not answer; nothing was charged.
    :raises LipsyncOutputExists: something else stands under ``output_path``.
    :raises LipsyncTransferFailed: the video could not be stored; it is at the vendor, and a retry stores it.
    :raises LipsyncRateLimited: the vendor put off the submit for too long; nothing was charged, and it is retried.
    :raises LipsyncSubmitUncertain: the job may exist and may have been charged; it is not retried.
    :raises LipsyncLedgerUnavailable: the ledger cannot be used; nothing was sent.
    :raises LipsyncInputChanged: see ``on_changed_input``.
    :raises LipsyncJobFailed: the vendor says that the job failed.
    :raises LipsyncJobTimeout: the job was not seen finished in time; a retry or clear waits on for it.
    :return: :class:`~airflow_provider_lipsync.jobs.outcome.LipsyncResult`.
    """

    template_fields: Sequence[str] = COMMON_FIELDS
    template_fields_renderers: ClassVar[dict[str, str]] = {"extra_form_state": "json"}
    ui_color = "#f6e7f7"

    def __init__(
        self,
        *,
        resolution: str | XComArg = Resolution.P480.value,
        prompt: str | XComArg | None = None,
        seed: int | str | XComArg | None = None,
        extra_form_state: Mapping[str, Any] | str | XComArg | None = None,
        lipsync_conn_id: str = "lipsync_default",
        wait_for_completion: bool = True,
        deferrable: bool = True,
        poll_interval: float = 5.0,
        job_timeout: float | timedelta = 1800,
        webhook_url: str | XComArg | None = None,
        on_ambiguous_submit: OnAmbiguousSubmit | None = None,
        on_clear: OnClear = "auto",
        on_changed_input: OnChangedInput = "fail",
        resume_job_id: str | XComArg | None = None,
        output_path: str | ObjectStoragePath | XComArg | None = None,
        if_exists: IfExists = "reuse",
        output_options: Mapping[str, Any] | XComArg | None = None,
        labels: Mapping[str, str] | XComArg | None = None,
        max_credits: int | str | XComArg | None = None,
        on_no_credits: OnNoCredits = "fail",
        use_webhook: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = [tell_success, *self.on_success_callback]
        self.resolution = resolution
        self.prompt = prompt
        self.seed = seed
        self.extra_form_state = extra_form_state
        self.lipsync_conn_id = lipsync_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.job_timeout = seconds("job_timeout", job_timeout)
        self.webhook_url = webhook_url
        self.on_ambiguous_submit = on_ambiguous_submit
        self.on_clear = on_clear
        self.on_changed_input = on_changed_input
        self.resume_job_id = resume_job_id
        self.output_path = output_path
        self.if_exists = if_exists
        self.output_options = output_options
        self.labels = labels
        self.max_credits = max_credits
        self.on_no_credits = on_no_credits
        self.use_webhook = use_webhook
        self._wishes()
        self._check_webhook()
        self._check_output()

    operator_extra_links = (LipsyncPlayerLink(),)

    def execute(self, context: Context) -> LipsyncResult:
        """Find or buy the job and wait for it; see the class."""
        return self._find_or_buy(context, since=time.time())

    def execute_again(
        self,
        context: Context,
        event: Any = None,
        since: float | None = None,
        refusals: int = 0,
        nonce: str | None = None,
    ) -> LipsyncResult:
        """Come back from the timer of a refused submit, or from the wait for a lost id, and go the whole way again.

        Safe to run twice.

        :param event: what the trigger fired, or the webhook receiver in its place.
        :param since: seconds since the epoch, when the try began; None = as Airflow has it.
        :param refusals: how often a submit of this try was refused.
        :param nonce: the ledger's name of the purchase whose id was lost; None = it was a refused submit.
        """
        if nonce is not None:
            self._take_delivery(context, event, nonce)
        return self._find_or_buy(context, since=since or _beginning(context), refusals=refusals)

    def _find_or_buy(self, context: Context, *, since: float, refusals: int = 0) -> LipsyncResult:
        from airflow_provider_lipsync.jobs.putting_off import Refusals

        try:
            held = self._hold(context, Refusals(since=since, count=refusals))
            result = self._bring(context, held)
        except LipsyncError as error:
            raise self._failed(context, error) from None
        finally:
            self._close()
        announce(self.outlets, context, result, log=self.log)
        return result

    def _bring(self, context: Context, held: Held | Receipt) -> LipsyncResult:
        """Hand the id on at once, then return the result."""
        from airflow_provider_lipsync.jobs.card import CARD_KEY
        from airflow_provider_lipsync.jobs.purchase import Held

        job_id = held.job.id if isinstance(held, Held) else held.job_id
        self._push(context, "job_id", job_id, job_id)
        self._push(context, CARD_KEY, dict(self._card(held)), job_id)
        return self._follow(held) if isinstance(held, Held) else self._take(held)

    def _follow(self, held: Held) -> LipsyncResult:
        if not self.wait_for_completion:
            self._handed_on = held.job.id
            return result_of(held.job, self._told)
        ended = self._first_look_at(held)
        return self._hand_on(ended) if ended else self._wait(held.job.id, held.deadline)

    def _first_look_at(self, held: Held) -> Job | None:
        """Return the job if it has ended already; one that an earlier try bought was looked at just now."""
        if not held.is_new:
            return held.job if held.job.status.is_terminal else None
        self.log.info("Jobs typically take %.0f-%.0f s.", *self.hook.settings.typical_seconds)
        return self._first_look(held.job.id)

    def _wishes(self) -> Wishes:
        try:
            return Wishes(
                on_clear=self.on_clear,
                on_ambiguous_submit=self.on_ambiguous_submit,
                on_changed_input=self.on_changed_input,
                on_no_credits=self.on_no_credits,
            )
        except ValueError as error:
            raise as_task_error(LipsyncBadInput(str(error)), AirflowFailException) from None

    def _check_webhook(self) -> None:
        """Refuse, while the DAG is being written, a switch that is none.

        :raises LipsyncBadInput: see the message.
        """
        if self.use_webhook not in (None, True, False):
            error = LipsyncBadInput(f"use_webhook: allowed are None, True and False; got {self.use_webhook!r}")
            raise as_task_error(error, AirflowFailException)

    def _check_output(self) -> None:
        """Refuse, while the DAG is being written, an output that cannot be.

        :raises LipsyncBadInput: see the message.
        """
        try:
            checked_if_exists(self.if_exists)
        except LipsyncBadInput as error:
            raise as_task_error(error, AirflowFailException) from None
        if self.output_path is not None and not self.wait_for_completion:
            message = (
                "output_path: needs wait_for_completion=True; or store the video behind the sensor, by "
                "LipsyncToObjectStorageOperator"
            )
            raise as_task_error(LipsyncBadInput(message), AirflowFailException)

    def _has_local_media(self) -> bool:
        try:
            found = self._media(check.checked_mapping("extra_form_state", self.extra_form_state)).values()
        except LipsyncBadInput:  # nothing was staged of it
            return False
        return any(medium.way == "local" for medium in found)

    def _wait_seconds(self) -> float:
        return self.job_timeout

    def _look_interval(self) -> float:
        return self.poll_interval

    def _kind(self) -> str:
        return f"{self.request_class.endpoint.value} {self.resolution}"


def _beginning(context: Context) -> float:
    """Return when this try began, in seconds since the epoch: Airflow keeps it across deferrals."""
    started = getattr(context["ti"], "start_date", None)
    return float(started.timestamp()) if started else time.time()
