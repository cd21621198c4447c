"""The pages as people meet them: in chromium, in Airflow's own UI, served by a real API server from a real storage."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_lipsync.media.task_key import TaskKey
from tests.plugin.conftest import Server, Task, new_run
from tests.plugin.facts_support import card, record, stored
from tests.plugin.pages_browser import Tab, browser, film, tabs
from tests.plugin.stored_support import put

__all__ = ["browser", "film", "tabs"]  # the fixtures that these tests use

MANY = 50
IS_READY = "() => (document.querySelector('video')?.readyState ?? 0) >= 2"
PLAYS = "name => document.querySelector(`video[aria-label='${name}']`)?.currentTime > 0"
IN_SIGHT = """() => {
  const images = [...document.querySelectorAll('.frame img')];
  const seen = images.filter(one => one.getBoundingClientRect().top < innerHeight);
  return seen.length > 0 && seen.every(one => one.complete && one.naturalWidth > 0);
}"""


@pytest.fixture(scope="module")
def run_id(server: Server, film: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run in which one picture speaks fifty times, each stored, and one task's job is charged and undelivered."""
    folder = tmp_path_factory.mktemp("stored")
    run_id = new_run(server)
    for number in range(MANY):
        task = Task(server, "show", run_id, "dub", number)
        job = f"550e8400-e29b-41d4-a716-{number:012d}"
        path = put(folder, film[0], TaskKey(**task.key), job_id=job)
        task.set(state="success").push("lipsync_job", card(job_id=job, labels={"number": str(number)}))
        task.push("return_value", stored(str(path), job_id=job))
    lost = (
        Task(server, "show", run_id, "render").set(state="failed").push("lipsync_job", card(submitted_at=time.time()))
    )
    lost.remember(record("bought", submitted_at=time.time()))
    return run_id


@pytest.fixture
def tab(server: Server, tabs: Any) -> Tab:
    """A tab of somebody who is logged in."""
    made: Tab = tabs(viewport={"width": 1280, "height": 900})
    with server.client("ann") as client:
        made.page.context.add_cookies([{"name": "_token", "value": client.cookies["_token"], "url": server.url}])
    return made


def address(server: Server, page: str, **parameters: object) -> str:
    return str(server.client().build_request("GET", page, params={**parameters}).url)


def test_fifty_videos_are_a_sheet_and_none_waits_for_another(
    server: Server, tab: Tab, run_id: str, record_property: Any
) -> None:
    begun = time.monotonic()
    tab.open(address(server, "run", dag_id="show", run_id=run_id))
    record_property("sheet_ready_ms", round(1000 * (time.monotonic() - begun)))
    assert "1,326 credits estimated" in tab.page.locator(".sum").inner_text()
    tab.page.get_by_role("button", name=f"Stored {MANY}").click()
    assert tab.page.locator(".card:visible").count() == MANY
    tab.page.wait_for_function(IN_SIGHT)
    record_property("posters_in_sight_ms", round(1000 * (time.monotonic() - begun)))

    for number in range(8):  # more than a browser has connections to one host
        tab.page.get_by_role("button", name=f"Play dub [{number}]").click()
        tab.page.wait_for_function(PLAYS, arg=f"Video of dub [{number}]")


def test_the_player_is_ready_with_the_first_frame(server: Server, tab: Tab, run_id: str, record_property: Any) -> None:
    begun = time.monotonic()
    tab.open(address(server, "player", dag_id="show", run_id=run_id, task_id="dub", map_index=MANY - 1))
    tab.page.wait_for_function(IS_READY)
    record_property("player_ready_ms", round(1000 * (time.monotonic() - begun)))
    assert tab.page.evaluate("document.querySelector('video').videoWidth") > 0


def test_a_task_has_its_video_in_airflows_ui(server: Server, tab: Tab, run_id: str) -> None:
    tab.page.goto(f"{server.url}/dags/show/runs/{run_id}/tasks/dub/mapped/7/plugin/lipsync-player")
    frame = tab.page.wait_for_selector("iframe[title='Lipsync video']").content_frame()
    frame.wait_for_function(IS_READY)
    assert frame.locator("h1").inner_text() == "dub [7]"
    assert frame.locator(".badge").inner_text() == "Stored"

    before = frame.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    tab.page.emulate_media(color_scheme="dark")
    frame.wait_for_function("was => getComputedStyle(document.documentElement).backgroundColor !== was", arg=before)
    frame.get_by_role("link", name="All of this run").click()
    frame.wait_for_selector(f".card >> nth={MANY}")


def test_the_jobs_are_in_airflows_navigation(server: Server, tab: Tab, run_id: str) -> None:
    tab.page.goto(f"{server.url}/plugin/lipsync-jobs")
    frame = tab.page.wait_for_selector("iframe[title='Lipsync jobs']").content_frame()
    frame.wait_for_selector("text=Charged but undelivered")
    frame.get_by_label("State").select_option("undelivered")
    frame.wait_for_function(
        "() => { const badges = [...document.querySelectorAll('table.jobs tbody tr td:first-child')];"
        " return badges.length > 0 && badges.every(cell => cell.textContent.startsWith('Undelivered')); }"
    )
    assert "render" in frame.locator("table.jobs a").all_inner_texts()


def test_who_is_not_logged_in_is_sent_to_do_so(server: Server, tabs: Any, run_id: str) -> None:
    tab = tabs(clean=False)

    tab.page.goto(address(server, "run", dag_id="show", run_id=run_id))

    assert "/auth/login" in tab.page.url


def test_who_may_not_see_a_dag_is_told(server: Server, tabs: Any) -> None:
    hidden = new_run(server, "hidden")
    tab = tabs(clean=False)
    with server.client("ben") as client:
        tab.page.context.add_cookies([{"name": "_token", "value": client.cookies["_token"], "url": server.url}])

    tab.page.goto(address(server, "jobs"))
    tab.page.wait_for_selector("main[aria-busy=false]")
    answer = tab.page.goto(address(server, "player", dag_id="hidden", run_id=hidden, task_id="render"))

    assert answer.status == 403
    assert tab.page.locator("video").count() == 0
