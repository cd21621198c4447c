"""Outages and storms of 429: hardly anybody looks, deadlines are kept, and all end right after."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_lipsync.exceptions import LipsyncRateLimited
from tests.jobs.world import START, World, done, down


def test_after_an_outage_of_ten_minutes_everybody_is_seen_and_until_then_hardly_anybody_looks() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits(f"job-{number}") for number in range(200)]
        await world.clock.passes(10)
        world.line.fault = down()
        world.line.looks.clear()
        await world.clock.passes(600)
        assert len(world.line.looks) <= 3 + 10 + 600 / 30 + 4  # those on their way, and the probes
        world.line.fault = None
        world.line.ends = {f"job-{number}": done(f"job-{number}") for number in range(200)}
        await world.clock.passes(40)
        assert [task.result()["status"] for task in tasks if task.done()] == ["completed"] * 200

    World().run(story)


def test_a_deadline_that_passes_during_an_outage_is_told_without_a_look() -> None:
    async def story(world: World) -> None:
        patient = [world.waits(f"patient-{number}") for number in range(5)]
        hurried = world.waits("hurried", deadline=100)
        await world.clock.passes(7)
        world.line.fault = down()
        await world.clock.passes(92)
        assert not hurried.done()
        await world.clock.passes(3)
        assert hurried.done()
        event = hurried.result()
        assert event["status"] == "timeout"
        assert event["message"] in ("last seen as 'processing'", f"it could not be seen: {down().message}")
        assert not any(task.done() for task in patient)
        for task in patient:
            task.cancel()

    World().run(story)


def test_a_storm_of_429_slows_everybody_down_and_all_end_right() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits(f"job-{number}", poll_interval=1.0) for number in range(100)]
        await world.clock.passes(20)
        usual = len(world.line.looks) / 20
        world.line.fault = LipsyncRateLimited("the vendor asks to slow down (429)", retry_after=3.0)
        world.line.looks.clear()
        await world.clock.passes(60)
        assert len(world.line.looks) / 60 < usual / 20
        world.line.fault = None
        world.line.ends = {f"job-{number}": done(f"job-{number}") for number in range(100)}
        await world.clock.passes(200)
        assert [task.result()["status"] for task in tasks if task.done()] == ["completed"] * 100

    World().run(story)


@pytest.mark.parametrize("retry_after", [None, 3.0, 60.0])
def test_deadlines_that_pass_in_a_storm_of_429_are_kept(retry_after: float | None) -> None:
    async def story(world: World) -> None:
        tasks = [world.waits(f"job-{number}", deadline=300) for number in range(100)]
        await world.clock.passes(20)
        world.line.fault = LipsyncRateLimited("the vendor asks to slow down (429)", retry_after=retry_after)
        await world.clock.passes(279)
        assert not any(task.done() for task in tasks)
        await world.clock.passes(12)
        assert [task.result()["status"] for task in tasks if task.done()] == ["timeout"] * 100

    World().run(story)


def test_a_short_pause_after_a_429_does_not_cost_the_last_look() -> None:
    async def story(world: World) -> None:
        world.line.ends["a"] = done("a")
        task, other = world.waits("a", not_before=START + 20, deadline=20), world.waits("b", poll_interval=3.0)
        await world.clock.passes(17)
        world.line.fault = LipsyncRateLimited("the vendor asks to slow down (429)", retry_after=3.0)
        await world.clock.passes(2)
        world.line.fault = None
        await world.clock.passes(5)
        assert task.result()["status"] == "completed"
        other.cancel()

    World().run(story)


def test_an_outage_is_told_once_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="airflow_provider_lipsync")

    async def story(world: World) -> None:
        tasks = [world.waits(f"job-{number}") for number in range(20)]
        await world.clock.passes(7)
        world.line.fault = down()
        await world.clock.passes(300)
        world.line.fault = None
        await world.clock.passes(40)
        for task in tasks:
            task.cancel()

    World().run(story)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_lipsync")]
    assert len(told) == 2
    assert "do not work: the vendor's server failed (503). This says nothing about the 20 jobs that wait" in told[0]
    assert told[1].endswith("work again.")
