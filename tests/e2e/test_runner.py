"""The runner for tests that need a real Airflow: it starts one, kills parts of it, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.runner import COMPONENTS, ComponentDied, RealAirflow
from tests.runner.database import POSTGRESQL_SERVER, patience_with_locks
from tests.runner.plugin import POSTGRESQL

DAGS = Path(__file__).with_name("dags")
ROOT = Path(__file__).parents[2]

OWNER_OF_PROCESSES = """
import os, sys
from pathlib import Path
from tests.runner.processes import Process

command = ["sh", "-c", "setsid sleep 3600 & exec sleep 3600"]
process = Process(command, env=dict(os.environ), cwd=Path("/"), log=Path(sys.argv[1]))
while [member.name() for member in process.family()] != ["sleep", "sleep"]:
    pass
print(*(member.pid for member in process.family()), flush=True)
sys.stdin.read()
"""

OWNER_OF_DATABASE = """
import sys
from pathlib import Path
from tests.runner.database import metadata_database

with metadata_database("postgresql", Path("/")) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


# On PostgreSQL the kill matrix does the same in every run.
@pytest.mark.airflow
@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite", POSTGRESQL])
def test_a_run_outlives_triggerer_and_scheduler_and_nothing_outlives_the_runner(database, tmp_path):
    login = database == "postgresql"
    with RealAirflow(home=tmp_path, dags=DAGS, database=database, login=login) as airflow:
        assert sorted(airflow.running) == sorted(COMPONENTS)
        assert httpx.get(f"{airflow.url}/api/v2/dags").status_code == (401 if login else 200)
        for dag_id in ("runner_check", "runner_linger"):
            airflow.unpause(dag_id)
        run_that_loses_triggerer_and_scheduler(airflow)
        run_whose_task_is_killed(airflow)

        assert not listening_elsewhere(airflow)
        os.kill(airflow.pid("triggerer"), signal.SIGKILL)
        with pytest.raises(ComponentDied, match="triggerer ended by itself"):
            airflow.wait_until(lambda: None, timeout=10, what=str)
        airflow.kill("scheduler", children=False)
        members = airflow.processes()
    assert len(members) > len(COMPONENTS)  # workers of a scheduler that is gone, among others
    assert not [member for member in members if member.is_running()]


def run_that_loses_triggerer_and_scheduler(airflow: RealAirflow) -> None:
    run = airflow.trigger("runner_check", conf={"greeting": "hello"}, run_id="a_run+1:~")
    airflow.wait_for_task("runner_check", run, "greet", ["success"])
    assert airflow.xcom("runner_check", run, "greet") == {"greeting": "hello", "to": ["you", None]}
    assert "hello from run a_run+1:~" in airflow.task_log("runner_check", run, "greet")

    airflow.wait_for_task("runner_check", run, "wait", ["deferred"])
    taken = "SELECT id FROM trigger WHERE triggerer_id IS NOT NULL"
    airflow.wait_until(lambda: airflow.query(taken) or None, timeout=30, what=lambda: "no triggerer took the trigger")
    airflow.kill("triggerer")
    assert "triggerer" not in airflow.running
    airflow.start("triggerer")
    old_scheduler = airflow.pid("scheduler")
    airflow.kill("scheduler")
    assert not psutil.pid_exists(old_scheduler)
    airflow.start("scheduler")
    assert airflow.wait_for_run("runner_check", run)["state"] == "success"

    assert len(airflow.clear("runner_check", run, ["greet"])) == 1
    assert airflow.wait_for_task("runner_check", run, "greet")["try_number"] == 2


def run_whose_task_is_killed(airflow: RealAirflow) -> None:
    run = airflow.trigger("runner_linger")
    for number in (0, 1):
        airflow.wait_for_task("runner_linger", run, "linger", ["running"], map_index=number)
    airflow.wait_until(lambda: len(sleeping(airflow)) == 2 or None, timeout=30, what=lambda: "no child of a task")
    airflow.kill_task("runner_linger", run, "linger", map_index=0)
    airflow.wait_for_task("runner_linger", run, "linger", ["failed"], map_index=0)
    assert len(sleeping(airflow)) == 2  # an orphan stays under the runner's eyes

    airflow.set_state("runner_linger", run, "success", task_id="linger", map_index=1)
    assert airflow.wait_for_run("runner_linger", run)["state"] == "failed"


def sleeping(airflow: RealAirflow) -> list[int]:
    return [member.pid for member in airflow.processes() if ask(member, "name") == "sleep"]


def listening_elsewhere(airflow: RealAirflow) -> list[str]:
    """Addresses other than loopback at which any process of this Airflow listens."""
    connections = [one for member in airflow.processes() for one in ask(member, "net_connections") or ()]
    listening = [one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN]
    assert listening
    return [address for address in listening if address != "127.0.0.1"]


def ask(process: psutil.Process, method: str) -> Any:
    with suppress(psutil.NoSuchProcess):
        return getattr(process, method)()


def test_processes_end_with_an_owner_that_is_killed(tmp_path):
    with owner(OWNER_OF_PROCESSES, str(tmp_path / "log")) as (process, line):
        members = [psutil.Process(int(pid)) for pid in line.split()]
        assert len({os.getsid(member.pid) for member in members}) == 2
        process.kill()
        wait_until(lambda: not any(member.is_running() for member in members))


@pytest.mark.parametrize("_database", [POSTGRESQL])
def test_a_postgresql_database_goes_with_an_owner_that_is_killed(_database):
    with owner(OWNER_OF_DATABASE) as (process, url):
        name = url.rpartition("/")[2]
        assert is_database(name)
        process.kill()
        wait_until(lambda: not is_database(name))


def test_on_sqlite_the_api_server_gives_up_on_a_lock_before_all_others():
    by_component = {component: patience_with_locks(component, "sqlite:////a.db") for component in COMPONENTS}
    assert by_component.pop("api-server") == {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////a.db?timeout=2"}
    assert all("timeout=60" in str(told) for told in by_component.values())
    assert patience_with_locks("scheduler", "postgresql+psycopg2://u@h/d") == {}


def test_the_runner_does_not_import_airflow():
    code = "import sys, tests.runner.plugin, tests.runner.secrets; sys.exit('airflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@contextmanager
def owner(code: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that owns what a test wants to see go; with the line that it prints."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def is_database(name: str) -> bool:
    engine = create_engine(POSTGRESQL_SERVER.replace("postgresql:", "postgresql+psycopg2:"), poolclass=NullPool)
    with engine.connect() as connection:
        return bool(connection.execute(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}).all())


def wait_until(holds: Callable[[], bool], *, timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
