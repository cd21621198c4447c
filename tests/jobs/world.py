"""A vendor, an Airflow and a clock for the watcher, which is the real one: answers come at once, time by hand."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from airflow_provider_lipsync.api.looking import Looker
from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.api.wire import Target
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncKeyRefused, LipsyncVendorFault
from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.clock import Clock
from airflow_provider_lipsync.jobs.line import Line
from airflow_provider_lipsync.jobs.pace import Durations
from airflow_provider_lipsync.jobs.waiting import JobEvent, Waiting
from airflow_provider_lipsync.jobs.watcher import Watcher

__all__ = ["HandClock", "Owner", "VendorLine", "World", "done", "settle", "wait_for"]

START = 1_800_000_000.0


async def wait_for(watcher: Watcher, waiting: Waiting, owner: Any) -> JobEvent:
    """Wait for a job as a trigger does."""
    waiter = watcher.enter(waiting, owner=owner)
    try:
        return await waiter.answer
    finally:
        watcher.leave(waiter)


async def settle() -> None:
    """Let everybody go on as far as they can without time passing."""
    for _ in range(30):
        await asyncio.sleep(0)


class _HandTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class HandClock(Clock):
    """A clock that only :meth:`passes` moves; timers go off in their order."""

    def __init__(self) -> None:
        self.time = START
        self._timers: list[tuple[float, int, _HandTimer]] = []
        self._made = 0

    def now(self) -> float:
        return self.time

    def is_set_back(self, seconds: float) -> None:
        """Show another time; timers come when they would have come."""
        self.time -= seconds
        self._timers = [(moment - seconds, number, timer) for moment, number, timer in self._timers]

    def call_at(self, moment: float, callback: Callable[[], None]) -> _HandTimer:
        timer = _HandTimer(callback)
        self._made += 1
        heapq.heappush(self._timers, (moment, self._made, timer))
        return timer

    async def passes(self, seconds: float) -> None:
        """Let time pass, and let everybody do what is due on the way."""
        until = self.time + seconds
        await settle()
        while self._timers and self._timers[0][0] <= until:
            moment, _, timer = heapq.heappop(self._timers)
            self.time = max(self.time, moment)
            if timer.callback is not None:
                timer.callback()
            await settle()
        self.time = until
        await settle()


class VendorLine(Line):
    """The real line, but for its ends: an Airflow and a vendor that answer at once, or when they are told to."""

    def __init__(self, clock: HandClock, **settings: Any) -> None:
        super().__init__("lipsync_test", clock=clock)
        self.key = "sk_test_0123456789"  # in Airflow, and the only one that the vendor takes
        self._more = {"adaptive_polling": False, **settings}
        self.ends: dict[str, Job] = {}
        self.fault: LipsyncError | None = None
        self.holding: asyncio.Event | None = None
        self.breaks: BaseException | None = None
        self.looks: list[tuple[float, str]] = []
        self.at_once = self.most_at_once = 0
        self.closed = 0

    async def _look_up(self) -> ConnectionSettings:
        return ConnectionSettings(target=Target(api_key=self.key), **self._more)

    async def _look_by(self, looker: Looker, job_id: str) -> Job | LipsyncError | None:
        refused = None if looker.settings.target.api_key == self.key else LipsyncKeyRefused("401")
        self.looks.append((self._clock.now(), job_id))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.holding is not None:
                await self.holding.wait()
            if self.breaks is not None:
                raise self.breaks
            return self.fault or refused or self.ends.get(job_id)
        finally:
            self.at_once -= 1

    async def aclose(self) -> None:
        await super().aclose()
        self.closed += 1

    def is_rotated(self, key: str) -> None:
        """Give the connection another key, the vendor's only one from now on."""
        self.key = key

    def last_asked(self) -> float:
        """When the connection was looked up last, seconds since the epoch."""
        return self._renewed_at

    def seen(self, job_id: str) -> list[float]:
        """When a job was looked at."""
        return [moment for moment, looked in self.looks if looked == job_id]


class Owner:
    """One that waits, with a log of its own."""

    def __init__(self, name: str) -> None:
        self.log = logging.getLogger(f"tests.owner.{name}")


def done(job_id: str, status: JobStatus = JobStatus.COMPLETED, **told: Any) -> Job:
    return Job(id=job_id, status=status, raw_status=status.value, **told)


class World:
    """A watcher, its vendor, its clock, and those who wait."""

    def __init__(
        self, *, learned: Durations | None = None, chance: Callable[[], float] = lambda: 0.5, **settings: Any
    ) -> None:
        self.clock = HandClock()
        self.line = VendorLine(self.clock, **settings)
        self._learned, self._chance = learned, chance
        self.watcher = self._new_watcher()

    def _new_watcher(self) -> Watcher:
        return Watcher(self.line, learned=lambda *_: self._learned, clock=self.clock, chance=self._chance)

    async def restarts(self) -> None:
        """End the watcher, and with it all who wait, as the end of a triggerer does; there is another one then."""
        await self.watcher.aclose()
        await settle()
        self.watcher = self._new_watcher()

    def waits(self, job_id: str, *, deadline: float = 3600.0, **waiting: Any) -> asyncio.Task[JobEvent]:
        """Start to wait for a job.

        :param deadline: seconds from now.
        """
        told = {"poll_interval": 5.0, **waiting}
        return self.waits_for(Waiting(job_id=job_id, deadline=self.clock.time + deadline, **told))

    def waits_for(self, wanted: Waiting) -> asyncio.Task[JobEvent]:
        """Start to wait for what is wanted."""
        return asyncio.get_running_loop().create_task(wait_for(self.watcher, wanted, Owner(wanted.job_id)))

    def run(self, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        """Run a story in a loop of its own, and look that nothing is left of it."""

        async def told() -> None:
            before = asyncio.all_tasks()
            await story(self)
            await self.watcher.aclose()
            await settle()
            assert asyncio.all_tasks() == before

        asyncio.run(told())


def down(message: str = "the vendor's server failed (503)") -> LipsyncVendorFault:
    return LipsyncVendorFault(message)


Story = Callable[[World], Awaitable[None]]
