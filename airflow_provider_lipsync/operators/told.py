"""How an operator is told of its job by a webhook: the URL that the vendor gets, the wait for an id that was lost."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncError,
    LipsyncLedgerUnavailable,
    LipsyncMisconfigured,
)
from airflow_provider_lipsync.operators.base import BACKSTOP_SECONDS, slept_until
from airflow_provider_lipsync.operators.keeping import KeepingTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_lipsync.jobs.callbacks import CallbackUrls
    from airflow_provider_lipsync.jobs.ledger import Record
    from airflow_provider_lipsync.jobs.putting_off import Refusals

__all__ = ["ToldTask"]


class ToldTask(KeepingTask):
    """Mixed into an operator that buys."""

    use_webhook: bool | None
    on_ambiguous_submit: Any
    webhook_url: Any
    deferrable: bool

    def _callbacks(self) -> CallbackUrls | None:
        """Return what makes the URLs of our own receiver; None where it is not used.

        :raises LipsyncError: it is asked for, and cannot be; nothing was sent.
        """
        from airflow_provider_lipsync.jobs.callbacks import CallbackUrls

        if self.use_webhook is False:
            return None
        webhook = self.hook.settings.webhook
        obstacle = self._why_untold()
        if webhook is None or self._ledger is None or self._key is None or obstacle is not None:
            if self.use_webhook and obstacle is not None:
                raise obstacle
            return None
        return CallbackUrls(webhook=webhook, conn_id=self.lipsync_conn_id, key=self._key)

    def _why_untold(self) -> LipsyncError | None:
        if self.webhook_url:
            return LipsyncBadInput(
                "use_webhook=True: the job has a webhook_url, a receiver of your own, and the vendor tells only one. "
                "Nothing was sent."
            )
        if self.hook.settings.webhook is None:
            return LipsyncMisconfigured(
                f"use_webhook=True needs the extras webhook_base_url and webhook_secret of the connection "
                f"{self.lipsync_conn_id!r} (docs/webhooks.md). Nothing was sent."
            )
        if self._ledger is None:
            return LipsyncMisconfigured(
                "use_webhook=True needs a ledger: Airflow 3.3, or ledger_path in the connection. Nothing was sent."
            )
        return None

    def _await_delivery(self, context: Context, refusals: Refusals) -> bool:
        """Wait, where a submit's answer is not known, for the webhook that brings the job's id.

        Frees the worker for it if the task is deferrable. Who would rather pay twice waits for nothing, but an id that
        came meanwhile is taken.

        :return: whether the id is known by now; False where none can come, or none came in time.
        """
        from airflow_provider_lipsync.jobs.wording import moment

        if self.use_webhook is False:
            return False
        record = self._read_ledger()
        if record is None or record.job_id is not None:
            return record is not None
        until = None if self.on_ambiguous_submit is not None else self._brought_until(record)
        if until is None:
            return False
        self.log.warning(
            "A submit that left at %s may have been charged, and its job's id is not known: %s. Waiting until %s for "
            "the webhook that brings it back. Nothing is bought meanwhile.",
            moment(record.submitted_at),
            record.note or "whoever sent it ended before the answer was written down",
            moment(until),
        )
        if self.deferrable:
            self._defer_until_told(record, until, refusals)
        return self._watch_ledger(until)

    def _brought_until(self, record: Record) -> float | None:
        """Return until when a webhook may bring the id of a purchase back; None where none can (any more).

        With ``ledger_path`` none can: the receiver could not keep two writers of a folder apart.
        """
        from airflow_provider_lipsync.jobs.callbacks import deadline_of

        settings, until = self.hook.settings, deadline_of(record)
        if until is None or until <= time.time() or settings.webhook is None or settings.ledger_path is not None:
            return None
        return until

    def _defer_until_told(self, record: Record, until: float, refusals: Refusals) -> None:
        from airflow_provider_lipsync.jobs.race import net_seconds
        from airflow_provider_lipsync.triggers.delivery import LipsyncDeliveryTrigger

        now = time.time()
        self.defer(
            trigger=LipsyncDeliveryTrigger(nonce=record.nonce, until=until, not_before=now + net_seconds()),
            method_name="execute_again",
            kwargs={"since": refusals.since, "refusals": refusals.count, "nonce": record.nonce},
            timeout=timedelta(seconds=until - now + BACKSTOP_SECONDS),
        )

    def _watch_ledger(self, until: float) -> bool:
        while (now := time.time()) < until:
            slept_until(min(now + self._look_interval(), until))
            record = self._read_ledger()
            if record is not None and record.job_id is not None:
                return True
        return False

    def _take_delivery(self, context: Context, event: Any, nonce: str) -> None:
        """Write the id that a delivery brought, should it not stand in the ledger.

        The receiver writes it; this is for a write of ours that came a moment after it.
        """
        from airflow_provider_lipsync.jobs.ledger import State

        with contextlib.suppress(LipsyncLedgerUnavailable):  # told by whoever reads it next
            self._ledger = self._open_ledger(context)
            record = self._ledger.read() if self._ledger else None
            if self._ledger is None or record is None or record.job_id or record.nonce != nonce:
                return
            job_id = self._delivered_id(context, event, nonce)
            if job_id and record.state is State.INTENT:
                self._ledger.bought(record, job_id)

    def _delivered_id(self, context: Context, event: Any, nonce: str) -> str | None:
        from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY, delivered_job

        # The nonce, for SQLite gives ids of triggers again, and what an old trigger fires then resumes somebody else.
        told = isinstance(event, dict) and event.get("nonce") == nonce
        if told and event.get("status") in ("completed", "failed"):
            return str(event["job_id"])
        ti = context["ti"]
        with contextlib.suppress(Exception):  # a custom XCom backend: it has not written it
            told = ti.xcom_pull(task_ids=ti.task_id, key=DELIVERY_KEY, map_indexes=ti.map_index)
            job = delivered_job(told, nonce)
            return job.id if job else None
        return None

    def _read_ledger(self) -> Record | None:
        try:
            return self._ledger.read() if self._ledger else None
        except LipsyncLedgerUnavailable as error:
            self.log.warning("%s", error.message)
            return None
