"""The sandbox of the Lipsync API as a process of its own, and what its ledger says."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.runner.processes import Process, clean_environment, tail

__all__ = ["Sandbox", "SandboxDied", "start_sandbox"]

# Seconds: long enough to see that no worker waits, short enough for a demo. The first look at a job comes after 10 s,
# the second after 15 s; a webhook may wake the task from 7 s after its deferral on, and is waited for until 11 s.
JOB_SECONDS = (9.0, 10.0)
_START_DEADLINE = 30.0  # seconds
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


class SandboxDied(Exception):
    """The sandbox did not start, or has ended."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox.

    :param url: scheme, host and port.
    :param key: the API key that it takes.
    """

    url: str
    key: str = field(repr=False)

    def connection(self, *, staging_path: str, **more: str) -> str:
        """Return the connection ``lipsync_default``, as ``AIRFLOW_CONN_LIPSYNC_DEFAULT`` takes it.

        :param staging_path: where copies of local files are put.
        :param more: extras.
        """
        login = {"host": f"{self.url}/api/v1", "password": self.key}
        low, high = JOB_SECONDS
        extra = {"staging_path": staging_path, "typical_seconds_low": low, "typical_seconds_high": high, **more}
        return json.dumps({"conn_type": "lipsync", **login, "extra": extra})

    def sample(self, name: str) -> bytes:
        """Return a sample, e.g. ``portrait.png``."""
        return self._get(f"/samples/{name}").content

    def ledger(self) -> list[dict[str, Any]]:
        """Return every accepted submit, oldest first."""
        submits: list[dict[str, Any]] = self._get("/sandbox/ledger").json()["submits"]
        return submits

    def _get(self, path: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=30.0) as client:
            return client.get(f"{self.url}{path}").raise_for_status()


@contextmanager
def start_sandbox(log: Path) -> Iterator[Sandbox]:
    """Start a sandbox on a free loopback port, with a key that nobody knows yet.

    :param log: where its output goes.
    :raises SandboxDied: it did not start.
    """
    low, high = JOB_SECONDS
    key = f"sk_demo_{secrets.token_hex(16)}"
    options = ["--port", "0", "--key", key, "--seconds-low", str(low), "--seconds-high", str(high)]
    command = [sys.executable, "-m", "airflow_provider_lipsync.sandbox", *options]
    process = Process(command, env=clean_environment(log.parent, {}), cwd=Path.cwd(), log=log)
    try:
        yield Sandbox(_address(process), key)
    finally:
        process.terminate()
        process.wait(3)
        process.end()


def _address(process: Process) -> str:
    deadline = time.monotonic() + _START_DEADLINE
    while not (found := _ADDRESS.search(process.log.read_text())):
        if not process.alive or time.monotonic() > deadline:
            raise SandboxDied(f"the sandbox did not start\n{tail(process.log, 5)}")
        time.sleep(0.05)
    return found.group()
