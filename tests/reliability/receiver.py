"""A model of the webhook receiver: what it does in Airflow's database, done to the model of Airflow.

It believes a token for one purchase alone, and of the vendor's words only what the vendor itself says when it is asked.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.api.answers import read_job
from airflow_provider_lipsync.api.callback import CallbackRefused, read_token
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY, delivery_of, event_of
from airflow_provider_lipsync.jobs.memory import memory_of
from airflow_provider_lipsync.jobs.race import resume_seconds
from tests.reliability.airflow_model import State
from tests.reliability.story import Brought
from tests.support.tasks import FakeTaskInstance

if TYPE_CHECKING:
    from tests.reliability.schedule import Schedule

__all__ = ["EXTRAS", "Receiver"]

_SECRET = "5f0c1b2a" * 4
EXTRAS = {"webhook_base_url": "http://127.0.0.1:8080", "webhook_secret": _SECRET}
_RECORD = "lipsync_job"
_NINETY_DAYS = timedelta(days=90)


class Receiver:
    """The receiver of one schedule's Airflow."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule, self._airflow = schedule, schedule.airflow

    def take(self, url: str, job_id: str, *, when: str) -> str:
        """Take a delivery, and return in words what came of it.

        :param url: that the vendor was given with the submit.
        :param when: it comes, in words.
        """
        try:
            token = url.rpartition("/")[2]
            nonce = read_token(token, secrets={"lipsync_default": (_SECRET,)}, now=self._schedule.now()).nonce
        except CallbackRefused as refusal:
            return refusal.reason
        record = self._record()
        if record is None or record["nonce"] != nonce or record["state"] in ("delivered", "failed"):
            return "nothing waits for it"
        if record["job_id"] not in (None, job_id):
            return "another job"
        if (self._airflow.xcoms.get(DELIVERY_KEY) or {}).get("nonce") == nonce:
            return "told before"
        described = self._schedule.vendor.told(job_id)
        job = read_job(job_id, described)
        if record["job_id"] is None:
            if self._schedule.plan.memory != "store" or described["model"] != record["endpoint"]:
                return "its id cannot be brought back"
            self._bring(record, job_id, when)
        told = delivery_of(nonce, job, at=self._schedule.now())
        self._airflow.xcoms[DELIVERY_KEY] = json.loads(json.dumps(told))
        return self._hand_over(nonce, job)

    def _record(self) -> Any:
        ledger_path = self._schedule.connection_extra().get("ledger_path")
        return memory_of(
            {"task_state_store": self._airflow.store, "ti": FakeTaskInstance()}, ledger_path=ledger_path
        ).load()  # type: ignore[union-attr]

    def _bring(self, record: dict[str, Any], job_id: str, when: str) -> None:
        known = record | {"state": "bought", "job_id": job_id}
        self._airflow.store.set(_RECORD, known, retention=_NINETY_DAYS)
        self._schedule.story.add(Brought(process=0, job=job_id, when=when))

    def _hand_over(self, nonce: str, job: Job) -> str:
        """Resume the task if it waits for this purchase, and has done so for long enough."""
        if self._airflow.state is not State.DEFERRED or self._airflow.deferred.trigger.nonce != nonce:
            return "kept"
        if self._schedule.now() < self._schedule.deferred_at + resume_seconds():
            return "kept, and its trigger reads it"
        self._schedule.come_back(json.loads(json.dumps({**event_of(job), "nonce": nonce})))
        return "resumed"
