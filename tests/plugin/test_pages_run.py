"""The contact sheet in a real browser: fifty videos, of which none waits for another, and one of which is played."""

from __future__ import annotations

import threading
import time
from typing import Any

from tests.plugin.pages_browser import Tab, airflow, browser, film, shared_page, tab, tabs
from tests.plugin.pages_support import NOW, Stand, view

__all__ = ["airflow", "browser", "film", "shared_page", "tab", "tabs"]  # the fixtures that these tests use

MANY = 50
HACK = """"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"""
PLAYS = "() => [...document.querySelectorAll('video')].some(v => v.currentTime > 0)"


def many(count: int = MANY) -> list[dict[str, Any]]:
    return [view("stored", task_id="dub_clip", map_index=number) for number in range(count)]


def mixed() -> list[dict[str, Any]]:
    return [
        *many(3),
        view(
            "rendering", task_id="late", submitted_at=NOW - 42, headline="Rendering for 42 s", video=None, poster=None
        ),
        view("failed", task_id="broken", error="Invalid audio format"),
        view(
            "undelivered", task_id="lost", credits_estimated=None, seconds=None, headline="Charged, and not handed on"
        ),
        view("refused", task_id="poor", job_id=None, credits_estimated=None, headline="Refused: nothing was charged"),
    ]


def text_of(tab: Tab, selector: str) -> str:
    return tab.page.locator(selector).inner_text()


def test_fifty_videos_are_ready_at_once_and_none_is_loaded_unasked(
    airflow: Stand, tab: Tab, record_property: Any
) -> None:
    address = airflow.run(many())
    begun = time.monotonic()

    tab.open(address)
    ready = time.monotonic() - begun
    tab.page.wait_for_function("() => document.querySelectorAll('.frame img[src]').length > 0")

    record_property("seconds_until_ready", round(ready, 3))
    assert tab.page.locator(".card").count() == MANY
    assert text_of(tab, ".sum") == "50 tasks: 1,300 credits estimated"
    assert airflow.asked_for("/video?") == []


def test_every_poster_comes_when_it_is_near(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.run(many()))
    unseen = len(airflow.asked_for("/poster?"))

    for card in range(9, MANY, 10):
        tab.page.locator(".card").nth(card).scroll_into_view_if_needed()
    tab.page.wait_for_function(
        "() => [...document.querySelectorAll('.frame img')].every(i => i.complete && i.naturalWidth > 0)"
    )

    assert unseen < MANY
    assert len(airflow.asked_for("/poster?")) == len(set(airflow.asked_for("/poster?"))) == MANY


def test_a_video_plays_while_posters_are_slow(airflow: Stand, tab: Tab) -> None:
    let_go = threading.Event()
    airflow.before_poster = let_go.wait
    try:
        tab.open(airflow.run(many()))
        tab.page.get_by_role("button", name="Play dub_clip [2]").click()

        tab.page.wait_for_function(PLAYS)

        assert len(airflow.asked_for("/poster?")) <= 4  # three of the sheet, one of the video itself
    finally:
        let_go.set()
    tab.page.wait_for_function("() => document.querySelectorAll('.frame img[src]').length > 9")


def test_a_poster_that_is_missing_leaves_the_drawing(airflow: Stand, tabs: Any) -> None:
    tab = tabs(clean=False)
    airflow.poster = None

    tab.open(airflow.run(many(2)))

    tab.page.wait_for_function("() => document.querySelectorAll('.frame img').length === 0")
    assert tab.page.locator(".frame .placeholder").count() == 2


def test_the_sheet_sums_and_counts(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.run(mixed(), credits={"known": 130, "unknown_jobs": 1}))

    assert text_of(tab, ".sum") == "7 tasks: 130 credits estimated, 1 job unknown"
    assert [chip.inner_text() for chip in tab.page.locator(".chip").all()] == [
        "All 7", "Undelivered 1", "Failed 1", "Refused 1", "Rendering 1", "Stored 3",
    ]  # fmt: skip
    cards = [[line for line in card.inner_text().split("\n") if line] for card in tab.page.locator(".card-text").all()]
    assert cards[0] == ["dub_clip [0]", "Stored", "13 s · 26 credits (estimated)", "client acme", "cost centre 4711"]
    assert "13 s · 26 credits (estimated)" in cards[4]
    assert cards[4][-1] == "Invalid audio format"
    assert "length unknown · credits unknown" in cards[5]
    assert "nothing charged" in cards[6]


def test_a_sum_of_which_nothing_is_known_is_no_zero(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.run([view("undelivered", credits_estimated=None)], credits={"known": 0, "unknown_jobs": 1}))

    assert text_of(tab, ".sum") == "1 task: credits unknown (1 job)"


def test_a_state_can_be_chosen_and_its_address_kept(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.run(mixed()))

    tab.page.get_by_role("button", name="Stored 3").press("Enter")
    assert tab.page.locator(".card:visible").count() == 3
    assert tab.page.evaluate("document.activeElement.textContent") == "Stored 3"
    assert tab.page.url.endswith("&state=stored")

    tab.open(tab.page.url)
    assert tab.page.locator(".card:visible").count() == 3
    assert tab.page.locator("[aria-pressed=true]").inner_text() == "Stored 3"


def test_a_video_plays_in_its_place_by_the_keyboard_and_one_at_a_time(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.run(many(3)))

    tab.page.get_by_role("button", name="Play dub_clip [0]").press("Enter")
    tab.page.wait_for_function(PLAYS)
    assert tab.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Video of dub_clip [0]"
    tab.page.evaluate("() => { document.querySelector('video').loop = true }")
    tab.page.get_by_role("button", name="Play dub_clip [1]").press("Enter")

    tab.page.wait_for_function("() => document.querySelectorAll('video')[1]?.currentTime > 0")
    assert tab.page.evaluate("document.querySelector('video').paused")
    assert {path.rpartition("map_index=")[2] for path in airflow.asked_for("/video?")} == {"0", "1"}


def test_a_look_leaves_a_video_that_plays_alone_and_shows_what_is_new(airflow: Stand, tabs: Any) -> None:
    tab = tabs()
    tab.page.clock.install()
    tab.open(airflow.run(mixed()))
    tab.page.get_by_role("button", name="Play dub_clip [1]").click()
    tab.page.wait_for_function(PLAYS)
    tab.page.evaluate("() => { const v = document.querySelector('video'); v.loop = true; v.mine = 1; return v.play() }")

    changed = mixed()
    changed[3] = view("stored", task_id="late")
    changed.append(view("waiting", task_id="new", job_id=None, headline="Has not begun"))
    airflow.run(changed)
    tab.page.clock.fast_forward(3100)

    tab.page.get_by_role("button", name="Play late").wait_for()
    assert tab.page.evaluate("(v => [v.mine, v.paused])(document.querySelector('video'))") == [1, False]
    assert text_of(tab, "#announcer") == "late: Stored. new: Waiting"
    assert tab.page.locator(".card").count() == 8


def test_a_card_leads_to_the_player(airflow: Stand, tab: Tab) -> None:
    told = mixed()
    airflow.player(told[4])
    tab.open(airflow.run(told))

    tab.page.get_by_role("link", name="broken").press("Enter")

    tab.page.wait_for_url("**/airflow/lipsync/player?*task_id=broken&map_index=-1")
    tab.page.wait_for_selector("text=Invalid audio format")
    tab.page.get_by_role("link", name="All of this run").click()
    tab.page.wait_for_url(
        "**/airflow/lipsync/run?dag_id=spring_campaign&run_id=manual__2026-11-23T12%3A00%3A00%2B00%3A00"
    )


def test_a_run_without_videos_says_what_will_be_here(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.run([]))

    assert "No videos in this run yet" in text_of(tab, "main")
    assert "As soon as a Lipsync task of this run has started" in text_of(tab, "main")


def test_text_stays_text(airflow: Stand, tab: Tab) -> None:
    hacked = {name: HACK for name in view() if isinstance(view()[name], str) and name != "state"}
    one = view("failed", **hacked) | {"labels": {HACK: HACK}, "poster": "javascript:x", "video": None}
    other = view("stored") | {"video": {"src": "javascript:window.hacked=1", "where": "stored", "fallback": None}}

    tab.open(airflow.run([one, other], dag_id=HACK, run_id=HACK))
    tab.page.wait_for_timeout(100)

    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.locator("main script, main img:not([data-src])").count() == 0
    assert text_of(tab, "main").count("onerror") >= 5


def test_an_address_without_a_run_asks_nothing(airflow: Stand, tab: Tab) -> None:
    tab.page.goto(airflow.page("run"))

    tab.page.wait_for_selector("text=This address names no run")
    assert airflow.asked_for("api/") == []


def test_a_run_that_is_cut_says_so(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.run(many(1), is_cut=True))

    assert text_of(tab, ".sum").endswith("The run has more; these are the first.")
