"""The jobs of all DAGs: newest first, page by page, filtered; what was charged and nobody had; credits by day."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.plugin.conftest import Server, Task, new_task
from tests.plugin.facts_support import card, record, result, stored
from tests.runner.plugin import DATABASES


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """On each kind of database: they keep JSON in different ways."""
    return servers(request.param)


def jobs(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.get("api/jobs", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def new_id() -> str:
    return str(uuid.uuid4())


def bought(task: Task, *, at: float | None = None, **changes: Any) -> str:
    """Tell of a job with an id of its own, and return that."""
    job_id = new_id()
    task.push("lipsync_job", card(**{"job_id": job_id, "submitted_at": at or time.time(), **changes}), at=at)
    return job_id


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [view["job_id"] for view in found]


def test_the_newest_come_first_page_by_page(server: Server, ann: httpx.Client) -> None:
    mine, start = f"paging_{new_id()}", time.time()
    told = [bought(new_task(server), at=start + number, conn_id=mine) for number in range(7)]
    seen, before = [], None
    for _ in range(4):
        found = jobs(ann, conn_id=mine, limit=2, **({} if before is None else {"before": before}))
        seen += ids(found["jobs"])
        before = found["next_before"]
        if before is None:
            break
    assert seen == list(reversed(told))
    assert before is None


def test_the_last_page_says_that_there_is_no_more(server: Server, ann: httpx.Client) -> None:
    mine = f"exactly_{new_id()}"
    for _ in range(2):
        bought(new_task(server), conn_id=mine)
    found = jobs(ann, conn_id=mine, limit=2)
    assert len(found["jobs"]) == 2
    further = found["next_before"]
    assert further is None or jobs(ann, conn_id=mine, limit=2, before=further)["jobs"] == []


def test_filters_are_kept(server: Server, ann: httpx.Client) -> None:
    mine = f"filters_{new_id()}"
    rendering = bought(new_task(server).set(state="deferred"), conn_id=mine, labels={"client": "acme"})
    done = new_task(server).set(state="success")
    stored_id = bought(done, conn_id=mine, labels={"client": "other", "shelf": "a=b"})
    done.push("return_value", stored(job_id=stored_id))
    assert ids(jobs(ann, conn_id=mine)["jobs"]) == [stored_id, rendering]
    assert ids(jobs(ann, conn_id=mine, state="stored")["jobs"]) == [stored_id]
    assert ids(jobs(ann, conn_id=mine, state="rendering")["jobs"]) == [rendering]
    assert ids(jobs(ann, conn_id=mine, label="client=acme")["jobs"]) == [rendering]
    assert ids(jobs(ann, conn_id=mine, label="shelf=a=b")["jobs"]) == [stored_id]
    assert jobs(ann, conn_id=mine, label="client=nobody")["jobs"] == []
    assert jobs(ann, conn_id=mine, state="nosuch")["jobs"] == []
    choices = jobs(ann)["choices"]
    assert mine in choices["conn_id"]
    assert {"client=acme", "shelf=a=b"} <= set(choices["label"])
    assert "undelivered" in choices["state"]


def test_what_was_charged_and_nobody_had_is_on_top(server: Server, ann: httpx.Client) -> None:
    mine = f"missed_{new_id()}"
    lost = new_task(server).set(state="failed")
    job_id = bought(lost, conn_id=mine)
    found = jobs(ann, conn_id=mine)
    [missed] = found["undelivered"]
    assert missed["job_id"] == job_id
    assert f'resume_job_id="{job_id}"' in missed["how_to_adopt"]
    assert f'LipsyncJobSensor(job="{job_id}")' in missed["how_to_adopt"]
    assert found["jobs"][0]["state"] == "undelivered"
    assert jobs(ann, conn_id=mine, before=time.time() - 1)["undelivered"] == []  # on the first page alone


@pytest.mark.parametrize(
    ("state", "ledger", "handed_on", "is_missed"),
    [
        pytest.param("failed", "bought", False, True, id="failed"),
        pytest.param("success", "bought", False, True, id="marked as success"),
        pytest.param("skipped", "bought", False, True, id="skipped"),
        pytest.param("failed", "intent", False, True, id="uncertain"),
        pytest.param("failed", "failed", False, False, id="the vendor failed it"),
        pytest.param("failed", "refused", False, False, id="nothing was bought"),
        pytest.param("success", "bought", True, False, id="handed on, and not written down"),
        pytest.param("success", "delivered", True, False, id="delivered"),
        pytest.param("deferred", "bought", False, False, id="still rendering"),
        pytest.param("up_for_retry", "bought", False, False, id="between tries"),
    ],
)
def test_the_ledger_tells_what_was_missed(
    server: Server, ann: httpx.Client, state: str, ledger: str, handed_on: bool, is_missed: bool
) -> None:
    task, job_id = new_task(server).set(state=state), new_id()
    kept = record(ledger) | ({} if ledger in ("intent", "refused") else {"job_id": job_id})
    if not task.remember(kept):
        pytest.skip("this Airflow has no task state store")
    if handed_on:
        task.push("return_value", result(job_id=job_id))
    found = [view for view in jobs(ann)["undelivered"] if view["run_id"] == task.key["run_id"]]
    assert bool(found) is is_missed


def test_a_job_that_gave_way_to_another_video_is_missed(server: Server, ann: httpx.Client) -> None:
    task = new_task(server).set(state="success")
    if task.remember(record(job_id=new_id())):
        task.push("return_value", stored(job_id=new_id()))
        assert task.key["run_id"] in [view["run_id"] for view in jobs(ann)["undelivered"]]


def test_without_a_ledger_a_failed_task_with_a_job_and_no_video_is_missed(server: Server, ann: httpx.Client) -> None:
    named, handed, foreign = new_task(server), new_task(server), new_task(server, "plain")
    for task in (named, handed, foreign):
        task.set(state="failed").push("job_id", new_id())
    handed.push("return_value", result())
    runs = [view["run_id"] for view in jobs(ann)["undelivered"]]
    assert [task.key["run_id"] in runs for task in (named, handed, foreign)] == [True, False, False]


@pytest.mark.parametrize("has_ledger", [True, False], ids=["by the ledger", "by XComs"])
def test_where_not_all_undelivered_jobs_were_looked_at_it_says_so(
    server: Server, ann: httpx.Client, has_ledger: bool
) -> None:
    mine = f"cut_{new_id()}"
    for _ in range(3):
        task = new_task(server).set(state="failed")
        job_id = bought(task, conn_id=mine)
        if has_ledger and not task.remember(record(job_id=job_id)):
            pytest.skip("this Airflow has no task state store")
    whole = jobs(ann, conn_id=mine)
    most = server.call("missed", most=2)
    try:
        cut, elsewhere = jobs(ann, conn_id=mine), jobs(ann, conn_id="nosuch")
    finally:
        server.call("missed", most=most)
    assert [len(whole["undelivered"]), len(cut["undelivered"])] == [3, 2]
    assert set(ids(cut["undelivered"])) < set(ids(whole["undelivered"]))
    assert [found["undelivered_is_cut"] for found in (whole, cut)] == [False, True]
    assert "only the newest were looked at" in cut["told"]
    assert "only the newest were looked at" in elsewhere["told"]  # perhaps one of those that were not is wanted
    assert "only the newest were looked at" not in whole["told"]


def test_credits_are_summed_by_day(server: Server, ann: httpx.Client) -> None:
    mine, now = f"days_{new_id()}", datetime.now(UTC)
    for back, estimate in ((0, 10), (0, 16), (3, 20), (3, None), (40, 99)):
        at = (now - timedelta(days=back)).timestamp()
        bought(new_task(server), at=at, conn_id=mine, credits_estimated=estimate)
    days = {day["day"]: day for day in jobs(ann, conn_id=mine)["per_day"]}
    assert len(days) == 30
    assert list(days) == sorted(days)
    today, before = (days[(now - timedelta(days=back)).date().isoformat()] for back in (0, 3))
    assert (today["credits"], today["jobs"], today["unknown"]) == (26, 2, 0)
    assert (before["credits"], before["jobs"], before["unknown"]) == (20, 2, 1)
    assert sum(day["jobs"] for day in days.values()) == 4


def test_a_job_that_two_tasks_tell_of_counts_once(server: Server, ann: httpx.Client) -> None:
    mine, job_id = f"twice_{new_id()}", new_id()
    for _ in range(2):
        bought(new_task(server), conn_id=mine, job_id=job_id)
    assert sum(day["jobs"] for day in jobs(ann, conn_id=mine)["per_day"]) == 1


def test_a_card_that_is_none_is_no_job(server: Server, ann: httpx.Client) -> None:
    task = new_task(server).push("lipsync_job", {"job_id": "<script>"})
    assert task.key["run_id"] not in [view["run_id"] for view in jobs(ann, limit=200)["jobs"]]


def test_it_says_what_it_rests_on(ann: httpx.Client) -> None:
    told = jobs(ann)["told"]
    assert all(word in told for word in ("lipsync_job", "task state store", "ledger_path", "estimates"))


def test_a_filter_that_few_fit_looks_far_and_goes_on_where_it_ended(server: Server, ann: httpx.Client) -> None:
    """One page looks at 2000 jobs, and not at all that there are."""
    like, mine = new_task(server, dag_id="other").set(state="deferred"), f"far_{new_id()}"
    count, start = 2300, time.time() - 100 * 86400  # in a time of their own: older than what the other tests push
    cards = [card(job_id=new_id(), conn_id=mine if number == 0 else "of_many") for number in range(count)]
    server.call("many", like=like.key, cards=cards, at=[start + number for number in range(count)])
    first = jobs(ann, conn_id=mine, before=start + count)
    assert first["jobs"] == []
    assert start < first["next_before"] < start + count
    assert ids(jobs(ann, conn_id=mine, before=first["next_before"])["jobs"]) == [cards[0]["job_id"]]


def test_days_of_which_not_all_jobs_are_known_are_left_out(server: Server, ann: httpx.Client) -> None:
    mine, now = f"cut_{new_id()}", datetime.now(UTC)
    for back in (0, 0, 1, 2):
        bought(new_task(server), at=(now - timedelta(days=back)).timestamp() + 600, conn_id=mine)
    whole = jobs(ann, conn_id=mine)
    most = server.call("charted", most=2)
    try:
        cut = jobs(ann, conn_id=mine)
    finally:
        server.call("charted", most=most)
    assert len(whole["per_day"]) == 30
    assert len(cut["per_day"]) < 3
    assert "the chart begins after" in cut["told"]
    assert "the chart begins after" not in whole["told"]
