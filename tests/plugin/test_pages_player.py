"""The player page in a real browser: every state, live updates, the second copy, and words where nothing plays."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from airflow_provider_lipsync.plugin.task_facts import OURS
from tests.plugin.pages_browser import Tab, airflow, browser, film, shared_page, tab, tabs
from tests.plugin.pages_support import JOB_ID, NOW, PREFIX, Stand, stand, view

__all__ = ["airflow", "browser", "film", "shared_page", "tab", "tabs"]  # the fixtures that these tests use

HACK = """"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>javascript:window.hacked=1"""
LOOP = """() => {
  const video = document.querySelector('video');
  Object.assign(video, {loop: true, muted: true, mine: 1});
  return video.play();
}"""
SEE = """seen => {
  Object.defineProperty(document, 'hidden', {value: !seen, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
}"""
IS_READY = "() => (document.querySelector('video')?.readyState ?? 0) >= 2"


def text_of(tab: Tab, selector: str = "main") -> str:
    return tab.page.locator(selector).inner_text()


def facts_of(tab: Tab) -> dict[str, str]:
    """Return what the facts table says."""
    rows = tab.page.locator("h2:has-text('The job') + dl > div").all()
    return {row.locator("dt").inner_text(): row.locator("dd").inner_text() for row in rows}


@pytest.mark.parametrize(
    ("state", "changes", "badge", "said"),
    [
        pytest.param(
            "waiting", {"headline": "Has not begun", "job_id": None}, "Waiting", "Nothing to see yet", id="waiting"
        ),
        pytest.param("rendering", {"submitted_at": NOW - 42}, "Rendering", "as soon as it is there", id="rendering"),
        pytest.param(
            "failed", {"error": "Invalid audio format", "next_step": "clear it"}, "Failed", "Invalid audio", id="failed"
        ),
        pytest.param("refused", {"next_step": "buy credits"}, "Refused", "Buy credits.", id="refused"),
        pytest.param(
            "uncertain", {"job_id": None, "next_step": "look"}, "Uncertain", "What to do next", id="uncertain"
        ),
        pytest.param("undelivered", {"next_step": "adopt it"}, "Undelivered", "Adopt it.", id="undelivered"),
        pytest.param("completed", {"next_step": "keep it soon"}, "Completed", "Keep it soon.", id="completed"),
        pytest.param("stored", {}, "Stored", "Stored copy.", id="stored"),
        pytest.param("tomorrow", {"headline": "A state of a later version"}, "tomorrow", "A state of", id="unknown"),
    ],
)
def test_each_state_says_what_it_is(
    airflow: Stand, tab: Tab, state: str, changes: dict[str, Any], badge: str, said: str
) -> None:
    told = view(state, **changes)

    tab.open(airflow.player(told))

    assert text_of(tab, ".badge") == badge
    assert said in text_of(tab)
    assert tab.page.locator("video").count() == (state in ("completed", "stored"))
    assert badge in tab.page.title()


def test_a_task_of_others_is_told_so(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.player(view("nothing", is_lipsync=False, job_id=None, ledger=None, sources=[], video=None)))

    assert "This task is not one of Lipsync's" in text_of(tab)
    assert [name for name in OURS if name not in text_of(tab)] == []
    assert tab.page.locator("dl").count() == 0


def test_the_facts_are_all_there(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.player(view("stored")))

    facts = facts_of(tab)
    assert facts["Job"].split() == [JOB_ID, "Copy"]
    assert facts["Credits"] == "26 (estimated)"
    assert facts["Seconds charged"] == "13 s"
    assert facts["Labels"].split("\n") == ["client acme", "cost centre 4711"]
    assert facts["Input: image"] == "s3://media/portraits/anna.png"
    assert facts["Rendering took"] == "42.3 s"
    assert facts["Size"] == "3.4 MB (3,412,345 bytes)"
    assert facts["Airflow"] == "success, try 1"
    assert {"Model", "Resolution", "Seed", "Connection", "Submitted", "Deadline", "Stored at", "SHA-256"} < set(facts)
    assert "delivered: the task handed its result on" in text_of(tab)
    assert "XCom lipsync_job: what was bought" in text_of(tab)


@pytest.mark.parametrize(
    ("state", "job_id", "said"),
    [
        ("undelivered", JOB_ID, "unknown"),
        ("uncertain", None, "unknown"),
        ("refused", None, "none charged"),
        ("waiting", None, "none yet"),
    ],
)
def test_credits_that_nobody_knows_are_never_a_number(
    airflow: Stand, tab: Tab, state: str, job_id: str | None, said: str
) -> None:
    tab.open(airflow.player(view(state, job_id=job_id, credits_estimated=None, seconds=None)))

    assert facts_of(tab)["Credits"] == said


def test_times_are_the_readers_with_utc_beside_them(airflow: Stand, tabs: Any) -> None:
    tab = tabs(timezone_id="Asia/Tokyo")
    tab.open(airflow.player(view("stored", submitted_at=1_763_900_000)))

    shown = tab.page.locator("dt:text-is('Submitted') + dd time").first
    assert shown.inner_text() == "2025-11-23 21:13:20"
    assert shown.get_attribute("title") == "2025-11-23 12:13:20 UTC"


def test_text_stays_text(airflow: Stand, tab: Tab) -> None:
    hacked = {name: HACK for name in view() if isinstance(view()[name], str) and name != "state"}
    told = view("failed", **hacked) | {
        "labels": {HACK: HACK},
        "inputs": [{"name": HACK, "shown": HACK}],
        "ledger": {"state": HACK, "submitted_at": NOW, "job_id": HACK, "note": HACK, "credits": 1},
        "sources": [HACK],
        "is_live": False,
        "task_state": HACK,
        "video": {"src": "javascript:window.hacked=1", "where": "vendor", "fallback": "data:text/html,x"},
        "poster": "https://elsewhere.example/spy.png",
    }

    tab.open(airflow.player(told))

    tab.page.wait_for_timeout(100)
    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.locator("main img, main script, main video").count() == 0
    assert text_of(tab).count("onerror") >= 15
    assert not [path for path in airflow.requests if path.endswith("/x")]


def test_only_this_host_and_the_video_are_asked(airflow: Stand, tabs: Any, film: tuple[bytes, bytes]) -> None:
    tab = tabs()
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))

    with stand(video=film[0]) as vendor:
        address = f"{vendor.url}{PREFIX}/lipsync/video?sig=secret"
        tab.open(
            airflow.player(view("completed", video={"src": address, "where": "vendor", "fallback": None}, poster=None))
        )
        tab.page.wait_for_function(IS_READY)

    assert {url for url in asked if not url.startswith(f"{airflow.url}{PREFIX}/lipsync/")} == {address}
    assert "holds for a time only" in text_of(tab)


def test_a_video_that_becomes_ready_appears_by_itself(airflow: Stand, tabs: Any) -> None:
    tab = tabs()
    address = airflow.player(view("rendering", submitted_at=time.time() - 42))
    tab.page.clock.install()
    tab.open(address)
    assert re.fullmatch(r"\d:\d\d", text_of(tab, ".counter"))

    airflow.player(view("stored"))
    tab.page.clock.fast_forward(3100)

    tab.page.wait_for_function(IS_READY)
    assert text_of(tab, ".badge") == "Stored"
    assert text_of(tab, "#announcer") == "Stored. Stored"
    asked = len(airflow.asked_for("api/task"))
    tab.page.clock.fast_forward(60_000)
    tab.page.wait_for_timeout(100)
    assert len(airflow.asked_for("api/task")) == asked == 2  # what has ended is asked for no more


def test_elapsed_time_counts_by_airflows_clock(airflow: Stand, tabs: Any) -> None:
    tab, now = tabs(), time.time()  # not the module's: where many tests came before, that is long ago
    tab.page.clock.install(time=now - 7200)  # a reader whose clock is two hours slow

    tab.open(
        airflow.player(view("rendering", submitted_at=now - 42, headline="Rendering for 42 s", deadline=now + 1758))
    )
    first = text_of(tab, ".counter")
    tab.page.clock.fast_forward(2000)

    assert int(first.partition(":")[0]) < 10
    tab.page.wait_for_function("was => document.querySelector('.counter').textContent !== was", arg=first)
    assert text_of(tab, ".headline").startswith("Rendering for ")
    assert "(in 2" in facts_of(tab)["Deadline"]


def test_a_page_that_is_not_seen_does_not_ask(airflow: Stand, tabs: Any) -> None:
    tab = tabs()
    tab.page.clock.install()
    tab.open(airflow.player(view("rendering")))

    tab.page.evaluate(SEE, False)
    tab.page.clock.fast_forward(30_000)
    tab.page.wait_for_timeout(100)
    assert len(airflow.asked_for("api/task")) == 1

    with tab.page.expect_response("**/api/task?*"):
        tab.page.evaluate(SEE, True)


def test_a_look_does_not_disturb_a_video_that_plays(airflow: Stand, tabs: Any) -> None:
    tab = tabs()
    told = view("stored", is_live=True)
    tab.page.clock.install()
    tab.open(airflow.player(told))
    tab.page.wait_for_function(IS_READY)
    tab.page.evaluate(LOOP)
    loads = len(airflow.asked_for("/video?"))

    for number in range(3):
        airflow.player(told | {"headline": f"Look {number}", "try_number": number + 2})
        with tab.page.expect_response("**/api/task?*"):
            tab.page.clock.fast_forward(3100)

    tab.page.wait_for_function("() => document.querySelector('.headline').textContent === 'Look 2'")
    assert tab.page.evaluate("(v => [v.mine, v.paused, v.loop])(document.querySelector('video'))") == [1, False, True]
    assert len(airflow.asked_for("/video?")) == loads


def test_the_headline_counts_on_only_where_it_counts(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.player(view("waiting")))
    told = [
        view("rendering", headline="Rendering for 42 s, past its deadline", submitted_at=NOW - 8000),
        view("rendering", headline="Bought; a try ended before the video came"),
        view("failed", headline="Rendering for 42 s"),
    ]
    counted = tab.page.evaluate(f"import('./assets/words.js').then(w => {json.dumps(told)}.map(w.headlineNow))")

    assert re.fullmatch(r"Rendering for 2 h \d+ min, past its deadline", counted[0])
    assert counted[1:] == ["Bought; a try ended before the video came", "Rendering for 42 s"]
