"""An Airflow API server with users and DAGs, and a way to put tasks and what they left into its database."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.runner.database import metadata_database
from tests.runner.processes import clean_environment, tail
from tests.support.objectstore import aws_connection, objectstore

ROOT = Path(__file__).resolve().parents[2]
USERS = {"ann": "viewer", "ben": "viewer", "admin": "admin"}
_runs = itertools.count()


class Server:
    """A running API server, whose database a test can fill."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        self.url = self._answer()
        self._tokens: dict[str, str] = {}

    def call(self, name: str, **arguments: Any) -> Any:
        """Have something of ``scene`` done."""
        self._process.stdin.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def log(self) -> str:
        return self._log.read_text()

    def client(self, user: str | None = None) -> httpx.Client:
        """Return a browser of a user, or of nobody; to be closed."""
        cookies = {"_token": self._token(user)} if user else {}
        return httpx.Client(base_url=f"{self.url}/lipsync", cookies=cookies, trust_env=False, timeout=60)

    def _token(self, user: str) -> str:
        if user not in self._tokens:
            login = {"username": user, "password": user}
            answer = httpx.post(f"{self.url}/auth/token", json=login, trust_env=False, timeout=60)
            self._tokens[user] = answer.raise_for_status().json()["access_token"]
        return self._tokens[user]

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            pytest.fail(f"the server died\n{tail(self._log, 60)}")
        return json.loads(line)


class Task:
    """A task instance in the server's database."""

    def __init__(self, server: Server, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        self._server = server
        self.key = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}

    def set(self, **columns: Any) -> Task:
        self._server.call("task", where=self.key, **columns)
        return self

    def push(self, key: str, value: Any, at: float | None = None) -> Task:
        self._server.call("xcom", where=self.key, key=key, value=value, at=at)
        return self

    def remember(self, record: Any) -> bool:
        """Write the ledger's record; False where this Airflow has no place for it."""
        written: bool = self._server.call("ledger", where=self.key, value=record)
        return written


@pytest.fixture(scope="session")
def s3() -> Iterator[tuple[str, Any]]:
    """A server's URL, and a client of it."""
    with objectstore() as served:
        yield served


@pytest.fixture(scope="session")
def servers(s3: tuple[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Start a server on a kind of database, once."""
    with ExitStack() as stack:

        @cache
        def start(database: str) -> Server:
            home = tmp_path_factory.mktemp(f"api-server-{database}")
            url = stack.enter_context(metadata_database(database, home))
            env = {**environment(home), **on_database(url), "AIRFLOW_CONN_AWS_MINE": aws_connection(s3[0])}
            return stack.enter_context(running(home, env))

        yield start


@pytest.fixture(scope="session")
def server(servers: Callable[[str], Server]) -> Server:
    return servers("sqlite")


@contextmanager
def running(home: Path, env: dict[str, str], scene: str = "tests.plugin.scene") -> Iterator[Server]:
    """Start a server; it ends with the block."""
    log = home / "server.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.plugin.airflow_server", scene],
            cwd=ROOT,
            env=clean_environment(home, env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Server(process, log)
        process.stdin.close()  # it ends by itself


@pytest.fixture
def ann(server: Server) -> Iterator[httpx.Client]:
    """Somebody who may read everything."""
    with server.client("ann") as client:
        yield client


@pytest.fixture
def ben(server: Server) -> Iterator[httpx.Client]:
    """Somebody who may not read what the tasks of the DAG ``hidden`` handed on."""
    with server.client("ben") as client:
        yield client


@pytest.fixture
def nobody(server: Server) -> Iterator[httpx.Client]:
    """Somebody who is not logged in."""
    with server.client() as client:
        yield client


def new_run(server: Server, dag_id: str = "show", *, state: str = "running") -> str:
    """Make a run of a DAG, and return its id."""
    run_id = f"manual__2026-01-05T00:00:00+00:00_{next(_runs)}"
    server.call("run", dag_id=dag_id, run_id=run_id, state=state)
    return run_id


def new_task(server: Server, task_id: str = "render", *, dag_id: str = "show", map_index: int = -1) -> Task:
    """Return a task instance of a run of its own."""
    return Task(server, dag_id, new_run(server, dag_id), task_id, map_index)


def on_database(url: str) -> dict[str, str]:
    """Return what points Airflow at a database."""
    at_once = url.replace("+psycopg2", "+asyncpg")
    is_postgresql = url.startswith("postgresql")
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url} | (
        {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": at_once} if is_postgresql else {}
    )


def environment(home: Path) -> dict[str, str]:
    """Return what configures a server that knows a few users."""
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({user: user for user in USERS}))
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.plugin.guard.Guard",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "tests" / "plugin" / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
    }
