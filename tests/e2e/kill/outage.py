"""The outage: the triggerer is killed, then the scheduler, then both come back, while jobs wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress

from tests.e2e.kill.board import Board
from tests.runner import RealAirflow

TRIGGERER_KILLED, SCHEDULER_KILLED, BOTH_BACK = "the triggerer is killed", "the scheduler is killed", "both are back"
LONGEST = 600.0  # seconds that a scenario waits for the others


class Outage:
    """A step is taken when every scenario that still plays waits for one that is not yet taken."""

    def __init__(self) -> None:
        self._taken = {step: threading.Event() for step in (TRIGGERER_KILLED, SCHEDULER_KILLED, BOTH_BACK)}
        self._waiting: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._is_off = False

    def until(self, step: str) -> None:
        """Return once the step is taken."""
        with self._lock:
            self._waiting[step] += 1
        if not self._taken[step].wait(LONGEST) or self._is_off:
            raise TimeoutError(f"never came: {step}")

    def run(self, airflow: RealAirflow, board: Board, plays: Sequence[Future[None]]) -> None:
        def kill_scheduler() -> None:
            with suppress(TimeoutError):  # a scenario that failed may have left a task behind
                board.wait_until_idle()  # Airflow takes five minutes to miss a task that dies with its worker
            airflow.kill("scheduler")

        steps: dict[str, Callable[[], None]] = {
            TRIGGERER_KILLED: lambda: airflow.kill("triggerer"),
            SCHEDULER_KILLED: kill_scheduler,
            BOTH_BACK: lambda: airflow.start("triggerer", "scheduler"),
        }
        try:
            for step, take in steps.items():
                self._wait_for_all(airflow, plays)
                take()
                self._taken[step].set()
        except BaseException:
            self._is_off = True
            raise
        finally:
            for taken in self._taken.values():
                taken.set()

    def _wait_for_all(self, airflow: RealAirflow, plays: Sequence[Future[None]]) -> None:
        while pending := [play for play in plays if not play.done()]:
            airflow.check_components()
            if self._count_waiting() == len(pending):
                return
            wait(pending, timeout=0.2)

    def _count_waiting(self) -> int:
        with self._lock:
            return sum(number for step, number in self._waiting.items() if not self._taken[step].is_set())
