"""A real Airflow, two sandboxes, and the folders: everything that the scenarios share."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.e2e.kill.board import Board
from tests.e2e.kill.outage import Outage
from tests.runner import ApiError, RealAirflow

T = TypeVar("T")

DAGS = Path(__file__).parents[1] / "dags_kill"
KEY = "sk_kill_7d20c9e1f4a85b36_secret"
NEVER = 10 * 3600  # seconds: jobs end when a test says so
LOWERED = """
from airflow.sdk import DAG
from airflow_provider_lipsync import LipsyncImageOperator

with DAG("kill_lowered", schedule=None):
    LipsyncImageOperator(
        task_id="render",
        image="{{{{ var.value.lipsync_samples }}}}/portrait.png",
        audio="{{{{ var.value.lipsync_samples }}}}/voice.wav?of={{{{ run_id }}}}",
        poll_interval=1,
        retries={retries},
    )
"""
SETTINGS = {
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "64",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    # How late, at most, a worker tells that its task ended; 5 by default. The scheduler's fast-resume race lives in
    # these seconds: it is provoked by a scenario of its own, and must not come to the others by chance.
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # Until a worker that is lost is missed; 300 by default.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}


@dataclass(frozen=True)
class Pace:
    """How much goes on at once.

    Args:
        scenarios: that are played; enough for those that wait for the outage.
        tasks: that run; the fast-resume race alone holds two.
        attempts: at a change over Airflow's API.
    """

    scenarios: int
    tasks: int
    attempts: int


# On SQLite the API server now and then locks itself out and answers 500, nothing changed: `tests/runner/database.py`.
# On PostgreSQL it was seen to answer so once in a thousand changes, while the scheduler wrote to the same rows.
PACES = {
    "postgresql": Pace(scenarios=64, tasks=16, attempts=4),
    "sqlite": Pace(scenarios=5, tasks=8, attempts=6),
}


@dataclass(frozen=True)
class Folders:
    """Where things are put, all below one folder."""

    root: Path

    def __post_init__(self) -> None:
        for folder in (self.markers, self.ledger, self.published, self.dags):
            folder.mkdir(parents=True)

    @property
    def home(self) -> Path:
        return self.root / "airflow"

    @property
    def markers(self) -> Path:
        return self.root / "markers"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def published(self) -> Path:
        return self.root / "published"

    @property
    def dags(self) -> Path:
        return self.root / "dags"

    def write_lowered(self, retries: int) -> None:
        """Write the DAG whose retries are lowered, in one step."""
        fresh = self.dags / "lowered.new"
        fresh.write_text(LOWERED.format(retries=retries))
        os.replace(fresh, self.dags / "lowered.py")


@dataclass(frozen=True)
class Stage:
    """What a scenario can use."""

    airflow: RealAirflow
    board: Board
    folders: Folders
    vendor: SandboxServer
    late_vendor: SandboxServer
    """Accepts every submit, and holds its answer back."""
    pace: Pace
    outage: Outage = field(default_factory=Outage)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def vendor_of(self, conn_id: str) -> SandboxServer:
        """The sandbox that a connection names."""
        return self.late_vendor if conn_id == "lipsync_late" else self.vendor

    def change(self, call: Callable[[], T]) -> T:
        """Change something over Airflow's API, one at a time."""
        with self.lock:
            for left in reversed(range(self.pace.attempts)):
                try:
                    return call()
                except ApiError as error:
                    if not left or error.status_code != 500:
                        raise
        raise AssertionError("unreachable")

    def lower_retries(self) -> None:
        """Set `retries=0` in the DAG `kill_lowered`, and wait until Airflow has read it."""
        self.folders.write_lowered(retries=0)

        def look() -> Literal[True] | None:
            task = self.airflow.request("GET", "/dags/kill_lowered/tasks/render")
            return True if task["retries"] == 0 else None

        self.airflow.wait_until(look, timeout=90, what=lambda: "the lowered retries were not read")


@contextmanager
def open_stage(database: Literal["sqlite", "postgresql"], root: Path) -> Iterator[Stage]:
    """Start everything; end everything."""
    folders = Folders(root)
    folders.write_lowered(retries=1)
    late = [{"fault": "late_answer", "on": "submit", "seconds": NEVER}]
    options = {"canned": True, "keys": (KEY,), "job_seconds": (NEVER, NEVER)}
    with SandboxServer(**options) as vendor, SandboxServer(**options, faults=late) as late_vendor:
        pace = PACES[database]
        env = SETTINGS | {"AIRFLOW__CORE__PARALLELISM": str(pace.tasks)} | _environment(folders, vendor, late_vendor)
        dags = [DAGS, folders.dags]
        with RealAirflow(home=folders.home, dags=dags, database=database, env=env) as airflow, Board(airflow) as board:
            yield Stage(airflow, board, folders, vendor, late_vendor, pace)


def _environment(folders: Folders, vendor: SandboxServer, late_vendor: SandboxServer) -> dict[str, str]:
    def connection(server: SandboxServer, **extra: object) -> str:
        extras = {"adaptive_polling": False, **extra}  # jobs end when the test says so
        return json.dumps({"conn_type": "lipsync", "host": server.url, "password": KEY, "extra": extras})

    return {
        "AIRFLOW_CONN_LIPSYNC_DEFAULT": connection(vendor),
        "AIRFLOW_CONN_LIPSYNC_LATE": connection(late_vendor, http_timeout=NEVER),
        "AIRFLOW_CONN_LIPSYNC_KEPT": connection(vendor, ledger_path=f"file://{folders.ledger}"),
        "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{vendor.url}/samples",
        "AIRFLOW_VAR_LIPSYNC_FOLDER": str(folders.published),
        "KILL_MARKERS": str(folders.markers),
    }
