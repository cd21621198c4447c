"""One run of a scenario: what a person, a vendor and an out-of-memory killer do to it, and what it cost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil

from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.e2e.kill.board import PATIENCE, Standing
from tests.e2e.kill.stage import Stage

T = TypeVar("T")

ENDED = ("success", "failed")
GLANCE = 0.1  # seconds between two looks at a file or the sandbox


class FailedByTheScheduler(Exception):
    """Airflow's scheduler failed a healthy task, by chance: what the scenario is about cannot be seen."""


@dataclass(frozen=True)
class Cost:
    """A row of the table."""

    scenario: str
    tries: int
    charged: int
    state: str


@dataclass
class Run:
    """A run of one DAG, whose task `render` buys."""

    stage: Stage
    name: str
    dag_id: str
    conf: dict[str, Any]
    costs: list[Cost] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        return re.sub(r"\W+", "-", self.name).strip("-")

    @property
    def is_retried(self) -> bool:
        """Whether Airflow itself tries again; otherwise a person clears."""
        return "retried" in self.dag_id

    @property
    def is_kept_in_folder(self) -> bool:
        """Whether its records go to the connection's `ledger_path`."""
        return self.conf.get("connection") == "lipsync_kept"

    @property
    def vendor(self) -> SandboxServer:
        return self.stage.vendor_of(self.conf.get("connection", "lipsync_default"))

    # What is done to it
    def start(self) -> None:
        airflow = self.stage.airflow
        self.stage.change(lambda: airflow.trigger(self.dag_id, conf=self.conf, run_id=self.run_id))

    def clear(self, task_id: str = "render", map_index: int = -1, **options: Any) -> None:
        """A person clears the task: while it goes on, or when its run has ended, never in the blink between."""
        self._look(lambda seen: _is_for_clearing(seen) or None, task_id, map_index, "the end of its run")
        which = task_id if map_index < 0 else (task_id, map_index)
        airflow = self.stage.airflow
        assert self.stage.change(lambda: airflow.clear(self.dag_id, self.run_id, [which], **options))

    def finish_job(self) -> None:
        """The vendor ends the last job."""
        self.vendor.finish(self.bought()[-1])

    def finish_all_jobs(self) -> None:
        for job in self._jobs():
            if job["status"] == "processing":
                self.vendor.finish(job["job_id"])

    def resume(self, job_id: str) -> None:
        """A person found the job at the vendor, names it, and clears."""
        variable = {"key": f"resume_{self.run_id}", "value": job_id}
        self.stage.change(lambda: self.stage.airflow.request("POST", "/variables", json=variable))
        self.clear()

    def kill_task(self, task_id: str = "render") -> None:
        self.stage.airflow.kill_task(self.dag_id, self.run_id, task_id)

    def kill_worker(self) -> None:
        """Task and supervisor are lost at once, as with their machine: nobody tells Airflow."""
        task = psutil.Process(self.wait("running").pid)
        for process in (task.parent(), task):
            process.kill()

    def comes_again(self, task_id: str = "render") -> None:
        """The first try was killed; Airflow retries it, or reports it as failed and a person clears it."""
        if not self.is_retried:
            self.wait("failed", task_id=task_id)
            self.clear(task_id)

    def let_go(self, point: str) -> None:
        """Let a process go on that is held at this point."""
        (self.stage.folders.markers / f"{self.run_id}.{point}.let-go").touch()

    def again(self) -> Run:
        """Return the same once more, under another name; what is left of this one goes to its end."""
        self.finish_all_jobs()
        return Run(self.stage, f"{self.name}, again", self.dag_id, self.conf)

    def let_all_go(self) -> None:
        """Leave no process that waits for a scenario which is over."""
        for point in self.conf.get("hold", ()):
            self.let_go(point)

    @contextmanager
    def without_heartbeats(self) -> Iterator[None]:
        """Stop the worker that watches the task's process; the process itself goes on."""
        worker = psutil.Process(self.wait("running").pid).parent()
        worker.suspend()
        try:
            yield
        finally:
            worker.resume()

    # What is waited for
    def wait(self, state: str, *, tries: int = 1, task_id: str = "render", map_index: int = -1) -> Standing:
        """Wait until this try of the task is in this state."""

        def look(seen: Standing) -> Standing | None:
            return self._verdict(seen, state, tries)

        return self._look(look, task_id, map_index, f"{state} in try {tries}")

    def _look(self, look: Callable[[Standing], T | None], task_id: str, map_index: int, what: str) -> T:
        key = (self.run_id, task_id, map_index)

        def find(standings: list[Standing]) -> T | None:
            self._check_luck()
            mine = (one for one in standings if (one.run_id, one.task_id, one.map_index) == key)
            return next((look(one) for one in mine), None)

        return self.stage.board.wait(find, what=f"{self.name}, {task_id}: {what}")

    def _verdict(self, seen: Standing, state: str, tries: int) -> Standing | None:
        if (seen.state, seen.try_number) == (state, tries):
            return seen
        if seen.state in ENDED and seen.try_number >= tries:
            raise AssertionError(
                f"{self.name}: {state} in try {tries} was expected, but it is {seen}\n{self.logs(seen)}"
            )
        return None

    def wait_until_held(self, point: str) -> None:
        """Wait until a process is held at this point."""
        reached = self.stage.folders.markers / f"{self.run_id}.{point}.reached"
        self._glance(reached.exists, f"{self.name} at {point!r}")

    def _check_luck(self) -> None:
        """Raise if the race struck where nobody provoked it: a worker told its end when the task was to be resumed."""
        if not self.conf.get("hold") and any("attribute is queued" in said for said in self.mismatches()):
            raise FailedByTheScheduler(self.name)

    def mismatches(self) -> list[str]:
        return self.stage.board.mismatches(self.run_id)

    def wait_until_mismatch(self) -> None:
        """Wait until the scheduler has failed the task because a worker told of an end that it took for a death."""
        statement = "SELECT extra FROM log WHERE event = 'state mismatch' AND run_id = :run_id"
        self._glance(lambda: self.stage.airflow.query(statement, run_id=self.run_id), f"a mismatch of {self.name}")

    def wait_for_submit(self) -> None:
        """Wait until the vendor has the POST."""
        self._glance(self.bought, f"a submit of {self.name}")

    def wait_for_log(self, try_number: int, *texts: str, task_id: str = "render") -> None:
        """Wait until the log of a try says all this; what is told of a process that died comes a little later."""

        def look() -> bool:
            self._check_luck()  # Airflow keeps no history of a try that it ended so
            log = self.log(try_number, task_id)
            return all(text in log for text in texts)

        self._glance(look, f"in the log of {self.name}, try {try_number}: {texts}")

    def _glance(self, look: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not look():
            self._check_luck()
            if time.monotonic() > deadline:
                raise TimeoutError(f"never seen: {what}")
            time.sleep(GLANCE)

    # What it came to
    def bought(self) -> list[str]:
        """Ids of the jobs that were charged, oldest first, from the sandbox's ledger."""
        return [job["job_id"] for job in self._jobs()]

    def _jobs(self) -> list[dict[str, Any]]:
        return [job for job in self.vendor.ledger() if _of(job) == self.run_id]

    def standings(self) -> list[Standing]:
        """The instances of `render`, in order."""
        renders = (one for one in self.stage.board.of_run(self.run_id) if one.task_id == "render")
        return sorted(renders, key=lambda one: one.map_index)

    def log(self, try_number: int, task_id: str = "render") -> str:
        return self.stage.airflow.task_log(self.dag_id, self.run_id, task_id, try_number)

    def logs(self, seen: Standing) -> str:
        """The last lines of every try, for a message."""
        airflow, numbers = self.stage.airflow, range(1, seen.try_number + 1)
        tries = [airflow.task_log(self.dag_id, self.run_id, seen.task_id, n, map_index=seen.map_index) for n in numbers]
        return "\n".join(f"--- try {n}\n{text[-3000:]}" for n, text in enumerate(tries, 1))

    def result(self, task_id: str = "render", map_index: int = -1) -> dict[str, Any]:
        return self.stage.airflow.xcom(self.dag_id, self.run_id, task_id, map_index=map_index)

    def handed_on(self) -> set[str]:
        """Ids of the jobs in the results."""
        return {self.result(map_index=one.map_index)["job_id"] for one in self.standings()}

    def video(self) -> bytes:
        """The video of the last job, as the vendor serves it."""
        return httpx.get(f"{self.vendor.url}/outputs/{self.bought()[-1]}.mp4", trust_env=False).content

    def note_cost(self, scenario: str = "") -> Cost:
        """Write down what was charged so far, and where the tasks stand."""
        standings = self.stage.board.of_run(self.run_id)
        states = "/".join(sorted({str(one.state) for one in standings}))
        tries = max((one.try_number for one in standings), default=0)
        self.costs.append(Cost(scenario or self.name, tries, len(self.bought()), states))
        return self.costs[-1]


def _is_for_clearing(seen: Standing) -> bool:
    """Between the end of a task and that of its run, the scheduler may end a run whose task was just cleared."""
    return seen.state not in ENDED or seen.run_state in ENDED


def _of(job: dict[str, Any]) -> str:
    """The run that asked for a job: it stands in the address of the sound."""
    [run_id] = parse_qs(urlsplit(job["body"]["formState"]["audio"]).query)["of"]
    return run_id
