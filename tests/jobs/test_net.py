"""Jobs that a webhook tells of: looks are only the net below it, and few."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lipsync.jobs.pace import Durations, net_pause
from tests.jobs.world import START, World, done

TOLD = {"webhook": True, "submitted_at": START, "not_before": START + 8}


def looked_at(ends_at: float, *, until: float = 3000.0, deadline: float = 3600.0) -> list[float]:
    """The ages at which a job is looked at whose webhook never came.

    :param ends_at: seconds from its submit.
    """
    ages: list[float] = []

    async def story(world: World) -> None:
        task = world.waits("a", deadline=deadline, **TOLD)
        await world.clock.passes(ends_at)
        world.line.ends["a"] = done("a")
        await world.clock.passes(until - ends_at)
        assert (await task)["status"] == "completed"
        ages.extend(moment - START for moment in world.line.seen("a"))

    World(learned=Durations(low=30, high=120)).run(story)
    return ages


def test_nobody_looks_before_nearly_all_have_been_told_of() -> None:
    [age] = looked_at(55)
    assert 132 <= age <= 135


def test_then_looks_become_rarer() -> None:
    ages = looked_at(1200)
    pauses = [after - before for before, after in pairwise(ages)]
    assert len(ages) <= 11  # plain polling: 240
    assert pauses == sorted(pauses)
    assert 30 <= pauses[0] <= 40
    assert pauses[-1] <= 330


def test_the_deadline_gets_its_look_all_the_same() -> None:
    [age] = looked_at(20, deadline=60)
    assert age == 60


def test_one_that_comes_late_in_its_jobs_life_looks_at_once() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits("late", webhook=True, submitted_at=START - 200), world.waits("a", **TOLD)]
        world.line.ends["late"] = done("late")
        await world.clock.passes(1)
        assert (world.line.seen("late"), world.line.seen("a")) == ([START], [])
        assert (await tasks[0])["status"] == "completed"
        tasks[1].cancel()

    World(learned=Durations(low=30, high=120)).run(story)


def test_one_that_is_not_told_of_and_waits_for_the_same_job_lends_its_looks() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits("a", **TOLD), world.waits("a")]
        await world.clock.passes(20)
        world.line.ends["a"] = done("a")
        await world.clock.passes(6)
        assert [event["status"] for event in await asyncio.gather(*tasks)] == ["completed"] * 2

    World(learned=Durations(low=30, high=120)).run(story)


def test_what_jobs_took_takes_the_place_of_the_mark() -> None:
    durations = Durations(low=30, high=120)
    for seconds in range(200, 300):
        durations.learn(seconds=seconds, since_last_look=1.0)
    assert 290 <= durations.nearly_all() <= 330


@given(
    age=st.floats(0, 1e5),
    interval=st.floats(0.1, 600),
    high=st.floats(0, 1e4),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_pause_is_never_without_end_and_never_none(age: float, interval: float, high: float, chance: float) -> None:
    durations = Durations(low=0, high=high)
    pause = net_pause(age=age, poll_interval=interval, durations=durations, chance=chance)
    assert 0 < pause <= max(315.0, durations.nearly_all() - age + 315.0)
