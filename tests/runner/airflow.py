"""A real Airflow for a test or the demo, in a home of its own, whose processes can be killed one by one."""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import psutil
from sqlalchemy import Engine, Row, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.runner.api import AirflowApi
from tests.runner.config import Settings, free_ports, name_bundles
from tests.runner.database import metadata_database, patience_with_locks
from tests.runner.processes import Process, clean_environment, kill_descendant, tail

AIRFLOW = (sys.executable, "-P", "-m", "airflow")
# The log servers listen on every address, with no setting for it. All components share a disk, so nobody needs them.
COMMANDS = {
    "scheduler": (*AIRFLOW, "scheduler", "--skip-serve-logs"),
    "triggerer": (*AIRFLOW, "triggerer", "--skip-serve-logs"),
    "dag-processor": (*AIRFLOW, "dag-processor"),
    "api-server": (*AIRFLOW, "api-server"),
}
COMPONENTS = tuple(COMMANDS)
MIGRATED = "[runner] the database is ready"
# `airflow db migrate` takes three times as long.
MIGRATE = (sys.executable, "-P", "-c", f"from airflow.utils.db import initdb; initdb(); print({MIGRATED!r})")


class ComponentDied(Exception):
    """A component ended that nobody had stopped."""


class RealAirflow(AirflowApi):
    """`with RealAirflow(home=…, dags=…) as airflow:` gives an Airflow that is up and has read its DAGs.

    Args:
        home: AIRFLOW_HOME, for this run alone; created if missing, and left there for whoever wants to look.
        dags: the folder of DAGs, or several.
        database: "sqlite", or "postgresql": a new database on the server, dropped at the end.
        env: more environment for all components: AIRFLOW_CONN_…, AIRFLOW_VAR_…, AIRFLOW__SECTION__KEY, PYTHONPATH.
        components: those to start; none means that only the database is made.
        login: the UI and the API ask for `username` and `password`; otherwise everybody is an admin.
        port: of the API server, where others must know it before it starts; None = a free one.
        ready_timeout: seconds for all components to be healthy and all DAGs to be read.
    """

    def __init__(
        self,
        *,
        home: Path,
        dags: Path | Sequence[Path],
        database: Literal["sqlite", "postgresql"] = "sqlite",
        env: Mapping[str, str] | None = None,
        components: Collection[str] = COMPONENTS,
        login: bool = False,
        port: int | None = None,
        ready_timeout: float = 120,
    ) -> None:
        self.home = home.resolve()
        self.bundles = name_bundles(dags)
        self.ready_timeout = ready_timeout
        self._database = database
        self._env = {"AIRFLOW_HOME": str(self.home), "AIRFLOW_CONFIG": str(self.home / "airflow.cfg"), **(env or {})}
        self._components = tuple(components)
        self._login = login
        self._port = free_ports(1)[0] if port is None else port
        self._running: dict[str, Process] = {}
        self._orphaned: list[Process] = []
        self._started_at: dict[str, datetime] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.home.mkdir(parents=True, exist_ok=True)
            self.database_url = stack.enter_context(metadata_database(self._database, self.home))
            settings = Settings(self.home, self.bundles, self.database_url, self._login, self._port)
            settings.write()
            self.url, self.fernet_key = settings.url, settings.fernet_key
            self.username, self.password = "admin", settings.password
            super().__init__(self.url, username="admin", password=settings.password, check=self.check_components)
            stack.callback(self.close)
            stack.callback(self.stop_all)
            self._migrate()
            for component in self._components:
                self._launch(component)
            self.wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    # Components
    @property
    def running(self) -> list[str]:
        return [component for component, process in self._running.items() if process.alive]

    def pid(self, component: str) -> int:
        return self._running[component].pid

    def processes(self) -> list[psutil.Process]:
        """All of this Airflow that are alive now, tasks included. Any may be gone when it is asked something."""
        return [member for process in self._all_processes() for member in process.family()]

    def start(self, *components: str) -> None:
        """Start components that do not run, and wait until all are ready."""
        for component in components:
            if component in self.running:
                raise RuntimeError(f"{component} is running")
            if component in self._running:  # it died by itself
                self._orphaned.append(self._running.pop(component))
            self._launch(component)
        self.wait_ready()

    def stop(self, component: str, *, grace: float = 30) -> None:
        """SIGTERM, up to `grace` seconds for it to end (the triggerer takes 12), then SIGKILL for all that is left."""
        process = self._running.pop(component)
        process.terminate()
        process.wait(grace)
        process.end()

    def kill(self, component: str, *, children: bool = True) -> None:
        """SIGKILL: for everything the component had started, or for its own process alone.

        A scheduler's workers share its connection to the database. Where they outlive it on PostgreSQL, so does its
        transaction, and if it was in the middle of one, the next scheduler never gets at the rows that are locked.
        """
        process = self._running.pop(component)
        process.kill_main()
        if children:
            process.end()
        else:
            self._orphaned.append(process)

    def kill_task(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> None:
        """SIGKILL for the process that runs the task's code, as an out-of-memory kill would do it."""
        where = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
        condition = " AND ".join(f"{column} = :{column}" for column in where)
        [row] = self.query(f"SELECT pid FROM task_instance WHERE {condition}", **where)
        kill_descendant(row.pid, self._all_processes())

    def stop_all(self, *, grace: float = 2) -> None:
        """End everything: `grace` seconds for all together, then SIGKILL."""
        deadline = time.monotonic() + grace
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(max(0.0, deadline - time.monotonic()))
        for process in self._all_processes():
            process.end()
        self._running.clear()
        self._orphaned.clear()

    def check_components(self) -> None:
        for component, process in self._running.items():
            if not process.alive:
                raise ComponentDied(f"{component} ended by itself\n{tail(process.log)}")

    def _all_processes(self) -> list[Process]:
        return [*self._running.values(), *self._orphaned]

    def _launch(self, component: str) -> None:
        self._started_at[component] = datetime.now(UTC)
        self._running[component] = self._process(component, COMMANDS[component])

    def _process(self, name: str, command: Sequence[str]) -> Process:
        env = clean_environment(self.home, patience_with_locks(name, self.database_url) | self._env)
        return Process(command, env=env, cwd=self.home, log=self.home / "logs-out" / f"{name}.log")

    def _migrate(self) -> None:
        process = self._process("migrate", MIGRATE)
        try:
            process.wait(self.ready_timeout)
        finally:
            process.end()
        if MIGRATED not in process.log.read_text():
            raise RuntimeError(f"no database\n{tail(process.log)}")

    def workers_started(self, dag_id: str, run_id: str, task_id: str) -> int:
        """How often the scheduler gave the task, all its mapped ones together, to the executor, by its own log."""
        lines = (self.home / "logs-out" / "scheduler.log").read_text().splitlines()
        task = f"<TaskInstance: {dag_id}.{task_id} {run_id} "
        return sum(line.count(task) for line in lines if "Trying to enqueue tasks: " in line)

    # Readiness
    def wait_ready(self) -> None:
        """Wait until every running component is healthy and every file that defines a DAG was read."""
        if "api-server" not in self._running:
            return
        try:
            self.wait_until(self._is_ready, timeout=self.ready_timeout, what=lambda: "not ready")
        except TimeoutError as error:
            tails = "\n".join(tail(process.log) for process in self._running.values())
            raise TimeoutError(f"{error}: {self._unready()}\n{tails}") from error

    def _is_ready(self) -> Literal[True] | None:
        return None if self._unready() else True

    def _unready(self) -> list[str]:
        """What is still missing; a health report counts from the component's latest start only."""
        health = self.health()
        jobs = {name: health[name.replace("-", "_")] for name in self._running if name != "api-server"}
        missing = [name for name, job in jobs.items() if not self._is_healthy(name, job)]
        if "dag-processor" in self._running:
            missing += sorted(str(path) for path in self._dag_files() - self._files_read())
        return missing

    def _is_healthy(self, component: str, job: dict[str, Any]) -> bool:
        heartbeat = job.get(f"latest_{component.replace('-', '_')}_heartbeat")
        return (
            job["status"] == "healthy"
            and heartbeat is not None
            and datetime.fromisoformat(heartbeat) >= self._started_at[component]
        )

    def _dag_files(self) -> set[Path]:
        return {path for folder in self.bundles.values() for path in folder.rglob("*.py") if _defines_a_dag(path)}

    def _files_read(self) -> set[Path]:
        errors = {self.bundles[error["bundle_name"]] / error["filename"] for error in self.import_errors()}
        return errors | {Path(dag["fileloc"]) for dag in self.dags()}

    # The metadata database
    @contextmanager
    def engine(self) -> Iterator[Engine]:
        engine = create_engine(self.database_url, poolclass=NullPool)
        try:
            yield engine
        finally:
            engine.dispose()

    @contextmanager
    def session(self) -> Iterator[Session]:
        with self.engine() as engine, Session(engine) as session:
            yield session

    def query(self, statement: str, **parameters: Any) -> Sequence[Row[Any]]:
        """Rows of a plain SQL statement, as the driver gives them: JSON is text on SQLite, parsed on PostgreSQL."""
        with self.session() as session:
            return session.execute(text(statement), parameters).all()


def _defines_a_dag(path: Path) -> bool:
    """Whether the file mentions `dag` or `DAG` as code; one that cannot be parsed will be an import error."""
    try:
        tree = ast.parse(path.read_text())
    except (SyntaxError, ValueError):
        return True
    return any(isinstance(node, ast.Name) and node.id in {"dag", "DAG"} for node in ast.walk(tree))
