"""The pages in a real Airflow, looked at in chromium: its own tabs, the player from a mail, and a person who decides.

With the environment's LIPSYNC_SCREENSHOTS naming a folder, the pictures of the docs are taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_lipsync.sandbox.server import SandboxServer
from demo.storage import Storage, start_storage
from tests.plugin.pages_browser import browser
from tests.runner import RealAirflow
from tests.runner.plugin import StartAirflow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page

__all__ = ["browser"]

pytestmark = pytest.mark.airflow

DAGS = Path(__file__).parent / "dags_pages"
EXAMPLES = Path(__file__).parents[2] / "example_dags"
MOST = 30_000  # milliseconds that a page of Airflow's may take on a busy machine
WAITS_FOR_A_PERSON = ("awaiting_input", "deferred")  # the second one before Airflow 3.3


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with start_storage() as started:
        yield started


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(job_seconds=(11, 12)) as started:
        yield started


@pytest.fixture(scope="module")
def airflow(start_airflow: StartAirflow, sandbox: SandboxServer, storage: Storage) -> RealAirflow:
    extra = {"staging_path": f"{storage.root}/staging", "typical_seconds_low": 5, "typical_seconds_high": 15}
    connection = {"conn_type": "lipsync", "host": sandbox.base_url, "password": sandbox.key, "extra": extra}
    picture = httpx.get(sandbox.sample("portrait.png"), trust_env=False).content
    return start_airflow(
        dags=[DAGS, EXAMPLES],
        env={
            "AIRFLOW_CONN_LIPSYNC_DEFAULT": json.dumps(connection),
            "AIRFLOW_CONN_AWS_DEFAULT": storage.connection,
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{sandbox.url}/samples",
            "AIRFLOW_VAR_LIPSYNC_STORAGE": storage.root,
            "AIRFLOW_VAR_LIPSYNC_PORTRAIT": storage.put("portrait.png", picture),
        },
    )


@pytest.fixture(scope="module")
def runs(airflow: RealAirflow) -> dict[str, str]:
    """Both DAGs, started together: the videos render while a person is asked about another one."""
    assert airflow.import_errors() == []
    started = {}
    for dag_id in ("videos", "approve"):
        airflow.unpause(dag_id)
        started[dag_id] = airflow.trigger(dag_id)
    return started


@pytest.fixture(scope="module")
def videos(airflow: RealAirflow, runs: dict[str, str]) -> str:
    airflow.wait_for_run("videos", runs["videos"])
    return runs["videos"]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab in which no request of ours may fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(MOST)
    opened, failed = context.new_page(), []

    def note(response: Any) -> None:
        if "/lipsync/" in response.url and response.status >= 400:
            failed.append(f"{response.status} {response.url}")

    opened.on("response", note)
    yield opened
    context.close()
    assert failed == []


def plays(frame: Page | Frame) -> float:
    """Play the video that is shown; return how far it came."""
    frame.wait_for_selector("video", timeout=MOST)
    moved = frame.evaluate(
        """async () => {
            const video = document.querySelector("video");
            video.muted = true;
            await video.play();
            await new Promise(done => { video.ontimeupdate = () => { if (video.currentTime > 0.2) done(); }; });
            return video.currentTime;
        }"""
    )
    return float(moved)


def tab_of(page: Page, airflow: RealAirflow, path: str) -> Frame:
    """Open a page of Airflow's UI, and return the page of ours inside it, once it shows what it was told."""
    page.goto(f"{airflow.url}{path}")
    frame = page.wait_for_selector("iframe", timeout=MOST).content_frame()
    assert frame is not None
    frame.wait_for_selector("main[aria-busy=false]", timeout=MOST)
    return frame


def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("LIPSYNC_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def path_of(run_id: str, task_id: str = "", map_index: int = -1) -> str:
    task = f"/tasks/{task_id}" if task_id else ""
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    return f"/dags/videos/runs/{quote(run_id)}{task}{mapped}/plugin"


def test_a_task_shows_its_job_while_it_renders(airflow: RealAirflow, runs: dict[str, str], page: Page) -> None:
    airflow.wait_for_task("videos", runs["videos"], "at_the_vendor", ["deferred"])
    frame = tab_of(page, airflow, f"{path_of(runs['videos'], 'at_the_vendor')}/lipsync-player")
    text = frame.inner_text("main")
    job_id = airflow.xcom("videos", runs["videos"], "at_the_vendor", "job_id")
    assert job_id in text
    assert "10 (estimated)" in text
    # It is the very page that becomes the video, without anybody touching it.
    frame.wait_for_selector("video", timeout=60_000)


def test_a_mapped_video_plays_in_airflows_own_tab_from_ones_own_storage(
    airflow: RealAirflow, videos: str, page: Page
) -> None:
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url) if request.resource_type == "media" else None)
    frame = tab_of(page, airflow, f"{path_of(videos, 'greet', 1)}/lipsync-player")
    assert plays(frame) > 0.2
    assert fetched
    assert all(url.startswith(f"{airflow.url}/lipsync/video?") for url in fetched)
    text = frame.inner_text("main")
    assert "acme" in text
    assert "s3://lipsync-media/greet/" in text
    shoot(page, "player")


def test_the_extra_link_leads_to_the_player(airflow: RealAirflow, videos: str, page: Page) -> None:
    links = airflow.request("GET", f"/dags/videos/dagRuns/{quote(videos, safe='')}/taskInstances/at_the_vendor/links")
    address = links["extra_links"]["Lipsync video"]
    assert address.startswith(f"{airflow.url}/lipsync/player?dag_id=videos&run_id=")
    page.goto(address)
    assert plays(page) > 0.2


@pytest.mark.parametrize(
    ("task_id", "expected"),
    [
        pytest.param("no_sound", "failed", id="failed"),
        pytest.param("too_dear", "max_credits", id="refused"),
        pytest.param("others", "not one of", id="not ours"),
    ],
)
def test_a_task_without_a_video_says_why(
    airflow: RealAirflow, videos: str, page: Page, task_id: str, expected: str
) -> None:
    frame = tab_of(page, airflow, f"{path_of(videos, task_id)}/lipsync-player")
    assert expected in frame.inner_text("main").lower()
    assert frame.query_selector("video") is None


def test_a_run_is_a_sheet_of_its_videos(airflow: RealAirflow, videos: str, page: Page) -> None:
    frame = tab_of(page, airflow, f"{path_of(videos)}/lipsync-run")
    text = frame.inner_text("main")
    assert all(name in text for name in ("greet", "at_the_vendor", "no_sound", "too_dear"))
    assert "others" not in text
    frame.wait_for_function(
        "() => [...document.querySelectorAll('img')].filter(image => image.naturalWidth >= 100).length >= 3"
    )
    shoot(page, "run")


def test_the_jobs_of_all_dags_stand_in_the_navigation(airflow: RealAirflow, videos: str, page: Page) -> None:
    frame = tab_of(page, airflow, "/plugin/lipsync-jobs")
    text = frame.inner_text("main")
    assert "greet" in text
    assert "Credits per day" in text
    shoot(page, "jobs")


def answer(airflow: RealAirflow, run_id: str, task_id: str, choice: str) -> None:
    """What a person does in the form."""
    airflow.wait_for_task("approve", run_id, task_id, WAITS_FOR_A_PERSON)
    path = f"/dags/approve/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/-1/hitlDetails"
    airflow.request("PATCH", path, json={"chosen_options": [choice], "params_input": {}})


def test_a_person_watches_rejects_watches_again_and_approves(
    airflow: RealAirflow, runs: dict[str, str], page: Page, storage: Storage, sandbox: SandboxServer
) -> None:
    run_id = runs["approve"]
    airflow.wait_for_task("approve", run_id, "approve_1", WAITS_FOR_A_PERSON)
    path = f"/dags/approve/dagRuns/{quote(run_id, safe='')}/taskInstances/approve_1/-1/hitlDetails"
    body = airflow.request("GET", path)["body"]
    address = body.partition("](")[2].partition(")")[0]
    assert address == airflow.xcom("approve", run_id, "render_1", "lipsync_job")["player_url"]
    page.goto(address)
    assert plays(page) > 0.2
    answer(airflow, run_id, "approve_1", "Reject")
    answer(airflow, run_id, "approve_2", "Publish")
    assert airflow.wait_for_run("approve", run_id)["state"] == "success"
    states = {task["task_id"]: task["state"] for task in airflow.task_instances("approve", run_id)}
    assert (states["publish_2"], states["publish_1"], states["render_3"], states["give_up"]) == (
        "success",
        "skipped",
        "skipped",
        "skipped",
    )
    seeds = [one["body"]["formState"]["seed"] for one in sandbox.ledger() if "seed" in one["body"]["formState"]]
    assert [seed for seed in seeds if seed > 10] == [11, 22]
    keys = storage.keys()
    assert [key for key in keys if key.startswith("approve/") and key.endswith(".mp4")]
