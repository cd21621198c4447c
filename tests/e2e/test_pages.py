"""The pages in a real Airflow, looked at in chromium: its own tabs, the player from a mail, and a person who decides.

With the environment's LIPSYNC_SCREENSHOTS naming a folder, the pictures of the docs are taken.
"""

from __future__ import annotations

import contextlib
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
    from playwright.sync_api import Browser, BrowserContext, Frame, Page

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
    """Renders pictures at once, and videos until a test ends them: so nobody waits for a clock."""
    with SandboxServer(job_seconds=(0, 0), faults=[{"fault": "never_ends", "on": "lipsync-video"}]) as started:
        yield started


@pytest.fixture(scope="module")
def airflow(start_airflow: StartAirflow, sandbox: SandboxServer, storage: Storage) -> RealAirflow:
    extra = {"staging_path": f"{storage.root}/staging", "typical_seconds_low": 2, "typical_seconds_high": 10}
    connection = {"conn_type": "lipsync", "host": sandbox.base_url, "password": sandbox.key, "extra": extra}
    picture = httpx.get(sandbox.sample("portrait.png"), trust_env=False, timeout=60).content
    return start_airflow(
        dags=[DAGS, EXAMPLES],
        env={
            "AIRFLOW__CORE__PARALLELISM": "3",  # nine tasks that start at once keep two cores from answering any
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
    for dag_id in ("approve", "videos"):
        airflow.unpause(dag_id)
        started[dag_id] = airflow.trigger(dag_id)
    return started


@pytest.fixture(scope="module")
def rendering(airflow: RealAirflow, runs: dict[str, str]) -> str:
    """The id of a job that renders until it is ended by hand."""
    airflow.wait_for_task("videos", runs["videos"], "at_the_vendor", ["deferred"])
    return str(airflow.xcom("videos", runs["videos"], "at_the_vendor", "job_id"))


@pytest.fixture(scope="module")
def videos(airflow: RealAirflow, runs: dict[str, str], rendering: str, sandbox: SandboxServer) -> str:
    """A run that is over: a person marked one of its tasks as failed while the vendor rendered for it."""
    with contextlib.suppress(ValueError):  # a test ended it already
        sandbox.finish(rendering)
    airflow.wait_for_task("videos", runs["videos"], "left_behind", ["deferred"])
    airflow.set_state("videos", runs["videos"], "failed", task_id="left_behind")
    airflow.wait_for_run("videos", runs["videos"])
    return runs["videos"]


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all tests: Airflow's own UI is megabytes of scripts, which are loaded once."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(MOST)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab in which no request of ours may fail."""
    opened, failed = context.new_page(), []

    def note(response: Any) -> None:
        if "/lipsync/" in response.url and response.status >= 400:
            failed.append(f"{response.status} {response.url}")

    opened.on("response", note)
    yield opened
    opened.close()
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


def link_of(airflow: RealAirflow, run_id: str, task_id: str) -> str:
    """Return where the task's button *Lipsync video* leads."""
    path = f"/dags/videos/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/links"
    return str(airflow.request("GET", path)["extra_links"]["Lipsync video"])


def test_a_task_shows_its_job_while_it_renders_and_then_its_video(
    airflow: RealAirflow, runs: dict[str, str], rendering: str, sandbox: SandboxServer, page: Page
) -> None:
    address = link_of(airflow, runs["videos"], "at_the_vendor")  # also while it is deferred
    assert address.startswith(f"{airflow.url}/lipsync/player?dag_id=videos&run_id=")
    page.goto(address)
    page.wait_for_selector(".counter")
    text = page.inner_text("main")
    assert "Rendering for" in text
    assert rendering in text
    assert "10 (estimated)" in text
    sandbox.finish(rendering)
    # It is the very page that becomes the video, without anybody touching it.
    page.wait_for_selector("video", timeout=60_000)
    assert plays(page) > 0.2
    assert link_of(airflow, runs["videos"], "at_the_vendor") == address


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


@pytest.mark.parametrize(
    ("task_id", "expected"),
    [
        pytest.param("no_sound", ["Failed", "Could not download audio"], id="failed"),
        pytest.param("too_dear", ["Refused", "max_credits"], id="refused"),
        pytest.param("left_behind", ["Undelivered", "Charged, and not handed on"], id="undelivered"),
    ],
)
def test_a_task_without_a_video_says_why(
    airflow: RealAirflow, videos: str, page: Page, task_id: str, expected: list[str]
) -> None:
    page.goto(link_of(airflow, videos, task_id))
    page.wait_for_selector("main[aria-busy=false]")
    text = page.inner_text("main")
    assert [words for words in expected if words not in text] == []
    assert page.query_selector("video") is None


def test_on_a_task_that_is_not_ours_the_tab_says_so(airflow: RealAirflow, videos: str, page: Page) -> None:
    frame = tab_of(page, airflow, f"{path_of(videos, 'others')}/lipsync-player")
    assert "not one of Lipsync's" in frame.inner_text("main")


def test_on_a_phone_a_video_can_be_watched_and_read_about(
    airflow: RealAirflow, runs: dict[str, str], page: Page, sandbox: SandboxServer
) -> None:
    """As who opens it from a mail: Airflow's own frame has no room for it there."""
    airflow.wait_for_task("approve", runs["approve"], "approve_1", WAITS_FOR_A_PERSON)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.goto(airflow.xcom("approve", runs["approve"], "render_1", "lipsync_job")["player_url"])
    assert plays(page) > 0.2
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    shoot(page, "phone")


def test_a_run_is_a_sheet_of_its_videos(airflow: RealAirflow, videos: str, page: Page) -> None:
    frame = tab_of(page, airflow, f"{path_of(videos)}/lipsync-run")
    text = frame.inner_text("main")
    assert all(name in text for name in ("greet", "at_the_vendor", "left_behind", "no_sound", "too_dear"))
    assert "others" not in text
    frame.wait_for_function(
        "() => [...document.querySelectorAll('img')].filter(image => image.naturalWidth >= 100).length >= 3"
    )
    frame.evaluate("Promise.all([...document.querySelectorAll('img[src]')].map(image => image.decode()))")
    shoot(page, "run")


def test_the_jobs_of_all_dags_stand_in_the_navigation(airflow: RealAirflow, videos: str, page: Page) -> None:
    frame = tab_of(page, airflow, "/plugin/lipsync-jobs")
    assert "greet" in frame.inner_text("table.jobs")
    assert "Credits per day" in frame.inner_text("main")
    # What the real ledger keeps is what the list looks for.
    job_id = airflow.xcom("videos", videos, "left_behind", "job_id")
    assert [one.inner_text() for one in frame.query_selector_all(".undelivered h3 a")] == ["left_behind"]
    assert f'set resume_job_id="{job_id}" on the operator and clear' in frame.inner_text(".undelivered")
    shoot(page, "jobs")


def answer(airflow: RealAirflow, run_id: str, task_id: str, choice: str) -> None:
    """What a person does in the form, who is not as quick as a test.

    Airflow fails a task that goes on before the scheduler has seen that its process ended (apache/airflow#71580).
    """
    airflow.wait_for_task("approve", run_id, task_id, WAITS_FOR_A_PERSON)
    seen = f"TaskInstance Finished: dag_id=approve, task_id={task_id}, run_id={run_id},"
    log = airflow.home / "logs-out" / "scheduler.log"
    airflow.wait_until(lambda: seen in log.read_text() or None, timeout=60, what=lambda: f"no {seen!r} in {log}")
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
    seeds = [one["body"]["formState"].get("seed", 0) for one in sandbox.ledger()]
    assert [seed for seed in seeds if seed > 10] == [11, 22]
    keys = storage.keys()
    assert [key for key in keys if key.startswith("approve/") and key.endswith(".mp4")]
