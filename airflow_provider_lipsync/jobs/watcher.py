"""One poller for all jobs that wait on a connection: one client, one schedule, one rate limit, few looks at once.

It runs in contexts of its own: a task that is made inside a trigger inherits that trigger's log and span.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncPollFault, LipsyncRateLimited
from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.circuit import Circuit
from airflow_provider_lipsync.jobs.clock import Clock, Timer
from airflow_provider_lipsync.jobs.line import Line
from airflow_provider_lipsync.jobs.meter import Meter
from airflow_provider_lipsync.jobs.pace import Durations
from airflow_provider_lipsync.jobs.waiters import HasLog, LookedAt, Waiter
from airflow_provider_lipsync.jobs.waiting import JobWatch, Waiting, error_event, timeout_event
from airflow_provider_lipsync.metrics import count

__all__ = ["Watcher"]

log = logging.getLogger(__name__)

_AT_ONCE = 200  # newcomers taken in before others have their turn: ten thousand at once would hold up the loop
_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds between two attempts to look the connection up
_A_WHILE = 0.25  # seconds without a look, from which on whoever is due is put off: less is the rate limit's own spacing
_LAST_LOOK_WITHIN = 5.0  # seconds beyond a deadline for which a last look is hoped for while the vendor slows us down
_SET_BACK = 2.0  # seconds by which a clock must have gone back to have been set
_SOONER = 0.001  # seconds that a timer which is set already may be late


class Watcher:
    """Looks at jobs for all who wait for them on one connection. It belongs to one event loop; close it.

    :param line: looks at a job.
    :param learned: returns what is known of the time that jobs such as one take; None = look by the interval alone.
    """

    def __init__(
        self,
        line: Line,
        *,
        learned: Callable[[ConnectionSettings, Waiting], Durations | None],
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._line, self._learned, self._clock, self._chance = line, learned, clock, chance
        self._circuit = Circuit(per_second=1.0)
        self._newcomers: deque[Waiter] = deque()
        self._admitting: asyncio.Task[None] | None = None
        self._jobs: dict[str, LookedAt] = {}
        self._schedule: list[tuple[float, int, LookedAt]] = []
        self._entries = 0
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._latest = 0.0
        self._meter = Meter(line.conn_id)
        self._lanes: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []

    def enter(self, waiting: Waiting, *, owner: HasLog) -> Waiter:
        """Take in one that waits for a job: await its ``answer``, then :meth:`leave`, in any case.

        The answer comes at the latest when the deadline has passed and a look that was on its way is back. Cancelling
        it harms nobody else who waits.

        :param owner: in whose log is told what concerns this job.
        """
        newcomer = Waiter(waiting, owner)
        self._newcomers.append(newcomer)
        if self._admitting is None or self._admitting.done():
            self._admitting = self._spawn(self._admit())
        return newcomer

    def leave(self, waiter: Waiter) -> None:
        """Forget one that does not wait any more."""
        job = self._jobs.get(waiter.waiting.job_id)
        if job is not None and waiter in job.waiters:
            self._forget(job, waiter)

    async def aclose(self) -> None:
        """End everything, whoever still waits: they are cancelled."""
        if self._timer is not None:
            self._timer.cancel()
        working = self._lanes if self._admitting is None else {*self._lanes, self._admitting}
        for task in working:
            task.cancel()
        if working:
            await asyncio.wait(working)
        for waiter in self._everybody():
            waiter.answer.cancel()
        try:
            await self._line.aclose()
        except Exception:
            log.exception("Connections by %r could not be closed in order.", self._line.conn_id)

    # Who waits.

    async def _admit(self) -> None:
        """Take in who came, once the connection is known."""
        attempt = 0
        while self._newcomers:
            try:
                settings = await self._line.settings()
            except LipsyncPollFault as error:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                attempt += 1
                log.warning("%s. Nothing is lost; it is tried again in %.0f s.", error.message, pause)
                self._give_up_late(error)
                await asyncio.sleep(pause)
            except LipsyncError as error:
                while self._newcomers:
                    newcomer = self._newcomers.popleft()
                    newcomer.gets(error_event(newcomer.waiting.job_id, error))
            else:
                self._circuit.set_limit(settings.max_polls_per_second)
                for _ in range(min(_AT_ONCE, len(self._newcomers))):
                    newcomer = self._newcomers.popleft()
                    try:
                        self._take_in(newcomer, settings)
                    except Exception as error:  # noqa: BLE001 - what is wrong with one is no end of the others
                        newcomer.breaks(error)
                await asyncio.sleep(0)

    def _give_up_late(self, error: LipsyncError) -> None:
        now = self._clock.now()
        for newcomer in self._newcomers:
            if newcomer.waiting.deadline <= now:
                newcomer.gets(timeout_event(newcomer.waiting.job_id, f"never looked at: {error.message}"))
        self._newcomers = deque(newcomer for newcomer in self._newcomers if not newcomer.answer.done())

    def _take_in(self, newcomer: Waiter, settings: ConnectionSettings) -> None:
        if newcomer.answer.done():
            return
        waiting, now = newcomer.waiting, self._now()
        durations = self._learned(settings, waiting)
        newcomer.watch = watch = JobWatch(waiting, now=now, durations=durations, chance=self._chance())
        job = self._jobs.get(waiting.job_id)
        if job is None:
            job = self._jobs[waiting.job_id] = LookedAt(waiting.job_id)
        job.waiters.append(newcomer)
        self._meter.note(len(self._jobs), now)
        if not job.in_flight and (len(job.waiters) == 1 or watch.next_at < job.due):
            self._put(job, watch.next_at)
            self._look_up_again_at(watch.next_at, now)

    def _forget(self, job: LookedAt, waiter: Waiter) -> None:
        job.waiters.remove(waiter)
        if not job.waiters:
            del self._jobs[job.job_id]
            self._meter.note(len(self._jobs), self._latest)

    def _everybody(self) -> list[Waiter]:
        return [*self._newcomers, *(waiter for job in self._jobs.values() for waiter in job.waiters)]

    # The schedule.

    def _now(self) -> float:
        """Return the time. If the clock was set back since, all that is planned is: it would not come for as long."""
        now = self._clock.now()
        back = self._latest - now
        if back > _SET_BACK:
            for job in self._jobs.values():
                job.set_back(back)
            self._schedule = [(due - back, number, job) for due, number, job in self._schedule]
            self._circuit.set_back(back)
        self._latest = now
        return now

    def _put(self, job: LookedAt, due: float) -> None:
        job.due = due
        self._entries += 1
        heapq.heappush(self._schedule, (due, self._entries, job))

    def _look_up_again_at(self, moment: float, now: float) -> None:
        """See to it that a lane looks at the schedule by then."""
        if moment <= now:
            self._rouse()
            return
        if self._timer is not None:
            if self._timer_at <= moment + _SOONER:
                return
            self._timer.cancel()
        self._timer_at = moment
        self._timer = self._clock.call_at(moment, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._rouse()

    def _rouse(self) -> None:
        """Set one lane to work; it rouses the next one if there is work for two."""
        while self._idle:
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)
                return
        if len(self._lanes) < self._line.max_connections:
            self._lanes.add(self._spawn(self._lane()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        task.add_done_callback(self._ended, context=Context())
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell everybody what broke our own work: they would wait for ever otherwise."""
        self._lanes.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        for waiter in self._everybody():
            waiter.breaks(error)

    def _next(self) -> LookedAt | None:
        """Return the job whose look is due, and see to it that whoever is next is woken; None = none is due."""
        now = self._now()
        while self._schedule:
            due, _, job = self._schedule[0]
            if not job.waiters or job.due != due or job.in_flight:
                heapq.heappop(self._schedule)
                continue
            free_at = self._circuit.free_at(now)
            if max(due, free_at) <= now:
                heapq.heappop(self._schedule)
                self._circuit.left(now)
                if self._schedule:
                    self._look_up_again_at(self._moment_of(self._schedule[0][0], now), now)
                return job
            if due <= now and self._is_off(now):
                heapq.heappop(self._schedule)
                self._put_off(job, now, free_at)
                continue
            self._look_up_again_at(self._moment_of(due, now), now)
            return None
        return None

    def _moment_of(self, due: float, now: float) -> float:
        """Return when to deal with what is due then: while no look may leave it is only put off, with others."""
        free_at = self._circuit.free_at(now)
        return max(due, min(now + _A_WHILE, free_at) if self._is_off(now) else free_at)

    def _is_off(self, now: float) -> bool:
        """Whether no look may leave for a while: looks do not work, or the vendor asked for a pause."""
        return self._circuit.is_open or self._circuit.free_at(now) > now + _A_WHILE

    def _put_off(self, job: LookedAt, now: float, until: float) -> None:
        """Look later at a job, since none may leave now; those whose deadline has passed give up without one."""
        late = 0.0 if self._circuit.is_open else _LAST_LOOK_WITHIN
        for waiter in [waiter for waiter in job.waiters if waiter.watch.waiting.deadline + late <= now]:
            waiter.gets(waiter.watch.gives_up())
            self._forget(job, waiter)
        if job.waiters:
            soonest = min(waiter.watch.waiting.deadline for waiter in job.waiters)
            self._put(job, min(until + self._chance(), soonest + late))

    # The looks.

    async def _lane(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            job = self._next()
            if job is None:
                idle = loop.create_future()
                self._idle.append(idle)
                await idle
                continue
            await self._look(job)

    async def _look(self, job: LookedAt) -> None:
        job.in_flight, job.left = True, self._now()
        try:
            found = await self._line.look(job.job_id)
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            log.exception("A look at job %s broke. It is taken for one that did not work.", job.job_id)
            found = LipsyncPollFault(f"the look itself broke: {type(error).__name__}", job_id=job.job_id)
        job.in_flight = False
        self._circuit.set_limit(self._line.max_polls_per_second)
        now = self._now()
        self._note(found, now)
        for waiter in tuple(job.waiters):
            self._tell(job, waiter, found, now)
        if job.waiters:
            self._put(job, min(waiter.watch.next_at for waiter in job.waiters))

    def _tell(self, job: LookedAt, waiter: Waiter, found: Job | LipsyncError | None, now: float) -> None:
        """Tell one what a look showed; what breaks in it (its log, its settings) ends it alone."""
        try:
            event = waiter.watch.saw(found, left=job.left, now=now, log=waiter, chance=self._chance())
        except Exception as error:  # noqa: BLE001 - whatever it was, the others wait on
            waiter.breaks(error)
        else:
            if event is None:
                return
            waiter.gets(event)
        self._forget(job, waiter)

    def _note(self, found: Job | LipsyncError | None, now: float) -> None:
        was_open = self._circuit.is_open
        if isinstance(found, LipsyncRateLimited):
            count("rate_limited", conn_id=self._line.conn_id)
        self._circuit.came(now, found if isinstance(found, LipsyncError) else None, self._chance())
        if self._circuit.is_open and not was_open and isinstance(found, LipsyncError):
            log.warning(
                "Looks by the connection %r do not work: %s. This says nothing about the %d jobs that wait; one look "
                "at a time probes from now on.",
                self._line.conn_id,
                found.message,
                len(self._jobs),
            )
        elif was_open and not self._circuit.is_open:
            log.info("Looks by the connection %r work again.", self._line.conn_id)


def _is_cancelled() -> bool:
    """Whether the running task is to end; a look may also be cancelled from below, which ends nobody's waiting."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
