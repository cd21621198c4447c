"""The jobs page in a real browser: what is undelivered on top, credits per day, filters in the address, pages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugin.pages_browser import Tab, airflow, browser, film, shared_page, tab, tabs
from tests.plugin.pages_support import JOB_ID, NOW, Answer, Stand, view

__all__ = ["airflow", "browser", "film", "shared_page", "tab", "tabs"]  # the fixtures that these tests use

HACK = """"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"""
DAYS = [
    {"day": "2026-11-20", "credits": 610, "jobs": 20, "unknown": 0},
    {"day": "2026-11-22", "credits": 0, "jobs": 1, "unknown": 1},
    {"day": "2026-11-23", "credits": 240, "jobs": 9, "unknown": 0},
]


def lost(**changes: Any) -> dict[str, Any]:
    how = f'set resume_job_id="{JOB_ID}" on the operator and clear'
    return view("undelivered", headline="Charged, and not handed on", **changes) | {"how_to_adopt": how}


def text_of(tab: Tab, selector: str) -> str:
    return tab.page.locator(selector).inner_text()


def test_a_job_that_nobody_has_is_on_top_with_how_to_adopt_it(airflow: Stand, tabs: Any) -> None:
    tab = tabs(permissions=["clipboard-read", "clipboard-write"])
    tab.open(
        airflow.jobs([view("stored")], undelivered=[lost(task_id="avatar"), lost(credits_estimated=None)], per_day=DAYS)
    )

    told = text_of(tab, ".undelivered")
    tab.page.get_by_role("button", name="Copy how to adopt it").first.press("Enter")
    tab.page.wait_for_selector("text=Copied")

    headings = [heading.inner_text() for heading in tab.page.locator("main h2").all()]
    assert headings == ["Charged but undelivered", "Credits per day", "Recent jobs"]
    assert "2 jobs: 26 credits estimated, 1 job unknown." in told
    assert f'Set resume_job_id="{JOB_ID}" on the operator and clear.' in told
    assert (
        tab.page.evaluate("navigator.clipboard.readText()") == f'set resume_job_id="{JOB_ID}" on the operator and clear'
    )


def test_many_undelivered_jobs_are_folded(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.jobs([], undelivered=[lost(map_index=number) for number in range(12)]))

    assert tab.page.locator(".item:visible").count() == 5
    tab.page.get_by_text("7 more").press("Enter")
    assert tab.page.locator(".item:visible").count() == 12


@pytest.mark.parametrize("is_cut", [True, False])
def test_where_older_ones_may_be_undelivered_too_it_says_so(airflow: Stand, tab: Tab, is_cut: bool) -> None:
    tab.open(airflow.jobs([], undelivered=[lost()], undelivered_is_cut=is_cut))

    assert ("There may be older ones" in text_of(tab, ".undelivered")) is is_cut


def test_each_job_has_a_line(airflow: Stand, tab: Tab) -> None:
    tab.open(
        airflow.jobs([view("stored"), view("failed", task_id="other", credits_estimated=None, seconds=None, labels={})])
    )

    rows = [
        [cell.inner_text() for cell in row.locator("td").all()] for row in tab.page.locator("table.jobs tbody tr").all()
    ]
    assert [cell.split("\n")[0] for cell in rows[0][:2]] == ["Stored", "render"]
    assert rows[0][3:] == [
        "lipsync-image\n480p, 13 s",
        "26 (estimated)",
        "client acme\ncost centre 4711",
        "lipsync_default",
    ]
    assert rows[1][3:6] == ["lipsync-image\n480p", "unknown", ""]
    assert "Where these lines come from. They rest on XComs." in text_of(tab, "main")


def test_each_day_has_a_bar_and_days_with_unknown_jobs_a_mark(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.jobs([view()], per_day=DAYS))

    drawn = [(bar.get_attribute("height"), title.text_content()) for bar, title in zip(
        tab.page.locator(".bar-of-day").all(), tab.page.locator(".chart title").all(), strict=True
    )]  # fmt: skip
    assert [title for _, title in drawn] == [
        "Nov 20: 610 credits estimated, 20 jobs",
        "Nov 21: 0 credits estimated, 0 jobs",
        "Nov 22: 0 credits estimated, 1 job, 1 of them unknown",
        "Nov 23: 240 credits estimated, 9 jobs",
    ]
    heights = [float(height or 0) for height, _ in drawn]
    assert heights[1] == heights[2] == 0
    assert heights[3] / heights[0] == pytest.approx(240 / 610, rel=0.01)
    assert tab.page.locator("svg .unknown-mark").count() == 1
    assert [tick.text_content() for tick in tab.page.locator(".chart text[text-anchor=end]").all()] == [
        "0",
        "200",
        "400",
        "600",
        "800",
    ]
    assert "850 credits estimated from Nov 20 to Nov 23" in str(
        tab.page.locator(".chart svg").get_attribute("aria-label")
    )


def test_the_chart_is_a_table_too(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.jobs([view()], per_day=DAYS))

    tab.page.get_by_text("As a table").press("Enter")

    assert text_of(tab, "table.plain").split("\n")[1] == "2026-11-23\t240\t9\t0"


@pytest.mark.parametrize(
    ("most", "ticks"), [(1, [0, 1]), (3, [0, 1, 2, 3]), (26, [0, 10, 20, 30]), (610, [0, 200, 400, 600, 800])]
)
def test_the_axis_has_round_numbers(airflow: Stand, tab: Tab, most: int, ticks: list[int]) -> None:
    tab.open(airflow.jobs([]))

    assert tab.page.evaluate(f"import('./assets/chart.js').then(chart => chart.ticksFor({most}))") == ticks


def test_filters_stand_in_the_address(airflow: Stand, tab: Tab) -> None:
    address = airflow.jobs([view()])
    tab.open(address)

    with tab.page.expect_response("**/api/jobs?state=failed&limit=100"):
        tab.page.get_by_label("State").select_option("failed")
    tab.page.wait_for_selector("main[aria-busy=false]")
    with tab.page.expect_response("**/api/jobs?state=failed&label=client%3Dacme&limit=100"):
        tab.page.get_by_role("combobox", name="Label").select_option("client=acme")
    tab.page.wait_for_selector("main[aria-busy=false]")
    assert tab.page.url.endswith("/jobs?state=failed&label=client%3Dacme")

    tab.open(tab.page.url)
    assert tab.page.get_by_label("State").input_value() == "failed"
    with tab.page.expect_response("**/api/jobs?limit=100"):
        tab.page.get_by_role("button", name="Clear filters").click()
    tab.page.wait_for_selector("main[aria-busy=false]")
    with tab.page.expect_response("**/api/jobs?state=failed&label=client%3Dacme&limit=100"):
        tab.page.go_back()
    tab.page.wait_for_selector("main[aria-busy=false]")


def test_a_filter_that_is_no_longer_offered_is_still_seen(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.jobs([]) + "conn_id=gone_by")

    assert tab.page.get_by_label("Connection").input_value() == "gone_by"
    assert "No job matches these filters" in text_of(tab, "main")


def test_older_jobs_are_on_the_next_page(airflow: Stand, tab: Tab) -> None:
    older = {"jobs": [view(task_id="older")], "next_before": None}
    airflow.jobs([view(task_id="newer")], next_before=NOW - 500)
    first = airflow.api["jobs"][1]  # type: ignore[index]

    def answer(asked: Any) -> Answer:
        return 200, first | (older if "before" in asked else {})

    airflow.api["jobs"] = answer
    tab.open(airflow.page("jobs"))

    tab.page.get_by_role("link", name="Older", exact=True).press("Enter")
    tab.page.wait_for_selector("a:text-is('older')")
    assert f"before={NOW - 500}" in tab.page.url
    assert tab.page.get_by_role("link", name="Older", exact=True).count() == 0

    tab.page.get_by_role("link", name="Newest").click()
    tab.page.wait_for_selector("a:text-is('newer')")


def test_a_newcomer_is_told_what_will_be_here(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.jobs([]))

    assert "As soon as a task of LipsyncVideoOperator" in text_of(tab, ".empty")
    assert tab.page.locator(".undelivered, .chart").count() == 0


def test_who_stands_on_a_line_stays_there_when_it_changes(airflow: Stand, tabs: Any) -> None:
    tab = tabs()
    tab.page.clock.install()
    tab.open(airflow.jobs([view("rendering"), view("stored", task_id="other")]))
    tab.page.get_by_role("link", name="other").focus()

    airflow.jobs([view("stored"), view("stored", task_id="other")])
    tab.page.clock.fast_forward(10_100)

    tab.page.wait_for_function("() => document.querySelectorAll('.state-stored').length === 2")
    assert tab.page.evaluate("document.activeElement.textContent") == "other"


def test_an_answer_that_does_not_come_leaves_what_was_known(airflow: Stand, tabs: Any) -> None:
    tab = tabs(clean=False)
    tab.open(airflow.jobs([view()]))
    airflow.api["jobs"] = (500, {"detail": "The database is locked."})

    tab.page.get_by_label("State").select_option("failed")

    tab.page.wait_for_selector("text=The database is locked.")
    assert tab.page.locator("table.jobs").count() == 1
    airflow.jobs([])
    tab.page.get_by_role("button", name="Try again").click()
    tab.page.wait_for_selector("text=No job matches these filters")


def test_text_stays_text(airflow: Stand, tab: Tab) -> None:
    hacked = {name: HACK for name in view() if isinstance(view()[name], str) and name != "state"} | {
        "labels": {HACK: HACK}
    }
    tab.open(
        airflow.jobs(
            [view("failed", **hacked)],
            undelivered=[
                lost(**{name: value for name, value in hacked.items() if name != "headline"}) | {"how_to_adopt": HACK}
            ],
            per_day=[{"day": HACK, "credits": 1, "jobs": 1, "unknown": 1}, *DAYS],
            choices={"state": [HACK], "conn_id": [HACK], "label": [HACK]},
            told=HACK,
        )
    )
    tab.page.wait_for_timeout(100)

    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.locator("main script, main img").count() == 0
    assert text_of(tab, "main").count("onerror") >= 12


def test_a_stretch_without_a_match_says_that_there_is_more(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.jobs([], next_before=NOW - 500) + "state=refused")

    assert "Older ones may match" in text_of(tab, ".empty")
    assert tab.page.get_by_role("link", name="Older", exact=True).count() == 1


def test_days_without_any_job_are_not_drawn(airflow: Stand, tab: Tab) -> None:
    tab.open(airflow.jobs([], per_day=[{"day": "2026-11-23", "credits": 0, "jobs": 0, "unknown": 0}]))

    assert tab.page.locator(".chart").count() == 0
