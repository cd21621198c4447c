"""Runs DAGs for a test, in a process of its own with an Airflow home of its own: JSON lines out, JSON lines in.

Airflow reads its home when it is first imported, and its tests write into its database: neither is to be the user's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from datetime import datetime

    import pytest

__all__ = ["IS_NEAR", "DagRunner", "FinishedRun"]

# A variable of the environment: "True" = no medium outside of this machine is asked for.
IS_NEAR = "LIPSYNC_TEST_IS_NEAR"
_FROM_THE_TEST = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")
_SHOWN = 40  # lines of the log that a failure shows


@dataclass(frozen=True)
class FinishedRun:
    """What became of a run.

    :param state: of the run: ``success`` or ``failed``.
    :param tasks: the state of each task instance, by task id; of a mapped one by ``task_id[0]``.
    :param results: what each handed on (XCom ``return_value``), likewise.
    :param errors: what each raised in its last try that failed, likewise.
    :param deferred: ids of the tasks that gave up their worker to wait, once for each time.
    :param log: the file with everything that was logged.
    """

    state: str
    tasks: dict[str, str]
    results: dict[str, Any]
    errors: dict[str, str]
    deferred: list[str]
    log: Path

    def __str__(self) -> str:
        lines = [f"{task}: {state}. {self.errors.get(task, '')}".strip() for task, state in sorted(self.tasks.items())]
        return "\n".join([f"The run is {self.state}; all that was logged: {self.log}", *lines])


class DagRunner:
    """Starts its process when the first DAG is run; ends it at the end of the session.

    :param folders: gives folders that pytest removes.
    """

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._process: subprocess.Popen[str] | None = None
        self._environment: dict[str, str] = {}
        self._log = Path()

    def __call__(
        self,
        path: str | os.PathLike[str],
        dag_id: str | None = None,
        *,
        conf: Mapping[str, Any] | None = None,
        logical_date: datetime | str | None = None,
    ) -> FinishedRun:
        """Run a DAG to its end, with all its deferrals and retries; these come at once, whatever their delay.

        A run that did not succeed is told to standard output, which pytest shows with a test that fails.

        :param path: of the DAG file.
        :param dag_id: None = the only DAG of the file.
        :param conf: of the run; it goes over the DAG's params.
        :param logical_date: what ``{{ ds }}`` and the like are made of, e.g. ``2026-01-05``; None = now.
        :raises AssertionError: the file cannot be read as DAGs, or has no such DAG; the message says why.
        """
        file = Path(path).resolve(strict=True)
        environment = {name: value for name, value in os.environ.items() if name.startswith(_FROM_THE_TEST)}
        request = {
            "path": str(file),
            "dag_id": dag_id,
            "conf": dict(conf or {}),
            "logical_date": None if logical_date is None else str(logical_date),
            "environment": environment,
            "is_near": os.environ.get(IS_NEAR) == "True",
        }
        answer = self._asked(request, environment)
        if "error" in answer:
            raise AssertionError(f"{file.name}: {answer['error']}")
        run = FinishedRun(**answer, log=self._log)
        if run.state != "success":
            sys.stdout.write(f"{run}\n")
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    def _asked(self, request: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
        if self._process is None or self._must_forget(environment):
            self._end()
            self._process = self._started()
        self._environment = dict(environment)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            last = "\n".join(self._log.read_text(errors="replace").splitlines()[-_SHOWN:])
            self._end()
            raise AssertionError(f"the process that runs DAGs ended:\n{last}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _must_forget(self, environment: Mapping[str, str]) -> bool:
        """Whether a storage's connection changed: Airflow keeps one filesystem for each id, for ever."""
        before = {name: value for name, value in self._environment.items() if not _is_ours(value)}
        return before != {name: value for name, value in environment.items() if not _is_ours(value)}

    def _started(self) -> subprocess.Popen[str]:
        home = self._folders.mktemp("lipsync-airflow")
        self._log = home / "log.txt"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        with self._log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow_provider_lipsync.testing.dag_process"],
                env={**inherited, **_environment(home)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.communicate()  # closes its input: it ends by itself
        self._process = None


def _environment(home: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _is_ours(value: str) -> bool:
    """Whether a connection is one to a sandbox: each test has its own, and nothing remembers it."""
    return '"lipsync"' in value
