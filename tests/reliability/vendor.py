"""The vendor of a schedule: the sandbox, a fault plan, and jobs that end when they were looked at often enough."""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["KEY", "Vendor", "start_sandbox"]

KEY = "sk_schedules"
_START_DEADLINE = 30.0  # seconds

# Every job waits to be told that it has ended, so that nothing hangs on the speed of a machine.
_WAITS: Mapping[str, Any] = {"fault": "never_ends"}
# What the vendor has to tell arrives when the schedule says so; the sandbox itself sends nothing.
_IS_SILENT: Mapping[str, Any] = {"fault": "webhook_lost"}


@contextmanager
def start_sandbox() -> Iterator[str]:
    """Start a sandbox whose videos are canned, as a process of its own, and give its URL.

    In a thread of this process it would share Python's lock with the tests, and both would be slower.
    """
    command = [sys.executable, "-m", "airflow_provider_lipsync.sandbox", "--canned", "--port", "0", "--key", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], _START_DEADLINE)
            assert readable, "the sandbox said nothing"
            yield next(word for word in process.stdout.readline().split() if word.startswith("http://"))
        finally:
            process.terminate()


class Vendor:
    """One sandbox for many schedules.

    :param base_url: root of its API.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        host, _, port = base_url.removeprefix("http://").partition("/")[0].partition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self._looks: Counter[str] = Counter()
        self._ends: Sequence[tuple[int, str]] = ()
        self._ended: dict[str, dict[str, Any]] = {}
        self._known: list[str] = []

    def begin(self, rules: Sequence[Mapping[str, Any]], *, ends: Sequence[tuple[int, str]]) -> None:
        """Forget everything.

        :param rules: what goes wrong, as the sandbox's fault plan has it.
        :param ends: of each job that is looked at, in turn: at which look it has ended, and as what; the last one for
            all that follow.
        """
        self._control("POST", "/reset")
        self._control("PUT", "/faults", {"faults": [*rules, _WAITS, _IS_SILENT]})
        self._looks.clear()
        self._ended.clear()
        self._ends, self._known = ends, []

    def ledger(self) -> list[dict[str, Any]]:
        """Return every accepted submit, oldest first."""
        submits: list[dict[str, Any]] = self._control("GET", "/ledger")["submits"]
        return submits

    def new_jobs(self, *, are_certain: bool = False) -> list[dict[str, Any]]:
        """Return the jobs that were charged since this was last asked for.

        :param are_certain: whether there is one, which a slow machine may take a moment to charge.
        """
        until = time.monotonic() + (_START_DEADLINE if are_certain else 0.0)
        new: list[dict[str, Any]] = []
        while not new:
            new = [entry for entry in self.ledger() if entry["job_id"] not in self._known]
            if time.monotonic() >= until:
                break
        self._known += [entry["job_id"] for entry in new]
        return new

    def fired(self) -> int:
        """Return how often the rules of :meth:`begin` hit."""
        rules = self._control("GET", "/faults")["faults"]
        return sum(rule["fired"] for rule in rules[:-2])

    def look_at(self, job_id: str) -> str | None:
        """Count a look at a job that is about to be taken, and return what the job ends as now; None = it does not."""
        if job_id not in self._known:
            return None
        self._looks[job_id] += 1
        looks, _ = self._end_of(job_id)
        return self.end(job_id) if self._looks[job_id] == looks else None

    def end(self, job_id: str) -> str | None:
        """Let a job end now, and return as what; None = it has ended before."""
        if job_id in self._ended:
            return None
        _, status = self._end_of(job_id)
        self._ended[job_id] = self._control("POST", f"/jobs/{job_id}/finish", {"status": status})
        return status

    def told(self, job_id: str) -> dict[str, Any]:
        """Return a job that has ended as the vendor tells of it. Nothing that goes wrong with looks hits this one."""
        return self._ended[job_id]

    def _end_of(self, job_id: str) -> tuple[int, str]:
        """Return at which look a job ends, and as what: jobs take their turns as they are first looked at, or end."""
        self._looks[job_id] += 0
        return self._ends[min(list(self._looks).index(job_id), len(self._ends) - 1)]

    def close(self) -> None:
        self._connection.close()

    def _control(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body)
        headers = {} if content is None else {"Content-Type": "application/json"}
        for attempt in (1, 2):
            try:
                self._connection.request(method, f"/sandbox{path}", content, headers)
                answer = self._connection.getresponse()
                came: dict[str, Any] = json.loads(answer.read())
                break
            except (http.client.HTTPException, ConnectionError):  # it was idle for too long
                self._connection.close()
                if attempt == 2:
                    raise
        assert answer.status == 200, (answer.status, came)
        return came
