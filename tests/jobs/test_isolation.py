"""What is wrong with one that waits, or with one look, is nobody else's end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_lipsync.jobs.waiting import Waiting
from tests.jobs.world import START, World, done, down, wait_for


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"job_id": {"an": "object"}}, id="no id"),
        pytest.param({"deadline": None}, id="no deadline"),
        pytest.param({"poll_interval": "5"}, id="an interval in words"),
    ],
)
def test_a_trigger_that_was_made_wrongly_fails_alone(odd: dict[str, Any]) -> None:
    async def story(world: World) -> None:
        good = [world.waits("a"), world.waits("b")]
        await world.clock.passes(1)
        wanted = {"job_id": "a", "deadline": START + 600, "poll_interval": 5.0, **odd}
        wrong = asyncio.create_task(wait_for(world.watcher, Waiting(**wanted), Broken()))
        good.append(world.waits("c"))
        await world.clock.passes(11)
        assert isinstance(wrong.exception(), TypeError)
        world.line.ends = {name: done(name) for name in "abc"}
        await world.clock.passes(5)
        assert [task.result()["status"] for task in good] == ["completed"] * 3

    World().run(story)


class Broken:
    """One that waits and has no log to write to."""

    @property
    def log(self) -> Any:
        raise OSError("no space left on device")


def test_a_log_that_cannot_be_written_ends_only_the_one_whose_it_is() -> None:
    async def story(world: World) -> None:
        wanted = Waiting(job_id="a", deadline=START + 600, poll_interval=5.0)
        wrong = asyncio.create_task(wait_for(world.watcher, wanted, Broken()))
        good = [world.waits("a"), world.waits("b")]
        await world.clock.passes(1)
        world.line.fault = down()
        await world.clock.passes(5)
        assert isinstance(wrong.exception(), OSError)
        world.line.fault = None
        world.line.ends = {name: done(name) for name in "ab"}
        await world.clock.passes(12)
        assert [task.result()["status"] for task in good] == ["completed"] * 2

    World().run(story)


def test_a_look_that_is_cancelled_from_below_is_one_that_did_not_work() -> None:
    async def story(world: World) -> None:
        tasks = [world.waits("a"), world.waits("b")]
        await world.clock.passes(1)
        world.line.breaks = asyncio.CancelledError()
        await world.clock.passes(5)
        world.line.breaks = None
        world.line.ends = {name: done(name) for name in "ab"}
        await world.clock.passes(6)
        assert [task.result()["status"] for task in tasks if task.done()] == ["completed"] * 2

    World().run(story)
