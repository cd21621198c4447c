"""One poller for all who wait: what they share, and what none of them can do to another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.exceptions import LipsyncMisconfigured, LipsyncPollFault
from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.pace import Durations
from airflow_provider_lipsync.jobs.waiting import Waiting
from tests.jobs.world import START, World, done, down, settle, wait_for


def test_two_who_wait_for_one_job_share_its_looks() -> None:
    async def story(world: World) -> None:
        both = [world.waits("a"), world.waits("a")]
        await world.clock.passes(20.5)
        assert world.line.seen("a") == [START + moment for moment in (0, 5, 10, 15, 20)]
        world.line.ends["a"] = done("a")
        await world.clock.passes(5)
        assert [event["status"] for event in await asyncio.gather(*both)] == ["completed"] * 2

    World().run(story)


def test_who_comes_later_is_looked_for_as_soon_as_it_wants() -> None:
    async def story(world: World) -> None:
        first = world.waits("a", poll_interval=60)
        await world.clock.passes(1)
        second = world.waits("a", poll_interval=60)  # late in its job's life: at once
        await world.clock.passes(61)
        assert world.line.seen("a") == [START, START + 1, START + 61]  # not once more when the first had wanted it
        for task in (first, second):
            task.cancel()

    World().run(story)


def test_who_joins_a_job_is_not_answered_before_it_may_be() -> None:
    async def story(world: World) -> None:
        first = world.waits("a")
        await world.clock.passes(1)
        later = world.waits("a", not_before=START + 7)
        world.line.ends["a"] = done("a")
        await world.clock.passes(5.9)
        assert first.done()
        assert not later.done()
        await world.clock.passes(0.2)
        assert later.result()["status"] == "completed"
        assert world.line.seen("a") == [START, START + 5, START + 7]

    World().run(story)


def test_a_clock_that_is_set_back_holds_up_nobody() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits("a", submitted_at=START, not_before=START + 10), world.waits("b")]
        await world.clock.passes(62)
        before = {job: len(world.line.seen(job)) for job in "ab"}
        world.clock.is_set_back(3600)
        await world.clock.passes(21)
        for job in "ab":
            assert 3 <= len(world.line.seen(job)) - before[job] <= 5
        tasks.append(world.waits("c", poll_interval=2, not_before=world.clock.time + 5))
        world.line.ends |= {job: done(job) for job in "abc"}
        await world.clock.passes(6)
        assert [event["status"] for event in await asyncio.gather(*tasks)] == ["completed"] * 3

    World(learned=Durations(low=30, high=120)).run(story)


def test_looks_that_do_not_work_pause_no_longer_for_a_clock_that_is_set_back() -> None:
    async def story(world: World) -> None:
        task = world.waits("a")
        world.line.fault = down()
        await world.clock.passes(40)
        world.clock.is_set_back(3600)
        world.line.fault = None
        world.line.ends["a"] = done("a")
        await world.clock.passes(45)
        assert task.result()["status"] == "completed"

    World().run(story)


def test_who_still_waits_when_it_closes_is_cancelled() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits("a"), world.waits("b")]
        await world.clock.passes(1)
        tasks.append(world.waits("c"))
        await asyncio.sleep(0)
        await world.watcher.aclose()
        await asyncio.wait(tasks, timeout=5)
        assert all(task.cancelled() for task in tasks)

    World().run(story)


@pytest.mark.parametrize("in_flight", [False, True], ids=["between two looks", "while it is looked at"])
def test_one_that_is_cancelled_harms_no_other(in_flight: bool) -> None:
    async def story(world: World) -> None:
        tasks = {name: world.waits(job) for name, job in (("gone", "a"), ("same job", "a"), ("other job", "b"))}
        await world.clock.passes(1)
        world.line.holding = asyncio.Event()
        await world.clock.passes(4 if in_flight else 2)
        tasks["gone"].cancel()
        await settle()
        world.line.holding.set()
        world.line.ends |= {"a": done("a"), "b": done("b")}
        await world.clock.passes(11)
        assert tasks.pop("gone").cancelled()
        assert [(await task)["status"] for task in tasks.values()] == ["completed"] * 2

    World().run(story)


def test_a_job_that_nobody_waits_for_is_not_looked_at() -> None:
    async def story(world: World) -> None:
        gone, stays = world.waits("a"), world.waits("b")
        await world.clock.passes(1)
        gone.cancel()
        await world.clock.passes(60)
        assert len(world.line.seen("a")) == 1
        assert len(world.line.seen("b")) == 13
        again = world.waits("a")
        await world.clock.passes(1)
        assert len(world.line.seen("a")) == 2
        for task in (stays, again):
            task.cancel()

    World().run(story)


def test_few_looks_are_on_their_way_at_once() -> None:
    async def story(world: World) -> None:
        world.line.holding = asyncio.Event()
        tasks = [world.waits(f"job-{number}") for number in range(50)]
        await world.clock.passes(1)
        assert world.line.at_once == 4
        world.line.holding.set()
        await world.clock.passes(1)
        assert len(world.line.looks) == 50
        assert world.line.most_at_once == 4
        for task in tasks:
            task.cancel()

    World(max_connections=4).run(story)


def test_the_rate_limit_is_kept_for_all_together() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits(f"job-{number}", poll_interval=1.0) for number in range(100)]
        await world.clock.passes(30)
        assert 20 * 29 <= len(world.line.looks) <= 20 * 30 + 5
        assert {job for _, job in world.line.looks} == {f"job-{number}" for number in range(100)}
        for task in tasks:
            task.cancel()

    World(max_polls_per_second=20.0).run(story)


def test_after_a_restart_thousands_look_at_once_but_within_the_limit() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits(f"job-{number}", submitted_at=START - 60, not_before=START - 54) for number in range(2000)]
        await world.clock.passes(0.999)
        assert len(world.line.looks) <= 560
        await world.clock.passes(5)
        assert len({job for _, job in world.line.looks}) == 2000
        for task in tasks:
            task.cancel()

    World(adaptive_polling=True, learned=Durations(low=30, high=120)).run(story)


def test_jobs_that_were_looked_at_together_do_not_stay_a_herd() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits(f"job-{number}", poll_interval=60.0) for number in range(300)]
        await world.clock.passes(1)
        world.line.looks.clear()
        await world.clock.passes(64)
        moments = [moment for moment, _ in world.line.looks]
        assert len(moments) == 300
        assert max(moments) - min(moments) > 5  # a tenth of the interval, but for what chance leaves out
        assert max(map(moments.count, moments)) < 300 / 10
        for task in tasks:
            task.cancel()

    World(chance=random.Random(1).random).run(story)


def test_looks_that_are_due_close_to_each_other_leave_together() -> None:
    """One that wakes the process for itself alone costs twice as much."""

    async def story(world: World) -> None:
        tasks = []
        for number in range(200):
            tasks.append(world.waits(f"job-{number}"))
            await world.clock.passes(0.0173)
        await world.clock.passes(6)
        world.line.looks.clear()
        await world.clock.passes(20)
        assert len(world.line.looks) >= 200 * 3
        assert len({moment for moment, _ in world.line.looks}) <= 20 * 10 + 1
        for task in tasks:
            task.cancel()

    World(chance=random.Random(1).random).run(story)


def test_a_look_that_breaks_is_one_that_did_not_work(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        world.line.breaks = ZeroDivisionError()
        task = world.waits("a")
        await world.clock.passes(6)
        world.line.breaks = None
        world.line.ends["a"] = done("a")
        await world.clock.passes(6)
        assert (await task)["status"] == "completed"

    World().run(story)
    assert "A look at job a broke" in caplog.text


class PulledTheRug(BaseException):
    pass


def test_what_breaks_the_poller_itself_is_told_to_all_who_would_wait_for_ever() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits("a"), world.waits("b")]
        await world.clock.passes(1)
        world.line.breaks = PulledTheRug()
        await world.clock.passes(6)
        for task in tasks:
            with pytest.raises(PulledTheRug):
                await task

    World().run(story)


def test_the_last_one_out_gets_its_answer_although_the_connections_cannot_be_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(world: World) -> None:
        async def broken() -> None:
            raise OSError("bad file descriptor")

        world.line.aclose = broken  # type: ignore[method-assign]
        await world.watcher.aclose()

    World().run(story)
    assert "could not be closed in order" in caplog.text


def test_a_connection_that_cannot_be_used_is_told_to_all_who_wait() -> None:
    async def story(world: World) -> None:
        async def unusable() -> ConnectionSettings:
            raise LipsyncMisconfigured("there is no API key")

        world.line.settings = unusable  # type: ignore[method-assign]
        events = await asyncio.gather(world.waits("a"), world.waits("b"))
        assert [(event["status"], event["message"]) for event in events] == [("error", "there is no API key")] * 2

    World().run(story)


def test_a_connection_that_cannot_be_looked_up_for_a_moment_is_no_ones_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep, thread = asyncio.sleep, threading.current_thread()

    async def noted(seconds: float) -> None:
        if threading.current_thread() is not thread:  # a server that other tests have left running
            await sleep(seconds)
            return
        if seconds:
            pauses.append(seconds)
        await sleep(0)

    async def story(world: World) -> None:
        looked_up = world.line.settings
        faults = 6

        async def sometimes() -> ConnectionSettings:
            nonlocal faults
            faults -= 1
            if faults > 0:
                raise LipsyncPollFault("the connection could not be looked up: TimeoutError")
            return await looked_up()

        world.line.settings = sometimes  # type: ignore[method-assign]
        hurried, patient = world.waits("hurried", deadline=-1), world.waits("patient")
        world.line.ends["patient"] = done("patient")
        assert (await hurried)["status"] == "timeout"
        await world.clock.passes(6)
        assert (await patient)["status"] == "completed"

    monkeypatch.setattr("airflow_provider_lipsync.jobs.watcher.asyncio.sleep", noted)
    World().run(story)
    assert pauses == [1, 2, 5, 10, 30]


WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


class Owned:
    """One that waits, whose lines are written as Airflow does it: where they land is in the context."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self._lines = lines

    @property
    def log(self) -> Any:
        return self

    def warning(self, event: str, *args: object) -> None:
        self._lines.append((WHOSE.get(), event % args))

    info = warning


def test_what_concerns_a_job_lands_in_its_own_log() -> None:
    lines: list[tuple[str, str]] = []

    async def story(world: World) -> None:
        async def waits(job_id: str) -> None:
            WHOSE.set(job_id)
            waiting = Waiting(job_id=job_id, deadline=START + 600, poll_interval=5.0)
            await wait_for(world.watcher, waiting, Owned(lines))

        tasks = [asyncio.create_task(waits(job_id)) for job_id in "abc"]
        await world.clock.passes(1)
        odd = Job(id="b", status=JobStatus.UNKNOWN, raw_status="queued")
        world.line.ends["b"] = odd
        await world.clock.passes(5)
        world.line.fault = down()
        await world.clock.passes(5)
        for task in tasks:
            task.cancel()

    World().run(story)
    assert ("b", "Job b has a status that the API does not document: 'queued'. Looking on.") in lines
    assert all(line.startswith(f"Job {whose} ") for whose, line in lines)
    assert {whose for whose, _ in lines} == {"a", "b", "c"}


def test_the_poller_runs_in_a_context_of_no_ones() -> None:
    seen: set[str] = set()

    async def story(world: World) -> None:
        look = world.line.look

        async def noting(job_id: str) -> Any:
            seen.add(WHOSE.get())
            return await look(job_id)

        world.line.look = noting  # type: ignore[method-assign]
        WHOSE.set("a trigger's")
        task = world.waits("a")
        await world.clock.passes(11)
        task.cancel()

    World().run(story)
    assert seen == {"nobody's"}


def test_no_look_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def story(world: World) -> None:
        task = world.waits("a")
        await world.clock.passes(100)
        world.line.ends["a"] = done("a")
        await world.clock.passes(5)
        assert (await task)["status"] == "completed"

    World().run(story)
    assert caplog.records == []


def test_thousands_come_in_a_few_at_a_time() -> None:
    """Each turn of the loop admits a bounded number, so that other triggers have their turns between."""
    turns: list[int] = []

    async def story(world: World) -> None:
        tasks = [world.waits(f"job-{number}", not_before=START + 600) for number in range(2000)]
        await asyncio.sleep(0)  # all are there, none is admitted
        while not turns or turns[-1] < 2000:
            turns.append(len(world.watcher._jobs))
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)

    World().run(story)
    assert max(later - before for before, later in pairwise(turns)) <= 200
