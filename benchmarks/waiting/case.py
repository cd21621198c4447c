"""One measured case in a process of its own, which tells what it cost: ``benchmarks.waiting.case '{…}'``."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.waiting.jobs import Job, plan_jobs
from benchmarks.waiting.kinds import BARE, KINDS, Load
from benchmarks.waiting.measuring import Meter, allow_open_files, resident_kilobytes

__all__ = ["Case", "main"]

_LEAD = 1.2  # seconds from planning to the first job
_LEAD_EACH = 0.001  # seconds more for each job: its trigger is made ready ahead
_LATE = 120.0  # seconds after its end at which a job is given up
_LONG = 3600.0  # seconds that a job takes while it is only held
_AGE = 40.0  # seconds: held jobs are old enough to be looked at, as after a restart of the triggerer


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured.

    :param kind: who waits.
    :param jobs: how many.
    :param poll: seconds between two looks, compressed already.
    :param compressed: how many times quicker than real ones the jobs are.
    :param arrive: seconds over which they come; 0 = all at once.
    :param hold: seconds after which the jobs, none of which ends, are left; 0 = wait for all.
    :param port: of the vendors.
    :param control: of their counts.
    """

    kind: str
    jobs: int
    poll: float
    compressed: float = 10.0
    arrive: float = 0.0
    hold: float = 0.0
    port: int = 0
    control: int = 0

    @property
    def load(self) -> Load:
        """How the jobs are looked at."""
        return Load(poll=self.poll, compressed=self.compressed)

    def as_json(self) -> str:
        """Return what :func:`main` reads."""
        return json.dumps(asdict(self))

    def plan(self) -> list[Job]:
        """Return the jobs, which come soon."""
        begin = time.time() + _LEAD + _LEAD_EACH * self.jobs
        return plan_jobs(self.jobs, begin=begin, compressed=self.compressed, arrive_within=self.arrive)

    def counts(self, path: str = "counts") -> dict[str, float]:
        """Return what the vendors counted."""
        with urlopen(f"http://127.0.0.1:{self.control}/{path}") as answer:
            found: dict[str, float] = json.loads(answer.read())
        return found


class _Measuring:
    """From just before the first job comes."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.meter: Meter | None = None

    async def begin(self, first: float) -> None:
        gc.collect()
        await asyncio.sleep(max(0.0, first - 0.2 - time.time()))
        self.case.counts("reset")
        self.meter = Meter()

    def end(self, ended: int) -> dict[str, float]:
        assert self.meter is not None
        found = self.meter.stop()
        return {**found, **self.case.counts(), "ended": ended}


async def _bare(case: Case) -> dict[str, float]:
    from benchmarks.waiting.bare import loop_over

    measuring = _Measuring(case)

    async def begin() -> Sequence[Job]:
        jobs = case.plan()
        await measuring.begin(jobs[0].submitted_at)
        await asyncio.sleep(max(0.0, jobs[0].submitted_at - time.time()))
        return jobs

    return measuring.end(await loop_over(case.kind, case.port, case.load, _warm_up_job(), begin))


async def _in_runner(case: Case) -> dict[str, float]:
    from benchmarks.waiting.runner import Runner, Workloads, log_as_a_triggerer

    log_as_a_triggerer(Path(os.devnull))
    runner, measuring = Runner(), _Measuring(case)
    supervisor = runner.supervisor
    supervisor.expect(Workloads(case.kind, [_warm_up_job()], case.load))
    running = await runner.started()
    await asyncio.wait_for(supervisor.done.wait(), _LATE)
    jobs = _held(case.plan()) if case.hold else case.plan()
    workloads = Workloads(case.kind, jobs, case.load, later=_AGE if case.hold else 0.0)
    await measuring.begin(workloads.first)
    supervisor.expect(workloads)
    if case.hold:
        return await _hold(case, measuring, supervisor)
    await asyncio.wait_for(supervisor.done.wait(), jobs[-1].submitted_at + _LATE + _LATE - time.time())
    found = measuring.end(len([entry for entry in supervisor.events if _is_good(entry.event.payload)]))
    await runner.finish(running)
    return found


async def _hold(case: Case, measuring: _Measuring, supervisor: Any) -> dict[str, float]:
    await supervisor.handed_out.wait()
    await asyncio.sleep(case.hold)
    found = measuring.end(0)
    gc.collect()
    assert measuring.meter is not None
    return found | {"memory": resident_kilobytes() - measuring.meter.idle, "lost": len(supervisor.failures)}


def _held(jobs: Sequence[Job]) -> list[Job]:
    return [Job(job.number, job.submitted_at - _AGE, job.submitted_at + _LONG) for job in jobs]


def _warm_up_job() -> Job:
    """Return a job that has ended: what is imported and made once a process is not what a job costs."""
    now = time.time()
    return Job(0, now - 10 * _AGE, now - 1)


def _is_good(payload: Any) -> bool:
    return payload is True or (
        isinstance(payload, dict) and (payload.get("status") in ("success", "completed") or "run_state" in payload)
    )


def main(told: str) -> dict[str, float]:
    """Run a case; return what it cost."""
    case = Case(**json.loads(told))
    allow_open_files()
    if case.kind in BARE:
        return asyncio.run(_bare(case))
    KINDS[case.kind].prepare(case.port)
    return asyncio.run(_in_runner(case))


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(main(sys.argv[1]))}\n")
    sys.stdout.flush()
    os._exit(0)  # what is still held needs no farewell
