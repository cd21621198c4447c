"""Two thousand deferred tasks on one real triggerer, which is killed on the way: all end right, none is paid twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from airflow_provider_lipsync.api.client import LipsyncClient
from airflow_provider_lipsync.api.models import ImageRequest
from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.e2e.test_many_waiting import connections
from tests.runner import RealAirflow
from tests.runner.plugin import StartAirflow

DAGS = Path(__file__).parent / "dags_thousands"
KEY = "sk_e2e_thousands_77aa01fe_secret"
WAITERS = [f"waiters_{number}" for number in range(19)]
SENSORS, BUYERS = 1900, 100
NEVER = 36_000.0  # seconds: the jobs end when the test says so
PATIENCE = 900.0  # seconds

pytestmark = [pytest.mark.airflow, pytest.mark.full]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(keys=(KEY,), canned=True, job_seconds=(NEVER, NEVER)) as server:
        yield server


@pytest.fixture(scope="module")
def jobs(sandbox: SandboxServer) -> list[str]:
    """The jobs that the sensors wait for."""
    request = ImageRequest(image=sandbox.sample("portrait.png"), audio=sandbox.sample("voice.wav"))
    with LipsyncClient(KEY, base_url=sandbox.base_url) as client:
        return [client.submit(request).id for _ in range(SENSORS)]


@pytest.fixture(scope="module")
def airflow(
    start_airflow: StartAirflow, sandbox: SandboxServer, jobs: list[str], tmp_path_factory: pytest.TempPathFactory
) -> RealAirflow:
    file = tmp_path_factory.mktemp("jobs") / "jobs.json"
    size = SENSORS // len(WAITERS)
    file.write_text(json.dumps([jobs[start : start + size] for start in range(0, SENSORS, size)]))
    connection = {"conn_type": "lipsync", "host": sandbox.url, "password": KEY}
    return start_airflow(
        dags=DAGS,
        database="postgresql",
        env={
            "AIRFLOW_CONN_LIPSYNC_DEFAULT": json.dumps(connection),
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{sandbox.url}/samples",
            "AIRFLOW__TRIGGERER__CAPACITY": str(SENSORS + BUYERS + 100),
            "LIPSYNC_TEST_JOBS": str(file),
        },
    )


def states(airflow: RealAirflow) -> Counter[str]:
    rows = airflow.query("SELECT state, count(*) AS number FROM task_instance GROUP BY state")
    return Counter({str(row.state): row.number for row in rows})


def triggerer(airflow: RealAirflow) -> list[psutil.Process]:
    family = psutil.Process(airflow.pid("triggerer"))
    return [family, *family.children(recursive=True)]


def test_two_thousand_tasks_wait_through_the_death_of_their_triggerer(
    airflow: RealAirflow, sandbox: SandboxServer, show: Callable[[str, str], None]
) -> None:
    def wait_for(**wanted: int) -> None:
        def reached() -> bool | None:
            return True if all(states(airflow)[state] == number for state, number in wanted.items()) else None

        airflow.wait_until(reached, timeout=PATIENCE, what=lambda: str(states(airflow)))

    def looked_at() -> int:
        return sum(submit["polls"] for submit in sandbox.ledger())

    for dag_id in ("buyers", *WAITERS):
        airflow.unpause(dag_id)
        airflow.trigger(dag_id)
    wait_for(deferred=SENSORS + BUYERS)
    files = [process.num_fds() for process in triggerer(airflow)]
    memory = [process.memory_info().rss / 1e6 for process in triggerer(airflow)]
    open_at_once = connections(airflow, sandbox)

    airflow.kill("triggerer")
    before = looked_at()
    airflow.start("triggerer")
    airflow.wait_until(
        lambda: True if looked_at() - before >= SENSORS + BUYERS else None,
        timeout=PATIENCE,
        what=lambda: f"{looked_at() - before} looks since the triggerer died",
    )
    bought = sandbox.ledger()
    assert len(bought) == SENSORS + BUYERS
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sandbox.finish, [submit["job_id"] for submit in bought]))
    wait_for(success=SENSORS + BUYERS)

    assert len(sandbox.ledger()) == SENSORS + BUYERS
    assert 1 <= open_at_once <= 10
    started = airflow.query("SELECT count(*) AS number FROM task_instance WHERE dag_id <> 'buyers' AND pid IS NOT NULL")
    assert started[0].number == 0
    show(
        "two thousand deferred tasks on one triggerer",
        f"capacity {SENSORS + BUYERS + 100}, open files {files}, memory {[round(one) for one in memory]} MB, "
        f"connections to the vendor {open_at_once}; no worker for {SENSORS} sensors",
    )
