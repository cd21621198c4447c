"""A sandbox, an S3 server, and an Airflow that runs the example DAGs on both."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_lipsync.sandbox import SandboxServer
from demo.storage import Storage, start_storage
from tests.runner.processes import clean_environment, tail

ROOT = Path(__file__).resolve().parents[2]
STAGING = "staging"


class Examples:
    """Runs example DAGs; what it is asked for, it asks its process for."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def describe(self) -> dict[str, Any]:
        return self._ask(None)

    def run(self, dag_id: str, **conf: Any) -> dict[str, Any]:
        """Run a DAG to its end: `state` of the run, `tasks` with the state of each, `events` of assets."""
        return self._ask({"dag_id": dag_id, "conf": conf})

    def _ask(self, request: object) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            pytest.fail(f"the helper died\n{tail(self._log, 60)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@pytest.fixture(scope="session")
def storage() -> Iterator[Storage]:
    with start_storage() as storage:
        yield storage


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxServer]:
    """Renders for real, in as little time as that takes; so each run defers, and comes back."""
    with SandboxServer(job_seconds=(0, 0)) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def examples(storage: Storage, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    home = tmp_path_factory.mktemp("examples")
    log = home / "helper.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.examples.helper"],
            cwd=ROOT,
            env=clean_environment(home, _environment(home, storage, sandbox)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Examples(process, log)
        process.stdin.close()  # it ends by itself


def _environment(home: Path, storage: Storage, sandbox: SandboxServer) -> dict[str, str]:
    """The pictures are private: two in the bucket, and one on a disk."""
    extra = {"staging_path": f"{storage.root}/{STAGING}", "adaptive_polling": False}  # jobs end at once
    lipsync = {"conn_type": "lipsync", "host": sandbox.base_url, "password": sandbox.key, "extra": extra}
    duo = home / "duo.png"
    duo.write_bytes(_sample(sandbox, "duo.png"))
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_LIPSYNC_DEFAULT": json.dumps(lipsync),
        "AIRFLOW_CONN_LIPSYNC_SANDBOX": json.dumps(lipsync),
        "AIRFLOW_CONN_AWS_DEFAULT": storage.connection,
        "AIRFLOW_VAR_LIPSYNC_STORAGE": storage.root,
        "AIRFLOW_VAR_LIPSYNC_PORTRAIT": storage.put("portrait.png", _sample(sandbox, "portrait.png")),
        "AIRFLOW_VAR_LIPSYNC_CLIP": storage.put("clip.mp4", _sample(sandbox, "clip.mp4")),
        "AIRFLOW_VAR_LIPSYNC_DUO": str(duo),
    }


def _sample(sandbox: SandboxServer, name: str) -> bytes:
    with httpx.Client(trust_env=False, timeout=60) as client:  # the first time, it is rendered
        return client.get(sandbox.sample(name)).raise_for_status().content
