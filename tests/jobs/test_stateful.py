"""Whatever happens in whatever order: each that waits is answered once, rightly and in time, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_lipsync.api.models import JobStatus
from airflow_provider_lipsync.exceptions import LipsyncKeyRefused, LipsyncRateLimited, LipsyncUnknownJob
from airflow_provider_lipsync.jobs.pace import Durations
from airflow_provider_lipsync.jobs.waiting import JobEvent, Waiting
from tests.jobs.world import World, done, down, settle

JOBS = st.sampled_from([f"job-{number}" for number in range(6)])
SECONDS = st.one_of(st.sampled_from([-10.0, 5.0, 15.0, 30.0]), st.floats(-10, 400))
LATE = 10.0  # seconds that a timeout may come after its deadline, whatever goes on, but for a look that hangs
SLACK = 40.0  # seconds that a probe, a jittered pause and a 429 may take together, at the most, after they are over
FAULTS = {
    "down": down(),
    "slow down": LipsyncRateLimited("429", retry_after=20.0),
    "slow down, much": LipsyncRateLimited("429", retry_after=55.0),
    "unknown": LipsyncUnknownJob("404"),
    "refused": LipsyncKeyRefused("401"),
}


@dataclass
class Waits:
    """One that waits, and what the test knows of it."""

    wanted: Waiting
    began: float
    task: asyncio.Task[JobEvent]
    cancelled: bool = False
    answered: float | None = None

    @property
    def job_id(self) -> str:
        return self.wanted.job_id

    @property
    def deadline(self) -> float:
        return self.wanted.deadline

    def is_set_back(self, seconds: float) -> None:
        """Take a clock that was set back, on which the deadline stays a moment."""
        known = self.wanted
        bought = None if known.submitted_at is None else known.submitted_at - seconds
        self.wanted = replace(known, submitted_at=bought, not_before=known.not_before - seconds)
        self.began -= seconds


class Watching(RuleBasedStateMachine):
    """One watcher, six jobs, and anything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World(learned=Durations(low=30, high=120), max_connections=3, max_polls_per_second=5.0)
        self.waiting: list[Waits] = []
        self.well_since = self.world.clock.time
        self.refused = False
        self.hung_until = 0.0
        self.ended: dict[str, float] = {}

    def teardown(self) -> None:
        for one in self.waiting:
            one.task.cancel()
        self._do(self._close())
        self.loop.close()

    async def _close(self) -> None:
        await self.world.watcher.aclose()
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert self.world.watcher._jobs == {}

    def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(work)

    @initialize(seconds=st.lists(SECONDS, min_size=3, max_size=6))
    def some_wait_from_the_beginning(self, seconds: list[float]) -> None:
        for number, until in enumerate(seconds):
            self.one_more_waits(f"job-{number}", until, None, soon=True)

    @rule(job_id=JOBS, seconds=SECONDS, age=st.one_of(st.none(), st.floats(0, 200)), soon=st.booleans())
    def one_more_waits(self, job_id: str, seconds: float, age: float | None, soon: bool) -> None:
        now = self.world.clock.time
        wanted = Waiting(
            job_id=job_id,
            deadline=now + seconds,
            poll_interval=5.0,
            submitted_at=None if age is None else now - age,
            kind="a kind",
            not_before=0.0 if soon else now + 6,
        )
        self._do(self._begin(wanted))

    async def _begin(self, wanted: Waiting) -> None:
        one = Waits(wanted, self.world.clock.time, self.world.waits_for(wanted))
        one.task.add_done_callback(lambda _: setattr(one, "answered", self.world.clock.time))
        self.waiting.append(one)
        await settle()

    @rule(which=st.integers(0, 100))
    def one_is_cancelled(self, which: int) -> None:
        if self.waiting:
            gone = self.waiting[which % len(self.waiting)]
            gone.cancelled = gone.task.cancel() or gone.cancelled
            self._do(settle())

    @rule(job_id=JOBS, status=st.sampled_from([JobStatus.COMPLETED, JobStatus.FAILED]))
    def a_job_ends(self, job_id: str, status: JobStatus) -> None:
        self.world.line.ends.setdefault(job_id, done(job_id, status))
        self.ended.setdefault(job_id, self.world.clock.time)

    @rule(fault=st.sampled_from(["down", "slow down", "slow down, much"]))
    def looks_do_not_work(self, fault: str) -> None:
        self.world.line.fault = FAULTS[fault]

    @rule(fault=st.sampled_from(["unknown", "refused"]))
    def looks_are_refused(self, fault: str) -> None:
        self.world.line.fault, self.refused = FAULTS[fault], True

    # A key that is refused so soon is the connection's last word: jobs/line.py.
    @precondition(lambda self: not 0 <= self.world.clock.time - self.world.line.last_asked() < 5)
    @rule(key=st.sampled_from(["sk_test_another_1", "sk_test_another_2"]))
    def the_key_is_rotated(self, key: str) -> None:
        self.world.line.is_rotated(key)

    @rule(seconds=st.floats(3, 3600))
    def the_clock_is_set_back(self, seconds: float) -> None:
        self.world.clock.is_set_back(seconds)
        self.well_since -= seconds
        self.hung_until -= seconds
        self.ended = {job_id: moment - seconds for job_id, moment in self.ended.items()}
        for one in self.waiting:
            if not one.task.done():
                one.is_set_back(seconds)

    @rule()
    def the_triggerer_is_restarted(self) -> None:
        left = [one.wanted for one in self.waiting if not one.task.done()]
        self.waiting = [one for one in self.waiting if one.task.done()]
        self._do(self.world.restarts())
        for wanted in left:
            self._do(self._begin(wanted))

    @rule()
    def looks_hang(self) -> None:
        if self.world.line.holding is None:
            self.world.line.holding = asyncio.Event()

    @rule()
    def looks_work_again(self) -> None:
        self.world.line.fault = None
        if self.world.line.holding is not None:
            self.world.line.holding.set()
            self.world.line.holding = None
            self.hung_until = self.world.clock.time
        self.well_since = self.world.clock.time
        self._do(settle())

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 15.0]))
    def some_time_passes(self, seconds: float) -> None:
        self._do(self.world.clock.passes(seconds))

    @rule(seconds=st.floats(0.1, 120))
    def time_passes(self, seconds: float) -> None:
        self._do(self.world.clock.passes(seconds))

    def is_well_for(self) -> float:
        """Seconds for which every look would have worked."""
        line = self.world.line
        return 0.0 if line.fault or line.holding else self.world.clock.time - self.well_since

    @invariant()
    def everybody_is_answered_rightly(self) -> None:
        for one in self.waiting:
            if one.cancelled or not one.task.done():
                continue
            event = one.task.result()
            assert event["job_id"] == one.job_id
            assert one.answered is not None
            earliest = min(one.wanted.not_before, max(one.deadline, one.began))
            assert one.answered >= earliest, "sooner than it may be"
            if event["status"] in ("completed", "failed"):
                ended = self.world.line.ends[one.job_id]
                assert event["status"] == ended.status
            elif event["status"] == "timeout":
                assert one.answered >= one.deadline
            else:
                assert self.refused

    @invariant()
    def everybody_is_answered_in_time(self) -> None:
        now, well = self.world.clock.time, self.is_well_for()
        for one in self.waiting:
            if not one.task.done():
                assert now < one.deadline + SLACK or min(well, now - one.began) < SLACK, "a deadline has passed"
                seen_for = min(well, now - one.began, now - self.ended.get(one.job_id, now))
                assert seen_for < SLACK + 20, "its job has ended"

    @invariant()
    def a_deadline_is_kept_whatever_the_vendor_says(self) -> None:
        now, line = self.world.clock.time, self.world.line
        if line.holding is None:  # where looks hang, all connections may be taken
            for one in self.waiting:
                late = now - max(one.deadline, one.began, self.hung_until)
                assert one.task.done() or late < LATE, "a deadline has passed"

    @invariant()
    def few_looks_are_on_their_way(self) -> None:
        assert self.world.line.most_at_once <= 3


TestWatching = Watching.TestCase
TestWatching.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
