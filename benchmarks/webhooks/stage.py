"""An Airflow of its own, with the runner of the tests, and a sandbox whose jobs end when they are told to."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.sandbox.server import SandboxServer
from benchmarks.webhooks.options import Database
from tests.runner import RealAirflow
from tests.runner.config import HOST, free_ports
from tests.support.hooks import Hook, Told, at_by_key, deferred_since, receiver_settings, scheduled_at

__all__ = ["Load", "Stage", "open_stage"]

_DAGS = Path(__file__).with_name("dags")
_CONNECTION = "lipsync_default"
_NEVER = 36_000.0  # seconds: the jobs end when they are told to
# Jobs wait here until enough of them are there to be told of; until then none is to be looked at.
_TYPICAL = {"typical_seconds_low": 600, "typical_seconds_high": 1200}
_PATIENCE = 3600.0  # seconds for the tasks of a load to be deferred, or to end


@dataclass(frozen=True)
class Load:
    """A run whose tasks are deferred.

    :param run_id: of the DAG that is named like the load.
    """

    dag_id: str
    run_id: str
    jobs: int


class Stage:
    """The running Airflow, and what is asked of it."""

    def __init__(self, airflow: RealAirflow, vendor: SandboxServer, hook: Hook) -> None:
        self.airflow, self.vendor, self._hook = airflow, vendor, hook

    def start(self, dag_id: str, jobs: int) -> Load:
        """Start a load; its tasks are deferred one after the other."""
        return Load(dag_id, self.airflow.trigger(dag_id), jobs)

    def wait_until_deferred(self, load: Load, *, age: float) -> None:
        """Return once all of its tasks have been deferred for so many seconds."""
        self.airflow.wait_until(
            lambda: len(self.deferred(load)) == load.jobs or None,
            timeout=_PATIENCE,
            what=lambda: str(self.states(load)),
        )
        youngest = max(self.deferred(load).values())
        time.sleep(max(0.0, youngest.timestamp() + age - time.time()))

    def wait_until_over(self, load: Load) -> Counter[str]:
        """Return how its tasks ended."""

        def look() -> Counter[str] | None:
            states = self.states(load)
            return states if states["success"] + states["failed"] == load.jobs else None

        return self.airflow.wait_until(look, timeout=_PATIENCE, what=lambda: str(self.states(load)))

    def states(self, load: Load) -> Counter[str]:
        """Return how many of its tasks are in each state."""
        statement = "SELECT state, count(*) AS number FROM task_instance WHERE run_id = :run_id GROUP BY state"
        rows = self.airflow.query(statement, run_id=load.run_id)
        return Counter({str(row.state): row.number for row in rows})

    def deferred(self, load: Load) -> dict[TaskKey, datetime]:
        """Return since when each of its tasks that is deferred now has been."""
        return {key: at for key, at in deferred_since(self.airflow).items() if key.run_id == load.run_id}

    def scheduled(self, load: Load) -> dict[TaskKey, datetime]:
        """Return when each of its tasks was scheduled last."""
        return {key: at for key, at in scheduled_at(self.airflow).items() if key.run_id == load.run_id}

    def ended(self, load: Load) -> dict[TaskKey, datetime]:
        """Return when each of its tasks ended."""
        statement = (
            "SELECT dag_id, run_id, task_id, map_index, end_date AS at FROM task_instance WHERE run_id = :run_id"
        )
        return at_by_key(self.airflow.query(f"{statement} AND end_date IS NOT NULL", run_id=load.run_id))

    def told(self, load: Load) -> dict[TaskKey, Told]:
        """Return the job of each of its tasks."""
        return {told.key: told for told in Told.all_of([self._hook]) if told.key.run_id == load.run_id}


@contextmanager
def open_stage(database: Database, loads: Mapping[str, int]) -> Iterator[Stage]:
    """Start everything; end everything.

    :param loads: how many tasks the DAG of each load has.
    """
    [port] = free_ports(1)
    with SandboxServer(canned=True, job_seconds=(_NEVER, _NEVER)) as vendor, TemporaryDirectory() as folder:
        hook = Hook.at(vendor, _CONNECTION, **_TYPICAL)
        env = {
            **receiver_settings([hook]),
            **hook.environment(f"http://{HOST}:{port}"),
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{vendor.url}/samples",
            "AIRFLOW__TRIGGERER__CAPACITY": "2000",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # 5 is short where all processes share two cores
            "LIPSYNC_BENCH_LOADS": json.dumps(loads),
        }
        with RealAirflow(home=Path(folder), dags=_DAGS, database=database, env=env, port=port) as airflow:
            yield Stage(airflow, vendor, hook)
