"""Where every task instance stands, read from the metadata database by one thread for all who wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from tests.runner import RealAirflow

T = TypeVar("T")

INTERVAL = 0.25  # seconds between two looks
PATIENCE = 400.0  # seconds: two cores, some fifty tasks, and perhaps others who work there, too
ACTIVE = frozenset({"scheduled", "queued", "running", "restarting", "up_for_retry", None})
MISMATCHES = text("SELECT run_id, extra FROM log WHERE event = 'state mismatch'")
STATEMENT = text(
    "SELECT ti.run_id, task_id, map_index, ti.state, try_number, max_tries, ti.id, ti.end_date, pid,"
    " run.state AS run_state FROM task_instance ti JOIN dag_run run USING (dag_id, run_id)"
)


@dataclass(frozen=True)
class Standing:
    """One task instance. `id` is another one on every try."""

    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    max_tries: int
    id: str
    end_date: object
    pid: int | None
    run_state: str = field(compare=False)


class Board:
    """`with Board(airflow) as board:` looks until the block ends."""

    def __init__(self, airflow: RealAirflow) -> None:
        self._airflow = airflow
        self._standings: list[Standing] = []
        self._mismatches: list[tuple[str, str]] = []
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="board", daemon=True)

    def __enter__(self) -> Board:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def wait(self, look: Callable[[list[Standing]], T | None], *, what: str) -> T:
        """Return what `look` sees in the standings, once it is not None."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while (seen := look(self._standings)) is None:
                if time.monotonic() > deadline or self._over.is_set():
                    raise TimeoutError(f"never seen: {what}")
                self._changed.wait(1)
            return seen

    def wait_until_idle(self) -> None:
        """Wait until no task runs, or is about to."""
        self.wait(lambda standings: None if _states(standings) & ACTIVE else True, what="no task is active")

    def of_run(self, run_id: str) -> list[Standing]:
        with self._changed:
            return [one for one in self._standings if one.run_id == run_id]

    def mismatches(self, run_id: str) -> list[str]:
        """What the scheduler said when it failed tasks of the run for what their workers had told."""
        with self._changed:
            return [said for run, said in self._mismatches if run == run_id]

    def _look_on(self) -> None:
        with self._airflow.engine() as engine:
            while not self._over.wait(INTERVAL):
                try:
                    with engine.connect() as connection:
                        found, mismatches = _read(connection), _read_mismatches(connection)
                except OperationalError:  # SQLite is locked: the next look will do
                    continue
                with self._changed:
                    self._standings, self._mismatches = found, mismatches
                    self._changed.notify_all()


def _states(standings: list[Standing]) -> set[str | None]:
    return {standing.state for standing in standings}


def _read(connection: Connection) -> list[Standing]:
    return [Standing(**row) for row in connection.execute(STATEMENT).mappings()]


def _read_mismatches(connection: Connection) -> list[tuple[str, str]]:
    return [(row.run_id, row.extra) for row in connection.execute(MISMATCHES)]
