"""What is charged when people clear, backfill and mark: a real Airflow, and the sandbox's ledger."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.runner import ApiError, RealAirflow
from tests.runner.api import JSON
from tests.runner.plugin import StartAirflow

DAGS = Path(__file__).parent / "dags_charges"

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def quick() -> Iterator[SandboxServer]:
    """Its jobs are done at once."""
    with SandboxServer(canned=True) as server:
        yield server


@pytest.fixture(scope="module")
def slow() -> Iterator[SandboxServer]:
    """Its jobs end when they are told to."""
    with SandboxServer(canned=True, job_seconds=(36_000, 36_000)) as server:
        yield server


@pytest.fixture(scope="module")
def airflow(
    start_airflow: StartAirflow, quick: SandboxServer, slow: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> RealAirflow:
    def connection(sandbox: SandboxServer) -> str:
        return json.dumps({"conn_type": "lipsync", "host": sandbox.url, "password": sandbox.key})

    running = start_airflow(
        dags=DAGS,
        env={
            "AIRFLOW_CONN_LIPSYNC_DEFAULT": connection(quick),
            "AIRFLOW_CONN_LIPSYNC_SLOW": connection(slow),
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{quick.url}/samples",
            "AIRFLOW_VAR_LIPSYNC_FOLDER": str(tmp_path_factory.mktemp("published")),
        },
    )
    for dag_id in ("charges", "marked"):
        running.unpause(dag_id)
    # The run that a daily DAG begins with, so that it does not disturb the counts.
    running.wait_until(
        lambda: [run for run in runs(running) if run["state"] == "success"] or None,
        timeout=120,
        what=lambda: str(runs(running)),
    )
    return running


def runs(airflow: RealAirflow) -> list[Any]:
    found: list[Any] = airflow.request("GET", "/dags/charges/dagRuns", params={"limit": 100})["dag_runs"]
    return found


class Run:
    """A run of `charges` that has published its video, and what was charged since."""

    def __init__(self, airflow: RealAirflow, sandbox: SandboxServer) -> None:
        self.airflow, self.sandbox = airflow, sandbox
        self.run_id = airflow.trigger("charges")
        airflow.wait_for_run("charges", self.run_id)
        self.before = len(sandbox.ledger())

    def clear(self, task_id: str, **options: Any) -> int:
        """Clear, wait for the end, and return how many jobs that cost."""
        self.airflow.clear("charges", self.run_id, [task_id], **options)
        self.airflow.wait_for_run("charges", self.run_id)
        return len(self.sandbox.ledger()) - self.before

    @property
    def result(self) -> Any:
        return self.airflow.xcom("charges", self.run_id, "render")


@pytest.fixture
def run(airflow: RealAirflow, quick: SandboxServer) -> Run:
    return Run(airflow, quick)


def test_a_clear_behind_the_operator_buys_nothing(run: Run) -> None:
    first = run.result
    assert run.clear("publish") == 0
    assert run.result == first


def test_a_clear_downstream_buys_what_it_reaches(run: Run) -> None:
    first = run.result
    assert run.clear("speak") == 0
    assert run.clear("speak", include_downstream=True) == 1
    assert run.result["job_id"] != first["job_id"]


def backfill(airflow: RealAirflow, behaviour: str) -> None:
    """Run the first two days of January 2026, and wait for the end of their runs, which are there with the answer.

    Airflow itself sees only every 30 seconds that a backfill is over; until then it takes no other one.
    """
    body = {
        "dag_id": "charges",
        "from_date": "2026-01-01T00:00:00Z",
        "to_date": "2026-01-02T00:00:00Z",
        "reprocess_behavior": behaviour,
        "run_backwards": False,
        "dag_run_conf": {},
        "max_active_runs": 2,
    }

    def make() -> JSON | None:
        try:
            return airflow.request("POST", "/backfills", json=body)
        except ApiError as error:
            if error.status_code != 503:  # SQLite was locked for a moment, and nothing was made
                raise
            return None

    made = airflow.wait_until(make, timeout=60, what=lambda: "the database stays locked")
    for day in ("01", "02"):
        airflow.wait_for_run("charges", f"backfill__2026-01-{day}T00:00:00+00:00")
    airflow.request("PUT", f"/backfills/{made['id']}/cancel")


def test_a_backfill_buys_once_for_each_run_and_a_repeated_run_is_a_clear(
    airflow: RealAirflow, quick: SandboxServer
) -> None:
    charged = [len(quick.ledger())]
    for behaviour in ("none", "none", "failed", "completed"):
        backfill(airflow, behaviour)
        charged.append(len(quick.ledger()))
    assert [after - before for before, after in itertools.pairwise(charged)] == [2, 0, 0, 2]


def wait_for_a_look_of_the_trigger(airflow: RealAirflow, sandbox: SandboxServer, job_id: str) -> None:
    def seen() -> bool | None:
        (polls,) = [submit["polls"] for submit in sandbox.ledger() if submit["job_id"] == job_id]
        return polls > 1 or None  # the first look is the operator's own

    airflow.wait_until(seen, timeout=60, what=lambda: "no look of the trigger")


@pytest.mark.full
@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_task_that_is_marked_while_deferred_keeps_its_job(
    airflow: RealAirflow, slow: SandboxServer, state: str
) -> None:
    before = len(slow.ledger())
    run_id = airflow.trigger("marked", logical_date=datetime.now(UTC))
    airflow.wait_for_task("marked", run_id, "render", ["deferred"])
    job_id = airflow.xcom("marked", run_id, "render", "job_id")
    wait_for_a_look_of_the_trigger(airflow, slow, job_id)
    airflow.set_state("marked", run_id, state, task_id="render")
    told = f"The task was ended or cleared from outside. Job {job_id} has no cancel"
    airflow.wait_until(
        lambda: told in airflow.task_log("marked", run_id, "render", 1) or None,
        timeout=60,
        what=lambda: "no word of it",
    )
    airflow.wait_for_run("marked", run_id)
    airflow.clear("marked", run_id, ["render"])
    airflow.wait_for_task("marked", run_id, "render", ["deferred"])
    slow.finish(job_id)
    airflow.wait_for_run("marked", run_id, ["success"])
    assert airflow.xcom("marked", run_id, "render")["job_id"] == job_id
    assert len(slow.ledger()) - before == 1
    assert airflow.task_log("marked", run_id, "render", 1).count(told) == 1
