"""Real triggers over real HTTP: what they share, and that nothing is left when they are gone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_lipsync import LipsyncJobTrigger
from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
from airflow_provider_lipsync.jobs import line, watcher, watchers
from airflow_provider_lipsync.jobs.clock import Clock
from airflow_provider_lipsync.jobs.waiters import Waiter
from airflow_provider_lipsync.jobs.waiting import Waiting
from tests.jobs.vendor import LiveVendor
from tests.support.vendor import KEY, connection

WAITING = Waiting(job_id="a", deadline=time.time() + 60, poll_interval=0.02)
OTHER_KEY = "sk_test_another_fedcba98"


def new_trigger(job_id: str, **changes: Any) -> LipsyncJobTrigger:
    told = {
        "lipsync_conn_id": "lipsync_default",
        "poll_interval": 0.02,
        "deadline": time.time() + 60,
        "not_before": 0.0,
    }
    return LipsyncJobTrigger(job_id=job_id, **(told | changes))


async def event_of(trigger: LipsyncJobTrigger) -> Any:
    return [event.payload async for event in trigger.run()]


def waits(job_id: str, **changes: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(event_of(new_trigger(job_id, **changes)))


def close(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop around those who wait in it."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


async def until(reached: Any) -> None:
    """Wait for something that the looks bring about."""
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110 - it is looked at from outside of what is tested
            await asyncio.sleep(0.005)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def to(vendor: LiveVendor, *, key: str = KEY, conn_id: str = "lipsync_default", **extra: Any) -> None:
        text = connection(vendor.url, **extra).replace(KEY, key)
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)

    return to


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the connections that were looked up."""
    made: list[str] = []
    look_up = LipsyncHook.asettings

    async def noted(hook: LipsyncHook) -> Any:
        made.append(hook.lipsync_conn_id)
        return await look_up(hook)

    monkeypatch.setattr(LipsyncHook, "asettings", noted)
    return made


async def nothing_is_left(vendor: LiveVendor) -> None:
    assert watchers._open == {}
    await asyncio.wait_for(vendor.none_open.wait(), 10)


def test_a_thousand_triggers_share_one_look_up_and_few_connections(connect: Any, look_ups: list[str]) -> None:
    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor, max_connections=7)
            before = asyncio.all_tasks()
            tasks = [waits(f"job-{number}", poll_interval=0.5) for number in range(1000)]
            await until(lambda: len(vendor.looks) == 1000)
            vendor.ended = {f"job-{number}" for number in range(1000)}
            events = await asyncio.gather(*tasks)
            assert {event["status"] for [event] in events} == {"completed"}
            assert vendor.most_open <= 7
            assert look_ups == ["lipsync_default"]
            await nothing_is_left(vendor)
            assert {task for task in asyncio.all_tasks() if "_serve" not in repr(task)} <= before

    asyncio.run(story())


def test_each_connection_has_a_watcher_of_its_own(connect: Any) -> None:
    async def story() -> None:
        async with LiveVendor() as one, LiveVendor() as other:
            other.keys = {OTHER_KEY}
            connect(one)
            connect(other, key=OTHER_KEY, conn_id="lipsync_other")
            tasks = [waits("a"), waits("a", lipsync_conn_id="lipsync_other")]
            await until(lambda: one.looks["a"] and other.looks["a"])
            assert len(watchers._open) == 2
            one.ended = other.ended = {"a"}
            await asyncio.gather(*tasks)
            assert (one.refused, other.refused) == (0, 0)
            await nothing_is_left(one)
            await nothing_is_left(other)

    asyncio.run(story())


def test_the_last_one_out_closes_also_when_it_is_cancelled(connect: Any) -> None:
    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            first, last = waits("a"), waits("b")
            await until(lambda: vendor.looks["a"] and vendor.looks["b"])
            first.cancel()
            await asyncio.wait({first})
            assert len(watchers._open) == 1
            last.cancel()
            await asyncio.wait({last})
            await nothing_is_left(vendor)

    asyncio.run(story())


def test_loops_come_and_go(connect: Any) -> None:
    async def story(ends: bool) -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            task = waits("a")
            await until(lambda: vendor.looks["a"] >= 2)
            if ends:
                vendor.ended = {"a"}
                [event] = await task
                assert event["status"] == "completed"

    for ends in (True, False, True):  # the loop that is left with a trigger in it cancels that
        asyncio.run(story(ends))
    assert watchers._open == {}


def test_a_loop_that_was_closed_around_its_triggers_is_forgotten(connect: Any) -> None:
    loop = asyncio.new_event_loop()

    async def enter() -> None:
        watchers.watching("lipsync_default").enter(WAITING, owner=new_trigger("a"))

    loop.run_until_complete(enter())
    close(loop)
    assert len(watchers._open) == 1

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            task = waits("a")
            await until(lambda: vendor.looks["a"])
            assert len(watchers._open) == 1
            vendor.ended = {"a"}
            await task

    asyncio.run(story())
    assert watchers._open == {}


@pytest.mark.parametrize("forgotten", [False, True], ids=["known still", "forgotten already"])
def test_a_trigger_that_is_collected_after_its_loop_was_closed_leaves_in_peace(connect: Any, forgotten: bool) -> None:
    loop = asyncio.new_event_loop()

    async def enter() -> tuple[watchers.Watching, Waiter]:
        watching = watchers.watching("lipsync_default")
        return watching, watching.enter(WAITING, owner=new_trigger("a"))

    entered, waiter = loop.run_until_complete(enter())
    close(loop)

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            if forgotten:
                watchers._forget_closed_loops()
            task = waits("a")
            await until(lambda: vendor.looks["a"])
            await entered.leave(waiter)
            assert [key[0] for key in watchers._open] == [asyncio.get_running_loop()]
            vendor.ended = {"a"}
            [event] = await task
            assert event["status"] == "completed"

    asyncio.run(story())
    assert watchers._open == {}


def test_a_key_that_was_rotated_is_picked_up_at_once_when_the_old_one_is_refused(
    connect: Any, look_ups: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "_AT_ONCE_SECONDS", 0.0)

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            tasks = [waits(f"job-{number}") for number in range(20)]
            await until(lambda: len(vendor.looks) == 20)
            connect(vendor, key=OTHER_KEY)
            vendor.keys = {OTHER_KEY}
            vendor.looks.clear()
            await until(lambda: len(vendor.looks) == 20)
            vendor.ended = {f"job-{number}" for number in range(20)}
            events = await asyncio.gather(*tasks)
            assert {event["status"] for [event] in events} == {"completed"}
            assert 1 <= vendor.refused <= 10
            await nothing_is_left(vendor)

    asyncio.run(story())
    assert 2 <= len(look_ups) <= 1 + 10


def test_a_key_that_was_rotated_is_picked_up_in_time_although_the_old_one_still_works(
    connect: Any, look_ups: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    later = 0.0

    async def story() -> None:
        nonlocal later
        async with LiveVendor() as vendor:
            vendor.keys = {KEY, OTHER_KEY}
            connect(vendor)
            task = waits("a", deadline=time.time() + 3600)
            await until(lambda: vendor.looks["a"] >= 2)
            connect(vendor, key=OTHER_KEY)
            later = 301.0
            looks = vendor.looks["a"]
            await until(lambda: vendor.looks["a"] >= looks + 3)
            vendor.keys = {OTHER_KEY}
            vendor.ended = {"a"}
            [event] = await task
            assert event["status"] == "completed"
            assert vendor.refused == 0

    monkeypatch.setattr(Clock, "now", lambda _: time.time() + later)
    asyncio.run(story())
    assert len(look_ups) == 2


def test_a_key_that_was_rotated_is_picked_up_although_the_clock_was_set_back_since(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = 0.0

    async def story() -> None:
        nonlocal later
        async with LiveVendor() as vendor:
            connect(vendor)
            task = waits("a", deadline=time.time() + 3600)
            await until(lambda: vendor.looks["a"] >= 2)
            connect(vendor, key=OTHER_KEY)
            vendor.keys, vendor.ended = {OTHER_KEY}, {"a"}
            later = -1800.0
            [event] = await task
            assert event["status"] == "completed"

    monkeypatch.setattr(Clock, "now", lambda _: time.time() + later)
    asyncio.run(story())


class SilentAirflow:
    """Does not answer who looks a connection up, until it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.answered = 0, 0
        self.speaks = asyncio.Event()
        look_up = LipsyncHook.asettings

        async def late(hook: LipsyncHook) -> Any:
            self.asked += 1
            await self.speaks.wait()
            found = await look_up(hook)
            self.answered += 1
            return found

        monkeypatch.setattr(LipsyncHook, "asettings", late)


def test_a_look_up_that_gets_no_answer_keeps_nobody_beyond_the_deadline_and_is_not_asked_over_and_over(
    connect: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(line, "_LONGEST_LOOK_UP", 0.02)
    monkeypatch.setattr(watcher, "_PAUSES", (0.01,))

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            vendor.ended = {"patient"}
            airflow = SilentAirflow(monkeypatch)
            hurried, patient = waits("hurried", deadline=time.time()), waits("patient")
            [event] = await asyncio.wait_for(hurried, 20)
            assert event["status"] == "timeout"
            assert "could not be looked up: TimeoutError" in event["message"]
            await until(lambda: caplog.text.count("TimeoutError") >= 3)
            assert airflow.asked == 1
            airflow.speaks.set()
            [event] = await patient
            assert event["status"] == "completed"

    asyncio.run(story())


def test_a_look_up_that_gets_no_answer_stops_nobody_who_knows_the_connection(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "RENEWED_SECONDS", 0.3)

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            task = waits("a")
            await until(lambda: vendor.looks["a"])
            airflow = SilentAirflow(monkeypatch)
            await until(lambda: airflow.asked)
            monkeypatch.setattr(line, "RENEWED_SECONDS", 300.0)
            vendor.ended = {"b"}
            [event] = await waits("b")
            assert event["status"] == "completed"
            airflow.speaks.set()
            vendor.ended |= {"a"}
            await task

    asyncio.run(story())


def test_a_look_up_is_not_cut_off_by_who_is_cancelled(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Airflow 3.1 its answer would be taken for that of the next question, whoever asks it."""

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            airflow = SilentAirflow(monkeypatch)
            task = waits("a")
            await until(lambda: airflow.asked)
            task.cancel()
            await asyncio.wait({task})
            assert watchers._open == {}
            airflow.speaks.set()
            await until(lambda: airflow.answered)

    asyncio.run(story())


def test_without_adaptive_polling_looks_are_by_the_interval_alone_and_nothing_is_learned(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "_learned", {})

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor, adaptive_polling=False, typical_seconds_low=3600)  # worth no look for an hour, else
            task = waits("a", submitted_at=time.time() - 1, kind="lipsync-image 480p")
            await until(lambda: vendor.looks["a"] >= 3)
            vendor.ended = {"a"}
            await task

    asyncio.run(story())
    assert watchers._learned == {}


def test_a_rate_limit_that_was_changed_counts_as_soon_as_the_connection_is_looked_up_again(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "RENEWED_SECONDS", 0.05)

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor, max_polls_per_second=200)
            task = waits("a")
            await until(lambda: vendor.looks["a"])
            [opened] = watchers._open.values()
            connect(vendor, max_polls_per_second=100)
            await until(lambda: opened.watcher._circuit.limit == 100)  # nobody new came meanwhile
            vendor.ended = {"a"}
            await task

    asyncio.run(story())


def test_a_connection_that_cannot_be_looked_up_again_is_used_as_it_was(
    connect: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(line, "RENEWED_SECONDS", 0.1)

    async def away(hook: LipsyncHook) -> Any:
        raise TimeoutError

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor)
            task = waits("a")
            await until(lambda: vendor.looks["a"])
            monkeypatch.setattr(LipsyncHook, "asettings", away)
            await until(lambda: "Looking on with what was known of it" in caplog.text)
            vendor.ended = {"a"}
            [event] = await task
            assert event["status"] == "completed"

    asyncio.run(story())
    assert "the connection 'lipsync_default' could not be looked up: TimeoutError" in caplog.text


def test_a_key_that_is_refused_and_was_not_rotated_is_told_and_not_looked_up_for_each(
    connect: Any, look_ups: list[str]
) -> None:
    async def story() -> None:
        async with LiveVendor() as vendor:
            vendor.keys = set()
            connect(vendor)
            events = await asyncio.gather(*(waits(f"job-{number}") for number in range(50)))
            assert {(event["status"], event["message"]) for [event] in events} == {
                ("error", "the vendor refused the query (401)")
            }

    asyncio.run(story())
    assert len(look_ups) <= 2


def test_a_connection_that_is_not_there_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    [event] = asyncio.run(event_of(new_trigger("a", lipsync_conn_id="lipsync_nowhere")))
    assert event["status"] == "error"
    assert "there is no connection 'lipsync_nowhere'" in event["message"]


def test_what_was_learned_outlives_the_watchers(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "_learned", {})

    async def story() -> None:
        async with LiveVendor() as vendor:
            connect(vendor, adaptive_polling=True, typical_seconds_low=0.01, typical_seconds_high=0.1)
            vendor.ended = {"a"}
            await waits("a", submitted_at=time.time() - 1, kind="lipsync-image 480p")

    asyncio.run(story())
    asyncio.run(story())
    [(key, durations)] = watchers._learned.items()
    assert key == ("lipsync_default", "lipsync-image 480p", (0.01, 0.1))
    assert durations.known == 2
