"""Draws the schedules of a cell, runs them, and judges each."""

from __future__ import annotations

import time
from zlib import crc32

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.reliability.conftest import Run
from tests.reliability.drawing import plans
from tests.reliability.law import judge
from tests.reliability.plan import Cell, Plan
from tests.reliability.tally import Tally

__all__ = ["hold"]


def hold(cell: Cell, run: Run, *, schedules: int, tally: Tally, shrinks: bool = True) -> None:
    """Run schedules of a cell.

    :param tally: counts what really happened in them.
    :param shrinks: whether a schedule that breaks the law is made as short as can be.
    :raises Broken: one of them broke the law.
    """
    tally.drawn.add(cell)

    @seed(crc32(str(cell).encode()))  # else all cells would draw the same
    @settings(
        max_examples=schedules,
        derandomize=True,  # and CI tries what was tried here
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],  # a schedule is a dozen HTTP requests and more
    )
    @given(plans(cell))
    def hold_in(plan: Plan) -> None:
        started = time.monotonic()
        schedule = run(plan)
        judge(schedule.story)
        tally.count(plan, schedule.story, schedule.cell, seconds=time.monotonic() - started)

    hold_in()
