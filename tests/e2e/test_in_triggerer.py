"""Sensors that start and end in the triggerer of a real Airflow: what they hand on, and that no worker saw them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.runner import RealAirflow
from tests.runner.plugin import StartAirflow
from tests.runner.secrets import find_secret

DAGS = Path(__file__).parent / "dags_in_triggerer"
DAG_ID = "in_triggerer"
KEY = "sk_e2e_7d1b9c4f2a6e8053_secret"
REFUSED_KEY = "sk_e2e_1f3e5d7c9b0a2846_refused"
ENDED_IN_THE_TRIGGERER = {
    "wait": "success",
    "by_template": "success",
    "late": "failed",
    "failed": "failed",
    "skipped": "skipped",
    "refused_key": "failed",
    "reaches_for_the_key": "failed",
}
WAITING = [("deferred", -1), ("by_template", -1), ("mapped", 0), ("each.wait", 0), ("each.wait", 1), ("for_good", -1)]
BUYING = [("submit", -1), ("each.buy", 0), ("each.buy", 1)]
NO_SOUND = "Could not download audio: HTTP 404"
NEVER = 36_000.0  # seconds: jobs end when the test says so
WORKERS_STARTED = dict.fromkeys(ENDED_IN_THE_TRIGGERER, 0) | {"for_good": 1, "deferred": 2}

pytestmark = pytest.mark.airflow


class Finished:
    """A run that is over; on the way the triggerer may have been killed. Jobs end once everybody waits for them."""

    def __init__(self, airflow: RealAirflow, sandbox: SandboxServer, *, killed: bool = False) -> None:
        self.airflow = airflow
        airflow.unpause(DAG_ID)
        self.run_id = airflow.trigger(DAG_ID)
        airflow.wait_for_task(DAG_ID, self.run_id, "wait", ["deferred"])
        self.found_while_deferred = [] if killed else find_secret(airflow, KEY)
        if killed:
            airflow.kill("triggerer")
            airflow.start("triggerer")
        for task_id, map_index in WAITING:
            airflow.wait_for_task(DAG_ID, self.run_id, task_id, ["deferred"], map_index=map_index)
        airflow.wait_for_task(DAG_ID, self.run_id, "late")
        for task_id, map_index in BUYING:
            sandbox.finish(self.xcom(task_id, "job_id", map_index))
        sandbox.finish(self.xcom("no_sound", "job_id"), "failed", NO_SOUND)
        airflow.wait_for_run(DAG_ID, self.run_id)
        self.tasks = {(ti["task_id"], ti["map_index"]): ti for ti in airflow.task_instances(DAG_ID, self.run_id)}

    def state(self, task_id: str, map_index: int = -1) -> str:
        return str(self.tasks[task_id, map_index]["state"])

    def log(self, task_id: str, try_number: int = 1) -> str:
        return self.airflow.task_log(DAG_ID, self.run_id, task_id, try_number)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        return self.airflow.xcom(DAG_ID, self.run_id, task_id, key, map_index=map_index)

    def workers_started(self, task_id: str) -> int:
        return self.airflow.workers_started(DAG_ID, self.run_id, task_id)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(keys=(KEY,), canned=True, job_seconds=(NEVER, NEVER)) as server:
        yield server


@pytest.fixture(scope="module")
def airflow(start_airflow: StartAirflow, sandbox: SandboxServer) -> RealAirflow:
    def connection(key: str) -> str:
        return json.dumps({"conn_type": "lipsync", "host": sandbox.url, "password": key})

    airflow = start_airflow(
        dags=DAGS,
        env={
            "AIRFLOW_CONN_LIPSYNC_DEFAULT": connection(KEY),
            "AIRFLOW_CONN_LIPSYNC_REFUSED": connection(REFUSED_KEY),
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{sandbox.url}/samples",
            "AIRFLOW_VAR_LIPSYNC_CONN": "lipsync_default",
        },
    )
    assert airflow.import_errors() == []
    assert httpx.get(f"{sandbox.url}/samples/voice.wav", trust_env=False, timeout=60).status_code == 200
    return airflow


@pytest.fixture(scope="module")
def finished(airflow: RealAirflow, sandbox: SandboxServer) -> Finished:
    return Finished(airflow, sandbox)


def test_each_sensor_ends_as_its_job_did(finished: Finished) -> None:
    assert {name: finished.state(name) for name in ENDED_IN_THE_TRIGGERER} == ENDED_IN_THE_TRIGGERER


def test_no_worker_is_started_for_a_sensor_that_ends_in_the_triggerer(finished: Finished) -> None:
    """The deferred one beside them shows that a worker would be seen: in the log, in the files, in the database."""
    logs = finished.airflow.home / "logs" / f"dag_id={DAG_ID}" / f"run_id={finished.run_id}"
    queued = {
        row.task_id
        for row in finished.airflow.query("SELECT task_id FROM task_instance WHERE queued_dttm IS NOT NULL OR pid > 0")
    }
    for name, started in WORKERS_STARTED.items():
        assert finished.workers_started(name) == started, name
        files = {path.suffix for path in (logs / f"task_id={name}").iterdir() if ".trigger." not in path.name}
        assert files == ({".log"} if started else set()), name
        assert (name in queued) is (started > 0), name


def told_by_the_vendor(result: dict[str, Any]) -> dict[str, Any]:
    """The result of a sensor that was given an id alone: it cannot know what whoever bought the job knew."""
    return result | {"credits_estimated": None, "labels": None}


def test_the_result_is_that_of_the_deferred_sensor(finished: Finished) -> None:
    result = finished.xcom("deferred")
    assert isinstance(result, dict)
    assert (result["status"], result["job_id"]) == ("completed", finished.xcom("submit", "job_id"))
    assert finished.xcom("wait") == result
    assert result["credits_estimated"] is not None
    assert finished.xcom("by_template") == told_by_the_vendor(result)


def test_the_next_task_reads_a_dict(finished: Finished) -> None:
    assert finished.xcom("read") == ["dict", finished.xcom("submit", "job_id"), "completed"]


def test_in_a_mapped_task_group_each_sensor_waits_for_its_own_job(finished: Finished) -> None:
    for index in (0, 1):
        assert finished.state("each.wait", index) == "success"
        assert finished.xcom("each.wait", map_index=index)["job_id"] == finished.xcom("each.buy", "job_id", index)
    assert finished.workers_started("each.wait") == 0


def test_a_mapped_sensor_is_deferred_from_a_worker(finished: Finished) -> None:
    assert finished.state("mapped", 0) == "success"
    assert finished.workers_started("mapped") == 2
    assert finished.xcom("mapped", map_index=0) == told_by_the_vendor(finished.xcom("deferred"))


def test_the_person_on_call_reads_the_same_words(finished: Finished) -> None:
    job_id, failed = finished.xcom("submit", "job_id"), finished.xcom("no_sound", "job_id")
    assert f"Job {job_id} is completed. For a time its video is at " in finished.log("wait")
    assert f"job {job_id} · charged: yes · video: none · next: clear the task to wait on" in finished.log("late")
    for name in ("failed", "skipped", "for_good"):
        assert f"job {failed} · charged: yes · video: none · next: mend what the vendor names" in finished.log(name)
        assert NO_SOUND in finished.log(name)
    assert "the vendor refused the query (401)" in finished.log("refused_key")
    assert "the API key stands where a job id belongs" in finished.log("reaches_for_the_key")


def test_what_a_retry_cannot_mend_is_not_retried_and_the_rest_is(finished: Finished) -> None:
    assert finished.state("for_good") == "failed"
    assert finished.tasks["for_good", -1]["try_number"] == 1
    assert finished.tasks["refused_key", -1]["try_number"] == 2


def test_a_triggerer_that_is_killed_and_comes_back_ends_them_all_the_same(
    airflow: RealAirflow, sandbox: SandboxServer
) -> None:
    again = Finished(airflow, sandbox, killed=True)
    assert {name: again.state(name) for name in ENDED_IN_THE_TRIGGERER} == ENDED_IN_THE_TRIGGERER
    assert {again.workers_started(name) for name in ENDED_IN_THE_TRIGGERER} == {0}
    assert again.xcom("wait") == again.xcom("deferred")
    assert again.xcom("read") == ["dict", again.xcom("submit", "job_id"), "completed"]


def test_the_key_is_nowhere(finished: Finished) -> None:
    assert finished.found_while_deferred == []
    assert find_secret(finished.airflow, KEY) == []
    assert find_secret(finished.airflow, REFUSED_KEY) == []
