"""Every vendor at once: https on loopback, just the answers that the waiting asks for, counted.

Run as ``benchmarks.waiting.vendor CERTIFICATE KEY``; it prints the port of the vendors and one, in plain http, at which
``GET /reset`` starts the counting anew and ``GET /counts`` tells it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from benchmarks.waiting.jobs import end_of, milliseconds_of
from benchmarks.waiting.measuring import allow_open_files

__all__ = ["main"]

_BACKLOG = 4096
_Answer = tuple[int, dict[str, Any]]


def _lipsync(job: str, done: bool) -> _Answer:
    if not done:
        return 200, {"id": job, "model": "lipsync", "status": "processing", "output": None, "error": ""}
    return 200, {
        "id": job,
        "model": "lipsync-image",
        "status": "completed",
        "output": "https://cdn.example.com/video.mp4",
        "error": "",
        "executionTime": milliseconds_of(uuid.UUID(job).int),
        "timings": None,
    }


def _json_job(job: str, done: bool) -> _Answer:
    return (200 if done else 404), {"id": job, "status": "completed" if done else "processing"}


def _dbt(job: str, done: bool) -> _Answer:
    return 200, {"data": {"id": int(job), "status": 10 if done else 3}, "status": {"code": 200, "is_success": True}}


def _databricks(job: str, done: bool) -> _Answer:
    state = {"life_cycle_state": "TERMINATED" if done else "RUNNING", "state_message": ""}
    return 200, {"run_id": int(job), "state": state | ({"result_state": "SUCCESS"} if done else {})}


def _fivetran(job: str, done: bool) -> _Answer:
    data = {
        "id": job,
        "service": "s3",
        "schema": "bench",
        "paused": False,
        "succeeded_at": "2030-01-01T00:00:00.000000Z" if done else "2020-01-01T00:00:00.000000Z",
        "failed_at": None,
        "status": {
            "setup_state": "connected",
            "sync_state": "scheduled" if done else "syncing",
            "update_state": "on_schedule",
        },
    }
    return 200, {"code": "Success", "data": data}


def _anthropic(job: str, done: bool) -> _Answer:
    return 200, {
        "id": job,
        "type": "message_batch",
        "processing_status": "ended" if done else "in_progress",
        "request_counts": {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2036-01-01T00:00:00Z",
        "ended_at": "2026-01-01T00:00:00Z" if done else None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": None,
    }


_ROUTES: tuple[tuple[re.Pattern[bytes], Callable[[str, bool], _Answer]], ...] = tuple(
    (re.compile(pattern), answer)
    for pattern, answer in (
        (rb"/api/v1/jobs/([0-9a-f-]+)", _lipsync),
        (rb"/json/jobs/(\d+)", _json_job),
        (rb"/api/v2/accounts/\d+/runs/(\d+)", _dbt),
        (rb"/api/2\.\d/jobs/runs/get\D+(\d+)", _databricks),
        (rb"/v1/connect(?:ions|ors)/(\d+)", _fivetran),
        (rb"/v1/messages/batches/(\d+)", _anthropic),
    )
)


class Counts:
    """What was asked, and how late the ends of the jobs were seen."""

    def __init__(self) -> None:
        self.open = self.most_open = self.connections = 0
        self.polls = self.strange = 0
        self.lags: dict[int, float] = {}

    def reset(self) -> None:
        self.polls = self.strange = self.connections = 0
        self.most_open = self.open
        self.lags = {}

    def opened(self) -> None:
        self.open += 1
        self.connections += 1
        self.most_open = max(self.most_open, self.open)

    def told(self) -> dict[str, float]:
        lags = sorted(self.lags.values())
        return {
            "polls": self.polls,
            "strange": self.strange,
            "seen": len(lags),
            "lag": statistics.fmean(lags) if lags else 0.0,
            "lag95": lags[int(len(lags) * 0.95)] if lags else 0.0,
            "open": self.open,
            "most_open": self.most_open,
            "connections": self.connections,
        }


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as GETs need it: one head, then its answer."""

    def __init__(self, counts: Counts, answer: Callable[[bytes], _Answer], *, counted: bool) -> None:
        self._counts, self._answer, self._counted = counts, answer, counted
        self._came = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._counted:
            self._counts.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted:
            self._counts.open -= 1

    def data_received(self, data: bytes) -> None:
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            head = self._came[:end]
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._came) < whole:
                return
            asked, self._came = self._came[end + 4 : whole], self._came[whole:]
            status, found = self._answer(head.split(b" ", 2)[1] + asked)  # databricks GETs with a body
            body = json.dumps(found).encode()
            self._transport.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (status, b"OK" if status == 200 else b"Not Found", len(body), body)
            )


class Vendor:
    """Answers, and counts what it answered."""

    def __init__(self) -> None:
        self.counts = Counts()

    def answer(self, path: bytes) -> _Answer:
        for pattern, describe in _ROUTES:
            if found := pattern.match(path):
                return self._about(found[1].decode(), describe)
        self.counts.strange += 1
        return 404, {"error": "no such path"}

    def control(self, path: bytes) -> _Answer:
        if path == b"/reset":
            self.counts.reset()
        return 200, self.counts.told()

    def _about(self, job: str, describe: Callable[[str, bool], _Answer]) -> _Answer:
        self.counts.polls += 1
        number = uuid.UUID(job).int if "-" in job else int(job)
        late = time.time() - end_of(number)
        if late >= 0:
            self.counts.lags.setdefault(number, late)
        return describe(job, late >= 0)


async def _serve(certificate: str, key: str) -> None:
    vendor, loop = Vendor(), asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    vendors = await loop.create_server(
        lambda: _Connection(vendor.counts, vendor.answer, counted=True), "127.0.0.1", 0, ssl=context, backlog=_BACKLOG
    )
    control = await loop.create_server(
        lambda: _Connection(vendor.counts, vendor.control, counted=False), "127.0.0.1", 0
    )
    ports = [server.sockets[0].getsockname()[1] for server in (vendors, control)]
    sys.stdout.write("{} {}\n".format(*ports))
    sys.stdout.flush()
    await asyncio.get_running_loop().create_future()


def main(certificate: str, key: str) -> None:
    """Serve until killed."""
    allow_open_files()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(certificate, key))


if __name__ == "__main__":
    main(*sys.argv[1:3])
