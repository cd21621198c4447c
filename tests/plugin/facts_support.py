"""What tasks leave behind, as the operators write it, and the facts of a task that left it."""

from __future__ import annotations

from typing import Any

from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.task_facts import OURS, TaskFacts
from airflow_provider_lipsync.plugin.values import read_card, read_entry, read_result

JOB = "550e8400-e29b-41d4-a716-446655440000"
OTHER_JOB = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
SUBMITTED = 1_763_900_000.0
VENDORS = "https://vendor.example/result.mp4?sig=1"
KEY = TaskKey(dag_id="show", run_id="manual__2026-01-05T00:00:00+00:00", task_id="render")


def card(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "job_id": JOB,
        "endpoint": "lipsync-image",
        "resolution": "480p",
        "seconds": 12.3,
        "credits_estimated": 26,
        "labels": {"client": "acme"},
        "inputs": {"image": "s3://bucket/a.png", "audio": "https://host/a.mp3"},
        "seed": 7,
        "conn_id": "lipsync_default",
        "submitted_at": SUBMITTED,
        "deadline": SUBMITTED + 1800,
        "output_path": None,
        "player_url": None,
    } | changes


def result(**changes: Any) -> dict[str, Any]:
    return {
        "job_id": JOB,
        "model": "lipsync-image",
        "status": "completed",
        "video_url": VENDORS,
        "output_path": None,
        "output_uri": None,
        "sha256": None,
        "size": None,
        "credits_estimated": 26,
        "execution_time": 12345,
        "labels": {"client": "acme"},
    } | changes


def stored(path: str = "s3://aws_mine@bucket/a.mp4", *, sha256: str = "ab" * 32, **changes: Any) -> dict[str, Any]:
    return result(output_path=path, sha256=sha256, size=123, **changes)


def record(state: str = "bought", **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "state": state,
        "endpoint": "lipsync-image",
        "max_tries": 0,
        "clear_number": 0,
        "submitted_at": SUBMITTED,
        "fingerprint": {},
        "nonce": "n",
        "job_id": None if state in ("intent", "refused") else JOB,
        "note": "",
        "credits": 26,
        "spent": 0,
        "spent_unknown": False,
    } | changes


def facts(
    task_state: str | None = "success",
    *,
    card: Any = None,
    result: Any = None,
    record: Any = None,
    operator: str = OURS[0],
    **changes: Any,
) -> TaskFacts:
    told: dict[str, Any] = {
        "key": KEY,
        "run_state": "running",
        "card": None if card is None else read_card(card),
        "result": None if result is None else read_result(result),
        "entry": None if record is None else read_entry(record),
    }
    return TaskFacts(operator=operator, task_state=task_state, **{**told, **changes})
