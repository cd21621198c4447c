"""A vendor that tells a story: what it answers to the submit, then to each look. Over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.scripted import ScriptedServer, Step, json_answer, scripted

__all__ = ["JOB_ID", "KEY", "accepted", "completed", "connection", "failed", "processing", "vendor"]

KEY = "sk_test_0123456789abcdef"
JOB_ID = "550e8400-e29b-41d4-a716-446655440000"


def accepted() -> Step:
    return json_answer(200, {"id": JOB_ID, "status": "processing"})


def job(**changes: Any) -> Step:
    whole = {
        "id": JOB_ID,
        "model": "lipsync-image",
        "output": None,
        "error": "",
        "executionTime": None,
        "timings": None,
    }
    return json_answer(200, whole | changes)


def processing() -> Step:
    return job(model="lipsync", status="processing")


def completed(output: str | None = "https://vendor.example/result.mp4?sig=1") -> Step:
    return job(status="completed", output=output, executionTime=12345)


def failed(error: str = "Invalid audio format") -> Step:
    return job(status="failed", error=error)


def connection(url: str, **extra: Any) -> str:
    """A connection as Airflow reads it from the environment; its jobs are far quicker than what is typical."""
    extras = {"adaptive_polling": False, **extra}
    return json.dumps({"conn_type": "lipsync", "host": url, "password": KEY, "extra": extras})


@contextmanager
def vendor(*steps: Step) -> Iterator[ScriptedServer]:
    with scripted(*steps) as server:
        yield server


def posts(server: ScriptedServer) -> int:
    """How many submits reached the vendor."""
    return sum(request.startswith(b"POST ") for request in server.requests)
