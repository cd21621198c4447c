"""The page of the migration: each "before" is a DAG, each "after" runs on the sandbox and buys once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX, Receipt
from airflow_provider_lipsync.sandbox import SandboxServer
from demo.storage import CREDENTIALS, REGION, start_storage
from tests.docs.test_docs import ROOT
from tests.examples.conftest import Examples
from tests.runner.processes import clean_environment

PAGE = (ROOT / "docs" / "migrating.md").read_text()
PATTERNS = {
    "One task that does it all": ("greeting_by_hand", "greeting"),
    "Submit, then a sensor that polls": ("announcement_by_hand", "announcement"),
    "Many at once, with a webhook": ("greetings_by_hand", "greetings_for_all"),
}
ADOPTING = "Adopting jobs in flight"
BUCKET = "media"
# The helper of the example DAGs, in a folder of ours.
RUN_DAGS = (
    "import pathlib, sys; from tests.examples import helper; helper.EXAMPLES = pathlib.Path(sys.argv[1]); helper.main()"
)


def section(title: str) -> str:
    [found] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def snippets(title: str) -> list[str]:
    """Its DAGs. What is shown as it was before stands between tildes: the test that runs all Python of the docs
    leaves it alone, since Airflow's own sensors warn of what they import."""
    return [code for _, code in re.findall(r"^(```|~~~)python\n(.*?)^\1$", section(title), re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("title", PATTERNS)
def test_each_pattern_shows_both_sides_and_what_goes_wrong(title: str) -> None:
    before, after = snippets(title)
    assert "requests" in before
    assert "requests" not in after
    assert section(title).index("**Before.**") < section(title).index("**After.**")
    wrong = re.findall(r"^- \*\*(.+?)\*\*: .+", section(title), flags=re.MULTILINE)
    assert len(wrong) == 4
    assert "Paid twice" in wrong


def test_the_page_names_its_tests_and_shows_one_way_to_adopt_as_a_dag() -> None:
    assert Path(__file__).relative_to(ROOT).as_posix() in PAGE
    assert len(snippets(ADOPTING)) == 1


class Bucket:
    """The bucket that the page speaks of."""

    def __init__(self, url: str) -> None:
        self._client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["login"],
            aws_secret_access_key=CREDENTIALS["password"],
        )
        self._client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def videos(self) -> dict[str, Receipt]:
        """All that stands in it, by key, as its receipt has it; a video without one is an error."""
        found = self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        keys = [item["Key"] for item in found if item["Key"].endswith(".mp4")]
        return {key: Receipt.from_bytes(self._read(key + RECEIPT_SUFFIX)) for key in keys}

    def _read(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    """Its jobs are done when they are first looked at: what waiting does, the example DAGs show."""
    with SandboxServer(canned=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def page(sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Examples, Bucket]]:
    """An Airflow that has read every DAG of the page, and the bucket that they speak of."""
    home = tmp_path_factory.mktemp("migrating")
    dags = home / "dags"
    dags.mkdir()
    for title in (*PATTERNS, ADOPTING):
        *before, after = snippets(title)
        (dags / f"{title.split()[0].lower()}_after.py").write_text(after)
        for code in before:
            (dags / f"{title.split()[0].lower()}_before.py").write_text(code)
    with start_storage() as storage:
        bucket = Bucket(storage.url)
        with httpx.Client(trust_env=False, timeout=60) as client:
            bucket.put("inputs/host.png", client.get(sandbox.sample("portrait.png")).content)
            for name in ("greeting", "news", "ada", "grace"):
                bucket.put(f"inputs/{name}.wav", client.get(sandbox.sample("voice.wav")).content)
        lipsync = {"conn_type": "lipsync", "host": sandbox.base_url, "password": sandbox.key}
        environment = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_LIPSYNC_DEFAULT": json.dumps({**lipsync, "extra": {"adaptive_polling": False}}),
            "AIRFLOW_CONN_AWS_DEFAULT": storage.connection,
        }
        log = home / "helper.log"
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [sys.executable, "-c", RUN_DAGS, str(dags)],
                cwd=ROOT,
                env=clean_environment(home, {**environment, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            yield Examples(process, log), bucket
            process.stdin.close()  # it ends by itself


Ran = Callable[..., dict[str, Any]]


@pytest.fixture
def run(page: tuple[Examples, Bucket], sandbox: SandboxServer) -> Ran:
    """Runs a DAG; returns which jobs were bought meanwhile, and which videos came into the bucket."""

    def run(dag_id: str, **conf: Any) -> dict[str, Any]:
        airflow, bucket = page
        standing, known = bucket.videos(), {job["job_id"] for job in sandbox.ledger()}
        ended = airflow.run(dag_id, **conf)
        bought = [job["job_id"] for job in sandbox.ledger() if job["job_id"] not in known]
        videos = {key: receipt for key, receipt in bucket.videos().items() if key not in standing}
        return {"state": ended["state"], "tasks": ended["tasks"], "bought": bought, "videos": videos}

    return run


@pytest.fixture
def bought_by_the_old_dag(sandbox: SandboxServer) -> Callable[[], str]:
    """Submits as the old code does."""

    def submit() -> str:
        body = {"formState": {"image": sandbox.sample("portrait.png"), "audio": sandbox.sample("voice.wav")}}
        with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {sandbox.key}"}) as client:
            answer = client.post(f"{sandbox.base_url}/lipsync-image", json=body).raise_for_status()
        return str(answer.json()["id"])

    return submit


@pytest.mark.airflow
def test_every_snippet_is_a_dag_and_what_comes_after_is_read_without_a_warning(page: tuple[Examples, Bucket]) -> None:
    found = page[0].describe()
    assert found["errors"] == {}
    assert [path for path in found["warnings"] if path.endswith("_after.py")] == []
    assert set(found["dags"]) == {dag_id for pair in PATTERNS.values() for dag_id in pair} | {"adopt"}


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("dag_id", "videos"),
    [
        pytest.param("greeting", [r"videos/greeting-\d{8}T\d{6}\.mp4"], id="one task"),
        pytest.param("announcement", [r"videos/news-\d{8}T\d{6}\.mp4"], id="submit and sensor"),
        pytest.param("greetings_for_all", [r"videos/ada\.mp4", r"videos/grace\.mp4"], id="many"),
    ],
)
def test_what_comes_after_buys_once_and_stores_the_video(run: Ran, dag_id: str, videos: list[str]) -> None:
    ran = run(dag_id)
    assert ran["state"] == "success", ran["tasks"]
    stored = sorted(ran["videos"])
    assert len(stored) == len(videos)
    assert all(re.fullmatch(pattern, key) for pattern, key in zip(videos, stored, strict=True)), stored
    assert sorted(ran["bought"]) == sorted(receipt.job_id for receipt in ran["videos"].values())


@pytest.mark.airflow
def test_what_stands_already_is_not_bought_by_another_run_of_the_many(run: Ran) -> None:
    run("greetings_for_all")  # or its own test did
    ran = run("greetings_for_all")
    assert (ran["state"], ran["bought"], ran["videos"]) == ("success", [], {})


@pytest.mark.airflow
def test_a_job_in_flight_is_adopted_by_a_run_of_the_new_dag(
    run: Ran, page: tuple[Examples, Bucket], bought_by_the_old_dag: Callable[[], str]
) -> None:
    job_id = bought_by_the_old_dag()
    ran = run("greeting", job=job_id)
    assert (ran["state"], ran["bought"]) == ("success", []), ran["tasks"]
    assert job_id in {receipt.job_id for receipt in page[1].videos().values()}


@pytest.mark.airflow
def test_jobs_in_flight_are_adopted_on_their_own_and_one_that_failed_keeps_no_other(
    run: Ran, sandbox: SandboxServer, bought_by_the_old_dag: Callable[[], str]
) -> None:
    sandbox.set_faults([{"fault": "fails", "times": 1}])
    try:
        failed, *others = [bought_by_the_old_dag() for _ in range(3)]
    finally:
        sandbox.clear_faults()
    ran = run("adopt", jobs=[failed, *others])
    assert (ran["state"], ran["bought"]) == ("failed", [])
    assert ran["videos"].keys() == {f"adopted/{job_id}.mp4" for job_id in others}
    assert run("adopt", jobs=others)["videos"] == {}
