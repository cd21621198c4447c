"""LipsyncDeliveryTrigger: waits for the webhook that tells of a job whose id was lost. It asks the vendor nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_lipsync._airflow import pull_own
from airflow_provider_lipsync.jobs.clock import asleep_until
from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY, delivered_job

__all__ = ["LipsyncDeliveryTrigger"]

_PAUSE = 60.0  # seconds between two reads: the receiver resumes the task itself, and this is the net below it


class LipsyncDeliveryTrigger(BaseTrigger):
    """Fires one event, ``{"status": "delivered" | "due", "nonce"}``: a delivery stands, or none came in time.

    What the delivery says is read where the task goes on: in the ledger, where the receiver wrote it.

    :param nonce: the ledger's name of the purchase.
    :param until: seconds since the epoch: wall-clock, so that a restart changes nothing.
    :param not_before: no event before it, seconds since the epoch: see
        :func:`~airflow_provider_lipsync.jobs.race.race_seconds`.
    """

    def __init__(self, *, nonce: str, until: float, not_before: float = 0.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nonce = nonce
        self.until = until
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again."""
        names = ("nonce", "until", "not_before")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        status = "due"
        await asleep_until(min(self.not_before, self.until))
        while True:
            if delivered_job(await pull_own(self.task_instance, DELIVERY_KEY), self.nonce) is not None:
                status = "delivered"
                break
            if time.time() >= self.until:
                break
            await asleep_until(min(time.time() + _PAUSE, self.until))
        yield TriggerEvent({"status": status, "nonce": self.nonce})  # type: ignore[no-untyped-call]
