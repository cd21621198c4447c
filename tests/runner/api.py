"""What a test does with a running Airflow over its REST API: start runs, wait for states, read XComs and logs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

T = TypeVar("T")
JSON = dict[str, Any]

POLL_INTERVAL = 0.2  # seconds
PATIENCE = 120.0  # seconds for an answer: a machine that others use stands still for half a minute now and then
FINISHED = ("success", "failed")
LOG_HEAD = "::group::Log message source details"
# What every message of a task carries, and where it was logged.
NOT_IN_LOG_LINES = {
    *("timestamp", "level", "event", "logger", "filename", "lineno"),
    *("dag_id", "run_id", "task_id", "map_index", "try_number", "ti_id", "ti"),
}


class ApiError(Exception):
    """Airflow refused a request."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.request.method} {response.request.url} -> {response.status_code}: {response.text}")
        self.status_code = response.status_code


class RunEnded(Exception):
    """The run is over and what was waited for did not happen."""


class AirflowApi:
    """Calls of the REST API under `url`; `check` runs in every round of waiting and may raise to end it."""

    def __init__(self, url: str, *, username: str, password: str, check: Callable[[], None] = lambda: None) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE)
        self._credentials = {"username": username, "password": password}
        self._check = check

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request under /api/v2 and return the JSON of the answer."""
        response = self._send(method, path, **options)
        return response.json() if response.content else None

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        if "Authorization" not in self._client.headers:
            answer = _checked(self._client.post("/auth/token", json=self._credentials)).json()
            self._client.headers["Authorization"] = f"Bearer {answer['access_token']}"
        return _checked(self._client.request(method, f"/api/v2{path}", **options))

    def wait_until(self, look: Callable[[], T | None], *, timeout: float, what: Callable[[], str]) -> T:
        """Look until something is seen. An API server that is away has not answered yet, and that is all."""
        deadline = time.monotonic() + timeout
        while True:
            self._check()
            try:
                if (seen := look()) is not None:
                    return seen
            except httpx.TransportError as error:
                away: Exception | None = error
            else:
                away = None
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout} s: {away or what()}")
            time.sleep(POLL_INTERVAL)

    # DAGs
    def health(self) -> JSON:
        return self.request("GET", "/monitor/health")

    def dags(self) -> list[JSON]:
        return self.request("GET", "/dags", params={"limit": 1000})["dags"]

    def import_errors(self) -> list[JSON]:
        """Each with `filename` (in its bundle), `bundle_name` and `stack_trace`."""
        return self.request("GET", "/importErrors", params={"limit": 1000})["import_errors"]

    def unpause(self, dag_id: str) -> None:
        self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    # Runs
    def trigger(
        self,
        dag_id: str,
        *,
        conf: JSON | None = None,
        logical_date: datetime | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a run and return its id."""
        body: JSON = {"conf": conf or {}, "logical_date": logical_date.isoformat() if logical_date else None}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]

    def dag_run(self, dag_id: str, run_id: str) -> JSON:
        return self.request("GET", _run(dag_id, run_id))

    def wait_for_run(
        self, dag_id: str, run_id: str, states: Collection[str] = FINISHED, *, timeout: float = 120
    ) -> JSON:
        """Wait for the run to be in one of `states`; it comes back."""

        def look() -> JSON | None:
            run = self.dag_run(dag_id, run_id)
            return run if run["state"] in states else self._not_yet(run)

        return self.wait_until(look, timeout=timeout, what=lambda: self._describe(dag_id, run_id))

    def _not_yet(self, run: JSON) -> None:
        if run["state"] in FINISHED:
            raise RunEnded(self._describe(run["dag_id"], run["dag_run_id"]))

    def _describe(self, dag_id: str, run_id: str) -> str:
        tasks = ", ".join(
            f"{ti['task_id']}[{ti['map_index']}] {ti['state']} (try {ti['try_number']})"
            for ti in self.task_instances(dag_id, run_id)
        )
        return f"run {run_id} of {dag_id} is {self.dag_run(dag_id, run_id)['state']}: {tasks}"

    # Task instances
    def task_instances(self, dag_id: str, run_id: str) -> list[JSON]:
        path = f"{_run(dag_id, run_id)}/taskInstances"
        return self.request("GET", path, params={"limit": 1000})["task_instances"]

    def task_instance(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> JSON | None:
        """None where the run has no such task instance (yet)."""
        for instance in self.task_instances(dag_id, run_id):
            if (instance["task_id"], instance["map_index"]) == (task_id, map_index):
                return instance
        return None

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: Collection[str] = FINISHED,
        *,
        map_index: int = -1,
        timeout: float = 120,
    ) -> JSON:
        """Wait for the task instance to be in one of `states`; it comes back."""

        def look() -> JSON | None:
            run = self.dag_run(dag_id, run_id)
            instance = self.task_instance(dag_id, run_id, task_id, map_index=map_index)
            return instance if instance and instance["state"] in states else self._not_yet(run)

        return self.wait_until(look, timeout=timeout, what=lambda: self._describe(dag_id, run_id))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """The value as JSON; what JSON has no type for comes in Airflow's own notation (`__classname__`)."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{quote(key, safe='')}"
        return self.request("GET", path, params={"map_index": map_index})["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, *, map_index: int = -1) -> str:
        """One line for each message: level, text, and what was logged with it, tracebacks included."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        params = {"map_index": map_index, "full_content": True}
        answer = self._send("GET", path, params=params, headers={"Accept": "application/x-ndjson"})
        return "\n".join(_log_lines(json.loads(line) for line in answer.text.splitlines()))

    def clear(
        self, dag_id: str, run_id: str, task_ids: Sequence[str | tuple[str, int]] | None = None, **options: Any
    ) -> list[JSON]:
        """Clear tasks (or all), finished or not. `options` are those of Airflow: `include_downstream` and so on."""
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False} | options
        if task_ids is not None:
            body["task_ids"] = list(task_ids)
        return self.request("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)["task_instances"]

    def set_state(
        self, dag_id: str, run_id: str, state: str, *, task_id: str | None = None, map_index: int = -1
    ) -> None:
        """Mark a task instance, or without `task_id` the whole run, as `success` or `failed`."""
        if task_id is None:
            self.request("PATCH", _run(dag_id, run_id), json={"state": state})
            return
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}"
        self.request("PATCH", path if map_index < 0 else f"{path}/{map_index}", json={"new_state": state})


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise ApiError(response)
    return response


def _log_lines(messages: Iterable[JSON]) -> Iterator[str]:
    """Without the head, in which Airflow names the files that it read."""
    in_head = False
    for message in messages:
        event = message["event"]
        in_head = in_head or event == LOG_HEAD
        if not in_head:
            extra = {key: value for key, value in message.items() if key not in NOT_IN_LOG_LINES}
            yield " ".join(str(part) for part in (message.get("level"), event, extra) if part)
        in_head = in_head and event != "::endgroup::"
