"""The provider in a real Airflow: scheduler, triggerer, DAG processor, API server, and the sandbox over HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.runner import RealAirflow
from tests.runner.plugin import StartAirflow
from tests.runner.secrets import find_secret
from tests.support.objectstore import BUCKET, aws_connection, objectstore

DAGS = Path(__file__).parent / "dags_provider"
KEY = "sk_e2e_5f0c1d7a9b3e4826_secret"
REFUSED_KEY = "sk_e2e_0a9d8c7b6e5f4312_refused"
DAG_ID = "lipsync_jobs"
RENDERED = {"render", "publish", "kept", "in_place", "submit", "wait", "look_now_and_then"}
SUCCEED = RENDERED | {"texts_of_a_cms"}
FAIL = {"no_sound", "refused_key", "reaches_for_the_key", "from_a_cms", "bad_literal"}

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(keys=(KEY,), job_seconds=(20, 22)) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, Any]]:
    with objectstore() as served:
        yield served


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where OpenLineage's events go, a line each."""
    return tmp_path_factory.mktemp("lineage") / "events.jsonl"


@pytest.fixture(scope="module")
def airflow(
    start_airflow: StartAirflow, sandbox: SandboxServer, folder: Path, s3: tuple[str, Any], lineage: Path
) -> RealAirflow:
    bucket = f"s3://aws_e2e@{BUCKET}"

    def connection(key: str) -> str:
        extra = {"staging_path": f"{bucket}/staging", "typical_seconds_low": 18, "typical_seconds_high": 24}
        return json.dumps({"conn_type": "lipsync", "host": sandbox.url, "password": key, "extra": extra})

    def sample(name: str) -> bytes:
        return httpx.get(f"{sandbox.url}/samples/{name}", trust_env=False).content

    (folder / "voice.wav").write_bytes(sample("voice.wav"))
    s3[1].put_object(Bucket=BUCKET, Key="private/portrait.png", Body=sample("portrait.png"))

    return start_airflow(
        dags=DAGS,
        env={
            "AIRFLOW_CONN_LIPSYNC_DEFAULT": connection(KEY),
            "AIRFLOW_CONN_LIPSYNC_REFUSED": connection(REFUSED_KEY),
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{sandbox.url}/samples",
            "AIRFLOW_VAR_LIPSYNC_FOLDER": str(folder),
            "AIRFLOW_VAR_LIPSYNC_BUCKET": bucket,
            "AIRFLOW_CONN_AWS_E2E": aws_connection(s3[0]),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(lineage), "append": True}
            ),
        },
    )


class Finished:
    """A run that is over, and what was seen on the way."""

    def __init__(self, airflow: RealAirflow) -> None:
        self.airflow = airflow
        airflow.unpause(DAG_ID)
        self.run_id = airflow.trigger(DAG_ID)
        airflow.wait_for_task(DAG_ID, self.run_id, "render", ["deferred"])
        airflow.wait_for_task(DAG_ID, self.run_id, "wait", ["deferred"])
        self.found_while_deferred = find_secret(airflow, KEY)
        self.run = airflow.wait_for_run(DAG_ID, self.run_id)
        self.tasks = {task["task_id"]: task for task in airflow.task_instances(DAG_ID, self.run_id)}

    def log(self, task_id: str, map_index: int = -1) -> str:
        return self.airflow.task_log(DAG_ID, self.run_id, task_id, 1, map_index=map_index)

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        return self.airflow.xcom(DAG_ID, self.run_id, task_id, key)


@pytest.fixture(scope="module")
def finished(airflow: RealAirflow) -> Finished:
    return Finished(airflow)


def test_every_dag_is_read_without_an_error(airflow: RealAirflow) -> None:
    assert airflow.import_errors() == []


def test_what_should_succeed_succeeds_and_what_should_fail_fails(finished: Finished) -> None:
    states = {name: task["state"] for name, task in finished.tasks.items()}
    assert states == dict.fromkeys(SUCCEED, "success") | dict.fromkeys(FAIL, "failed")


def test_every_job_was_bought_once(finished: Finished, sandbox: SandboxServer) -> None:
    bought = {submit["job_id"] for submit in sandbox.ledger()}
    assert bought == {finished.xcom(task, "job_id") for task in ("render", "kept", "in_place", "submit", "no_sound")}
    assert len(sandbox.ledger()) == 5


def test_the_result_is_the_same_from_everywhere(finished: Finished, folder: Path) -> None:
    results = {task: finished.xcom(task) for task in RENDERED}
    assert len({tuple(result) for result in results.values()}) == 1
    assert results["wait"] == results["look_now_and_then"]
    assert results["submit"]["status"] == "processing"
    published = folder / f"{finished.run_id}.mp4"
    assert results["publish"]["size"] == published.stat().st_size
    assert results["publish"]["output_uri"] == f"file://{published}"


def test_private_media_go_in_and_the_video_is_kept(finished: Finished, s3: tuple[str, Any]) -> None:
    result, client = finished.xcom("kept"), s3[1]
    key = f"kept/{finished.run_id}.mp4"
    video = client.get_object(Bucket=BUCKET, Key=key)
    content = video["Body"].read()
    assert (result["sha256"], result["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert video["ContentType"] == "video/mp4"
    receipt = json.loads(client.get_object(Bucket=BUCKET, Key=f"{key}.lipsync.json")["Body"].read())
    assert (receipt["job_id"], receipt["sha256"], receipt["task_id"]) == (result["job_id"], result["sha256"], "kept")
    assert client.list_objects_v2(Bucket=BUCKET, Prefix="staging/").get("Contents", []) == []
    [event] = finished.airflow.query("SELECT extra FROM asset_event")
    told = json.loads(event.extra) if isinstance(event.extra, str) else event.extra
    names = ("job_id", "output_uri", "sha256", "size", "credits_estimated", "labels")
    assert told == {name: result[name] for name in names}
    assert told["credits_estimated"] == 12  # the voice has 6 s


def test_openlineage_hears_of_the_media_the_video_and_the_job(finished: Finished, lineage: Path, folder: Path) -> None:
    events = [json.loads(line) for line in lineage.read_text().splitlines()]
    [kept] = [one for one in events if (one["eventType"], one["job"]["name"]) == ("COMPLETE", f"{DAG_ID}.kept")]
    assert {(one["namespace"], one["name"]) for one in kept["inputs"]} == {
        (f"s3://{BUCKET}", "private/portrait.png"),
        ("file", str(folder / "voice.wav")),
    }
    outputs = [(one["namespace"], one["name"]) for one in kept["outputs"]]
    assert (f"s3://{BUCKET}", f"kept/{finished.run_id}.mp4") in outputs
    facet, result = kept["run"]["facets"]["lipsync_job"], finished.xcom("kept")
    assert (facet["jobId"], facet["creditsEstimated"]) == (result["job_id"], result["credits_estimated"])


def test_no_signature_of_an_input_is_anywhere(
    finished: Finished, sandbox: SandboxServer, folder: Path, lineage: Path
) -> None:
    [job] = [job for job in sandbox.ledger() if job["job_id"] == finished.xcom("kept", "job_id")]
    form = job["body"]["formState"]
    signatures = [parse_qs(urlsplit(form[name]).query)["X-Amz-Signature"][0] for name in ("image", "audio")]
    assert len(set(signatures)) == 2
    for signature in signatures:
        assert find_secret(finished.airflow, signature, [folder, lineage.parent]) == []


def test_the_person_on_call_reads_what_to_do(finished: Finished) -> None:
    job_id = finished.xcom("render", "job_id")
    assert f"Job {job_id} (lipsync-image) was bought and is charged" in finished.log("render")
    assert (
        f"Job {job_id} is completed. For a time its video is at {finished.xcom('render')['video_url']}"
        in finished.log("render")
    )
    assert f"Freeing the worker while job {job_id} renders" in finished.log("render")
    failed = finished.xcom("no_sound", "job_id")
    assert f"job {failed} · charged: yes · video: none · next: mend what the vendor names" in finished.log("no_sound")
    assert "Could not download audio: HTTP 404" in finished.log("no_sound")
    assert "job none · charged: no · video: none · next: check the API key" in finished.log("refused_key")
    assert "the API key stands in the request itself, in prompt" in finished.log("reaches_for_the_key")


def test_a_mapped_task_with_bad_input_fails_at_once(finished: Finished) -> None:
    assert {finished.tasks[name]["try_number"] for name in ("from_a_cms", "bad_literal")} == {1}
    assert "the API key stands in the request itself, in prompt" in finished.log("from_a_cms", 0)
    assert "resolution: allowed are 480p, 720p" in finished.log("bad_literal", 0)


def test_the_key_is_nowhere(finished: Finished, lineage: Path) -> None:
    assert finished.found_while_deferred == []
    assert find_secret(finished.airflow, KEY, [lineage.parent]) == []
    assert find_secret(finished.airflow, REFUSED_KEY) == []
