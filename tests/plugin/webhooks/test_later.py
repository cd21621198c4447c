"""What is done after the answer: one thing at a time for each purchase, and not without end."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_lipsync.plugin.webhooks import later
from airflow_provider_lipsync.plugin.webhooks.later import Later, Turns


def test_the_newest_takes_the_place_of_what_was_to_be_done() -> None:
    async def story() -> list[str]:
        done: list[str] = []

        async def work(name: str, begun: asyncio.Event) -> None:
            begun.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            done.append(name)

        tasks, begun = Later(), [asyncio.Event(), asyncio.Event()]
        tasks.start("purchase", work("old", begun[0]))
        await begun[0].wait()
        tasks.start("purchase", work("new", begun[1]))
        await asyncio.gather(*tasks._tasks.values())
        return done

    assert asyncio.run(story()) == ["new"]


def test_what_goes_on_for_its_own_purchase_is_not_cut_off() -> None:
    async def story() -> list[str]:
        done: list[str] = []
        tasks = Later()

        async def second() -> None:
            done.append("second")

        async def first() -> None:
            tasks.start("purchase", second())
            await asyncio.sleep(0)
            done.append("first")

        tasks.start("purchase", first())
        await asyncio.gather(*tasks._tasks.values())  # the first
        await asyncio.gather(*tasks._tasks.values())  # what took its place
        return sorted(done)

    assert asyncio.run(story()) == ["first", "second"]


def test_there_are_not_more_than_a_process_can_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "_MOST", 3)

    async def story() -> tuple[int, int]:
        tasks, end = Later(), asyncio.Event()

        async def work() -> None:
            await end.wait()

        for number in range(5):
            tasks.start(f"purchase {number}", work())
        most = len(tasks)
        end.set()
        await asyncio.gather(*tasks._tasks.values())
        await asyncio.sleep(0)  # in which they are forgotten
        return most, len(tasks)

    assert asyncio.run(story()) == (3, 0)


def test_turns_come_one_after_the_other_for_each_purchase_and_nothing_is_kept() -> None:
    async def story() -> tuple[list[str], int]:
        turns, told = Turns(), []

        async def work(nonce: str, name: str) -> None:
            async with turns.of(nonce):
                told.append(f"{name} begins")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                told.append(f"{name} ends")

        await asyncio.gather(work("a", "one"), work("a", "two"), work("b", "other"))
        return told, len(turns._locks)

    told, kept = asyncio.run(story())
    assert [line for line in told if "other" not in line] == ["one begins", "one ends", "two begins", "two ends"]
    assert told.index("other begins") < told.index("one ends")
    assert kept == 0
