"""The recipe of docs/limits.md in a real Airflow: a pool bounds the jobs in flight, and what is put off comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.runner import RealAirflow
from tests.runner.plugin import StartAirflow

DAGS = Path(__file__).parent / "dags_limits"
DAG_ID = "limits"
JOBS, SLOTS = 4, 2
SECONDS = 15  # that a job takes: longer than a deferral lasts at the least, so that jobs would overlap
ASKED = 61  # seconds to wait, from which on no worker is held

pytestmark = [pytest.mark.airflow, pytest.mark.full]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(canned=True, job_seconds=(SECONDS, SECONDS)) as server:
        server.set_faults([{"on": "submit", "fault": "status", "status": 429, "retry_after": ASKED, "times": 1}])
        yield server


@pytest.fixture(scope="module")
def airflow(start_airflow: StartAirflow, sandbox: SandboxServer) -> RealAirflow:
    connection = {"conn_type": "lipsync", "host": sandbox.url, "password": sandbox.key}
    return start_airflow(
        dags=DAGS,
        env={
            "AIRFLOW_CONN_LIPSYNC_DEFAULT": json.dumps(connection),
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{sandbox.url}/samples",
        },
    )


def most_at_once(spans: list[tuple[datetime, datetime]]) -> int:
    return max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)


def test_a_pool_that_counts_deferred_tasks_bounds_the_jobs_at_the_vendor_and_a_429_frees_the_worker(
    airflow: RealAirflow, sandbox: SandboxServer
) -> None:
    airflow.request("POST", "/pools", json={"name": "lipsync", "slots": SLOTS, "include_deferred": True})
    airflow.unpause(DAG_ID)
    run_id = airflow.trigger(DAG_ID)
    airflow.wait_for_run(DAG_ID, run_id, timeout=600)
    assert [task["state"] for task in airflow.task_instances(DAG_ID, run_id)] == ["success"] * JOBS

    bought = sandbox.ledger()
    assert len({submit["job_id"] for submit in bought}) == len(bought) == JOBS
    spans = [
        (datetime.fromisoformat(submit["submitted_at"]), datetime.fromisoformat(submit["finished_at"]))
        for submit in bought
    ]
    assert most_at_once(spans) <= SLOTS

    [refused] = sandbox.refused()
    assert refused["http_status"] == 429
    late = [submit for submit in bought if _seconds_between(refused["at"], submit["submitted_at"]) >= ASKED]
    told = [airflow.task_log(DAG_ID, run_id, "render", map_index=index) for index in range(JOBS)]
    [put_off] = [log for log in told if "Nothing was bought: the vendor asks to slow down (429)" in log]
    assert any(submit["job_id"] in put_off for submit in late)
    assert airflow.workers_started(DAG_ID, run_id, "render") == 2 * JOBS + 1


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
