"""Sixty jobs that wait in one triggerer: few connections, a bound on looks, each bought once, two workers for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.runner import RealAirflow
from tests.runner.plugin import StartAirflow

DAGS = Path(__file__).parent / "dags_many"
KEY = "sk_e2e_many_4c1b7e90_secret"
DAG_ID = "many_jobs"
JOBS = 60
SHORTEST, LONGEST = 20, 40  # seconds
INTERVAL = 5  # seconds: the operator's default
PATIENCE = 1200.0  # seconds: on two cores that twenty others use it took more than 400

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(keys=(KEY,), canned=True, job_seconds=(SHORTEST, LONGEST)) as server:
        yield server


@pytest.fixture(scope="module")
def airflow(start_airflow: StartAirflow, sandbox: SandboxServer) -> RealAirflow:
    extra = {"typical_seconds_low": SHORTEST, "typical_seconds_high": LONGEST}
    connection = {"conn_type": "lipsync", "host": sandbox.url, "password": KEY, "extra": extra}
    return start_airflow(
        dags=DAGS,
        env={
            "AIRFLOW_CONN_LIPSYNC_DEFAULT": json.dumps(connection),
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{sandbox.url}/samples",
        },
    )


def connections(airflow: RealAirflow, sandbox: SandboxServer) -> int:
    """How many connections the triggerer holds to the sandbox now."""
    port = urlsplit(sandbox.url).port
    family = psutil.Process(airflow.pid("triggerer"))
    found: list[Any] = []
    for process in (family, *family.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a child may be gone by now
            found += process.net_connections("tcp")
    return sum(
        connection.status == psutil.CONN_ESTABLISHED and bool(connection.raddr) and connection.raddr.port == port
        for connection in found
    )


def test_sixty_jobs_wait_at_once(airflow: RealAirflow, sandbox: SandboxServer) -> None:
    airflow.unpause(DAG_ID)
    run_id = airflow.trigger(DAG_ID)
    most = 0

    def over() -> str | None:
        nonlocal most
        most = max(most, connections(airflow, sandbox))
        state: str = airflow.dag_run(DAG_ID, run_id)["state"]
        return state if state in ("success", "failed") else None

    state = airflow.wait_until(
        over, timeout=PATIENCE, what=lambda: f"{len(sandbox.ledger())} of {JOBS} jobs are bought"
    )
    assert state == "success"
    tasks = airflow.task_instances(DAG_ID, run_id)
    assert [task["state"] for task in tasks] == ["success"] * JOBS
    bought: list[dict[str, Any]] = sandbox.ledger()
    assert len({submit["job_id"] for submit in bought}) == len(bought) == JOBS
    assert 1 <= most <= 10
    looks = [submit["polls"] for submit in bought]
    at_every_interval = (SHORTEST + LONGEST) / 2 / INTERVAL
    assert mean(looks) < at_every_interval + 2, looks  # one is the operator's own, before it defers
    assert airflow.workers_started(DAG_ID, run_id, "render") == 2 * JOBS  # to buy and defer, and to hand on
