"""A vendor that sells: each submit is a job of its own, and what became of the jobs is the test's to say."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

__all__ = ["Shop", "begin", "shop"]


class Shop:
    """A running vendor.

    :ivar jobs: ids that were sold, oldest first.
    :ivar bodies: of the submits.
    :ivar looks: how many queries came.
    :ivar status: that all jobs have: ``processing``, ``completed``, ``failed``, or ``gone`` (404).
    :ivar output: URL of the finished video.
    :ivar refuses: status that the next submits are answered with; None = they are accepted.
    """

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.looks = 0
        self.status = "completed"
        self.output: str | None = None
        self.refuses: int | None = None
        self.url = ""

    def sell(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refuses is not None:
            return self.refuses, {"error": "No."}
        self.bodies.append(body)
        self.jobs.append(str(uuid.uuid4()))
        return 200, {"id": self.jobs[-1], "status": "processing"}

    def tell(self, job_id: str) -> tuple[int, dict[str, Any]]:
        self.looks += 1
        if self.status == "gone":
            return 404, {"error": "Unknown job"}
        return 200, {
            "id": job_id,
            "model": "lipsync-image",
            "status": self.status,
            "output": self.output if self.status == "completed" else None,
            "error": "Invalid audio format" if self.status == "failed" else "",
            "executionTime": 12345 if self.status == "completed" else None,
            "timings": None,
        }


@contextmanager
def shop() -> Iterator[Shop]:
    """Open one on a free loopback port."""
    made = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self._say(*made.sell(json.loads(content)))

        def do_GET(self) -> None:
            self._say(*made.tell(self.path.rsplit("/", 1)[1]))

        def _say(self, status: int, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/api/v1"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def begin(task: Any, context: Any, vendor: Shop) -> Any:
    """One try up to its deferral; return how Airflow resumes it, once the vendor is done."""
    vendor.status = "processing"
    with pytest.raises(TaskDeferred) as waiting:
        task.execute(context)
    vendor.status = "completed"
    event = {"status": "completed", "job_id": vendor.jobs[-1], "job": None, "message": ""}

    def resume(told: dict[str, Any] | None = None) -> Any:
        kwargs = {**(waiting.value.kwargs or {}), "event": event | (told or {})}
        return task.resume_execution(waiting.value.method_name, kwargs, context)

    return resume
