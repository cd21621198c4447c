"""What the sandbox remembers: jobs, charges and refusals, in memory alone, gone when it exits."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_provider_lipsync.api.credits import charged_seconds, estimate_credits
from airflow_provider_lipsync.api.models import JobStatus
from airflow_provider_lipsync.sandbox.job_faults import JobFaults
from airflow_provider_lipsync.sandbox.validate import Submit

__all__ = ["Delivery", "Record", "Store", "now"]

_REFUSALS_KEPT = 1000  # the newest: a client in a loop must not fill the memory


def now() -> str:
    """Return the present time in ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One try to deliver a webhook; the vendor states no second one.

    :param at: when, in ISO 8601.
    :param status: HTTP status of the receiver's answer; None = there was none.
    :param error: why there was none; empty otherwise.
    """

    at: str
    status: int | None = None
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the try as the ledger shows it."""
        delivered = self.status is not None and 200 <= self.status < 300
        return {"at": self.at, "delivered": delivered, "status": self.status, "error": self.error}


@dataclass(kw_only=True)
class Record:
    """One accepted submit, and what became of it.

    :param submit: what was asked for.
    :param body: the request's body, as the ledger shows it.
    :param key_id: name of the key that it came with.
    :param origin: scheme and host that the client used, for the URL of the output.
    :param job_faults: what was decided to go wrong with the job.
    """

    submit: Submit
    body: Any
    key_id: str
    origin: str
    job_faults: JobFaults = field(default_factory=JobFaults)
    id: str = field(default_factory=lambda: str(uuid4()))
    submitted_at: str = field(default_factory=now)
    started: float = field(default_factory=time.monotonic)
    finished: float = 0.0  # on the clock of `started`
    finished_at: str | None = None
    status: JobStatus = JobStatus.PROCESSING
    error: str = ""
    execution_ms: int | None = None
    video: Path | None = None
    seconds_charged: int | None = None
    fetched: int = 0
    is_delivered: bool = False  # to the last byte
    polls: int = 0
    deliveries: list[Delivery] = field(default_factory=list)
    is_hidden: bool = False  # finished, but queries still say processing
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults += self.job_faults.names

    def note_fault(self, name: str) -> None:
        """Remember a fault that hit this job's submit, query or download."""
        if name not in self.faults:
            self.faults.append(name)

    def charge(self, lengths: dict[str, float]) -> None:
        """Charge for media of these lengths in seconds; the minimum where a length that counts is not known."""
        known = {name: length for name, length in lengths.items() if name != "image"}
        seconds = charged_seconds(self.submit.endpoint, order=self.submit.order, **known)
        self.seconds_charged = seconds if seconds is not None else charged_seconds("lipsync-image", audio=0)

    def complete(self, video: Path | None) -> None:
        """Mark the job as completed; None as the video = the canned one."""
        self.video = video
        self.status = JobStatus.COMPLETED
        self.finished, self.finished_at = time.monotonic(), now()
        self.execution_ms = max(1, math.ceil((self.finished - self.started) * 1000))

    def fail(self, error: str) -> None:
        """Mark the job as failed, in the vendor's manner of words."""
        self.error = error
        self.status = JobStatus.FAILED
        self.finished, self.finished_at = time.monotonic(), now()

    @property
    def is_over(self) -> bool:
        """Whether it is finished, and a query tells so."""
        return self.status.is_terminal and not self.is_hidden

    @property
    def is_ready(self) -> bool:
        """Whether there is a video to serve."""
        return self.status is JobStatus.COMPLETED and self.job_faults.has_output

    @property
    def is_unfetched(self) -> bool:
        """Whether it was completed, and so charged, and nobody ever fetched its video to the last byte."""
        return self.status is JobStatus.COMPLETED and not self.is_delivered

    def note_delivery(self) -> None:
        """Remember that the video was fetched to its last byte."""
        self.is_delivered = True

    def look(self) -> dict[str, Any] | None:
        """Count a query, and return the job as it is answered; None = there is none."""
        self.polls += 1
        if self.job_faults.is_gone(self.polls):
            return None
        word = self.job_faults.status_word(self.polls)
        if word is not None or not self.is_over:
            return self._unfinished(word or JobStatus.PROCESSING.value)
        self.job_faults.hand_out_query()
        return self.job()

    def job(self) -> dict[str, Any]:
        """Return the finished job as the webhook carries it."""
        return {
            "id": self.id,
            "model": self.submit.endpoint.value,
            "status": self.status.value,
            "output": f"{self.origin}/outputs/{self.id}.mp4{self.job_faults.query}" if self.is_ready else None,
            "error": self.error,
            "executionTime": self.execution_ms,
            "timings": None,
        }

    def refuse_fetch(self, token: str | None) -> int | None:
        """Return the status that a fetch of the video is turned down with; None = it is served.

        :param token: of the URL that is fetched; None = it has none.
        """
        return self.job_faults.refuse_fetch(token, age=time.monotonic() - self.finished, fetches=self.fetched)

    def _unfinished(self, status: str) -> dict[str, Any]:
        nothing = {"output": None, "error": "", "executionTime": None, "timings": None}
        return {"id": self.id, "model": "lipsync", "status": status, **nothing}

    def entry(self) -> dict[str, Any]:
        """Return the line of the ledger."""
        return {
            "job_id": self.id,
            "endpoint": self.submit.endpoint.value,
            "key_id": self.key_id,
            "body": self.body,
            "warnings": list(self.submit.warnings),
            "submitted_at": self.submitted_at,
            "finished_at": self.finished_at,
            "status": self.status.value,
            "error": self.error,
            "seconds_charged": self.seconds_charged,
            "credits_charged": estimate_credits(self.seconds_charged, self.submit.resolution),
            "polls": self.polls,
            "fetched": self.fetched,
            "webhook_deliveries": [delivery.as_dict() for delivery in self.deliveries],
            "faults": list(self.faults),
        }


class Store:
    """All jobs of a running sandbox, and the submits that it refused."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.refusals: deque[dict[str, Any]] = deque(maxlen=_REFUSALS_KEPT)

    def refuse(
        self, *, endpoint: str, key_id: str | None, status: int, error: str, body: Any, faults: list[str]
    ) -> None:
        """Remember a submit that was refused, and so not charged."""
        answer = {"http_status": status, "error": error}
        self.refusals.append(
            {"endpoint": endpoint, "key_id": key_id, "at": now(), **answer, "body": body, "faults": faults}
        )

    def find(self, job_id: str, key_id: str | None = None) -> Record | None:
        """Return a job, where a key is named only if it is that key's."""
        record = self.records.get(job_id)
        return record if record is not None and key_id in (None, record.key_id) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the whole ledger."""
        unfetched = [record.id for record in self.records.values() if record.is_unfetched]
        submits = [record.entry() for record in self.records.values()]
        return {"submits": submits, "refused": list(self.refusals), "unfetched": unfetched}

    def clear(self) -> None:
        """Forget everything."""
        self.records.clear()
        self.refusals.clear()
