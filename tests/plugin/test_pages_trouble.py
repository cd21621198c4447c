"""The player page where something is amiss, or unusual: lost videos, no answer, the keyboard alone, Airflow's frame."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugin.pages_browser import Tab, airflow, browser, film, shared_page, tab, tabs
from tests.plugin.pages_support import JOB_ID, PREFIX, Stand, stand, view

__all__ = ["airflow", "browser", "film", "shared_page", "tab", "tabs"]  # the fixtures that these tests use

IS_READY = "() => (document.querySelector('video')?.readyState ?? 0) >= 2"


def text_of(tab: Tab, selector: str = "main") -> str:
    return tab.page.locator(selector).inner_text()


@pytest.mark.parametrize("content", [404, b"no video at all"], ids=["gone", "broken"])
def test_a_stored_copy_that_fails_gives_way_to_the_vendors(
    airflow: Stand, tabs: Any, film: tuple[bytes, bytes], content: bytes | int
) -> None:
    tab = tabs(clean=False)
    airflow.video = content
    with stand(video=film[0]) as vendor:
        second = f"{vendor.url}{PREFIX}/lipsync/video?sig=secret"
        tab.open(airflow.player(view("stored", video={"src": "video?a=b", "where": "stored", "fallback": second})))
        tab.page.wait_for_function(IS_READY)

    assert tab.page.evaluate("document.querySelector('video').src") == second
    assert "The stored copy could not be played" in text_of(tab, ".film-note")


@pytest.mark.parametrize(
    ("content", "video", "said"),
    [
        pytest.param(404, None, "The stored copy is gone from s3://media/spring. No other copy is known.", id="gone"),
        pytest.param(401, None, "Your Airflow session has ended.", id="logged out"),
        pytest.param(b"noise", None, "this browser cannot play it. No other", id="broken"),
        pytest.param(
            404,
            {"src": "video?a", "where": "stored", "fallback": "http://127.0.0.1:9/gone.mp4"},
            "copy cannot be had either",
            id="both",
        ),
        pytest.param(
            404,
            {"src": "http://127.0.0.1:9/gone.mp4", "where": "vendor", "fallback": None},
            "The vendor no longer gives it",
            id="vendor",
        ),
    ],
)
def test_a_video_that_cannot_be_had_is_told_honestly(
    airflow: Stand, tabs: Any, content: bytes | int, video: dict[str, Any] | None, said: str
) -> None:
    tab = tabs(clean=False)
    airflow.video = content
    told = view("stored")
    tab.open(airflow.player(told | ({"video": video} if video else {})))

    tab.page.wait_for_selector("h2:has-text('The video cannot be played')")

    assert said in text_of(tab, ".film")
    assert tab.page.get_by_text("Download").count() == 0


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"detail": "Not authenticated"}, "Your Airflow session has ended"),
        (403, {"detail": "Forbidden"}, "Airflow does not let you see this"),
        (404, {"detail": "There is no such task instance."}, "There is no such task instance."),
        (422, {"detail": [{"msg": "field required"}]}, "does not understand this address"),
        (500, b"<html>oops", "could not answer"),
        (200, b"<html>a login page", "cannot be read"),
    ],
)
def test_an_answer_that_does_not_come_is_told_plainly(
    airflow: Stand, tabs: Any, status: int, body: Any, said: str
) -> None:
    tab = tabs(clean=False)
    address = airflow.player(view("stored"))
    airflow.api["task"] = (status, body)

    tab.open(address)
    assert said in text_of(tab, "#trouble")

    if status == 401:
        back = tab.page.get_by_role("link", name="Log in to Airflow").get_attribute("href")
        assert back.startswith("../api/v2/auth/login?next=%2Fairflow%2Flipsync%2Fplayer%3Fdag_id")
    airflow.player(view("stored"))
    tab.page.get_by_role("button", name="Try again").press("Enter")
    tab.page.wait_for_selector("video")
    assert text_of(tab, "#trouble") == ""


def test_a_lost_network_is_told_and_mends_itself(airflow: Stand, tabs: Any) -> None:
    tab = tabs(clean=False)
    tab.page.clock.install()
    tab.open(airflow.player(view("rendering")))

    tab.page.route("**/api/task?*", lambda route: route.abort())
    tab.page.clock.fast_forward(3100)
    tab.page.wait_for_selector("text=Airflow cannot be reached")
    assert text_of(tab, ".badge") == "Rendering"  # what was known stays

    tab.page.unroute("**/api/task?*")
    tab.page.clock.fast_forward(7000)
    tab.page.wait_for_function("() => document.querySelector('#trouble').textContent === ''")


def test_the_keyboard_does_all(airflow: Stand, tabs: Any) -> None:
    tab = tabs(permissions=["clipboard-read", "clipboard-write"])
    tab.open(airflow.player(view("stored")))
    tab.page.wait_for_function(IS_READY)
    names, played = [], False

    for _ in range(24):
        tab.page.keyboard.press("Tab")
        name = tab.page.evaluate("(e => e.getAttribute('aria-label') || e.textContent)(document.activeElement)")
        names.append(name)
        if name == "Video of render" and not played:
            tab.page.keyboard.press("Space")
            tab.page.wait_for_function(
                "() => !document.querySelector('video').paused || document.querySelector('video').ended"
            )
            played = True
        if name == "Copy the job id":
            tab.page.keyboard.press("Enter")
            tab.page.wait_for_selector("text=Copied")
            assert tab.page.evaluate("navigator.clipboard.readText()") == JOB_ID

    assert played
    wanted = [
        "All of this run",
        "Jobs",
        "Copy link the address of this page",
        "Video of render",
        "Download the video",
        "Copy the job id",
    ]
    assert [name for name in dict.fromkeys(names) if name in wanted] == wanted


def test_a_job_id_can_be_copied_over_plain_http(airflow: Stand, tabs: Any) -> None:
    tab = tabs()
    tab.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    tab.open(airflow.player(view("undelivered", video=None)))

    tab.page.get_by_role("button", name="Copy the job id").click()

    tab.page.wait_for_selector("button:has-text('Copied')")


@pytest.mark.parametrize(("told", "asked"), [("", "-1"), ("{MAP_INDEX}", "-1"), ("-1", "-1"), ("7", "7")])
def test_the_map_index_is_taken_as_airflow_leaves_it(airflow: Stand, tab: Tab, told: str, asked: str) -> None:
    airflow.player(view("waiting", map_index=int(asked)))

    tab.open(airflow.page("player", dag_id="d", run_id="r", task_id="t", map_index=told))

    assert [path.rpartition("map_index=")[2] for path in airflow.asked_for("api/task")] == [asked]


def test_an_address_without_a_task_asks_nothing(airflow: Stand, tab: Tab) -> None:
    tab.page.goto(airflow.page("player"))

    tab.page.wait_for_selector("text=This address names no task")
    assert airflow.asked_for("api/") == []


@pytest.mark.parametrize(
    ("theme", "system", "is_dark"), [("dark", "light", True), ("light", "dark", False), ("", "dark", True)]
)
def test_in_airflows_frame_the_page_looks_as_airflow_does(
    airflow: Stand, tabs: Any, theme: str, system: str, is_dark: bool
) -> None:
    tab = tabs(color_scheme=system)
    page = airflow.player(view("stored"))

    tab.page.goto(airflow.page("", page=page, theme=theme).replace("/lipsync/?", "/frame?"))
    frame = tab.page.frames[1]
    frame.wait_for_function(IS_READY)

    back = "getComputedStyle(document.documentElement).backgroundColor"
    assert (frame.evaluate(back) == "rgb(22, 29, 45)") is is_dark
    tab.page.evaluate("document.documentElement.className = 'light'")
    frame.wait_for_function(f"() => {back} === 'rgb(255, 255, 255)'")


def test_alone_the_page_looks_as_airflow_was_told_to(airflow: Stand, tabs: Any) -> None:
    tab = tabs()
    tab.page.add_init_script("localStorage.setItem('theme', 'dark')")

    tab.open(airflow.player(view("stored")))

    assert tab.page.evaluate("document.documentElement.className") == "dark"
