"""Airflow's own TriggerRunner without its supervisor: what would cross that socket is answered in :class:`_Supervisor`.

Everything else is Airflow's: the loop, the making of triggers from encrypted arguments, logs, spans, greenback, events.
"""

from __future__ import annotations

import asyncio
import pickle
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.executors.workloads.trigger import RunTrigger
from airflow.jobs.triggerer_job_runner import TriggerRunner, messages
from airflow.models.trigger import Trigger
from airflow.sdk.execution_time.comms import MaskSecret, OKResponse

from benchmarks.waiting.jobs import Job
from benchmarks.waiting.kinds import KINDS, Load

__all__ = ["Runner", "Workloads", "log_as_a_triggerer"]

_AT_ONCE = 100  # workloads that are read before others have their turn
_ids: Iterator[int] = count(1)


class Workloads:
    """What a supervisor would send, each with its moment, made ahead and kept in a file: memory is being measured."""

    def __init__(self, kind: str, jobs: Sequence[Job], load: Load, *, later: float = 0.0) -> None:
        waits = KINDS[kind]
        self.count = len(jobs)
        self.first = jobs[0].submitted_at + later
        self._left, self._file = len(jobs), tempfile.TemporaryFile()  # noqa: SIM115 - it goes with this
        for job in jobs:
            workload = _new_workload(waits.trigger, waits.arguments(job, load))
            pickle.dump((job.submitted_at + later, workload), self._file)
        self._file.seek(0)
        self._next = self._read()

    def due(self, now: float) -> RunTrigger | None:
        """Return one that is due."""
        if self._next is None or self._next[0] > now:
            return None
        (_, workload), self._next = self._next, self._read()
        return workload

    def _read(self) -> tuple[float, RunTrigger] | None:
        if not self._left:
            return None
        self._left -= 1
        found: tuple[float, RunTrigger] = pickle.load(self._file)  # noqa: S301 - written above
        return found


class _Supervisor:
    """Answers what a runner asks: hands out the triggers that are due, and takes the events."""

    def __init__(self) -> None:
        self._reader_task = asyncio.get_running_loop().create_task(asyncio.Event().wait())
        self._workloads: Workloads | None = None
        self.events: list[Any] = []
        self.failures: list[Any] = []
        self.handed_out, self.done = asyncio.Event(), asyncio.Event()

    def expect(self, workloads: Workloads) -> None:
        self._workloads = workloads
        self.events, self.failures = [], []
        self.handed_out.clear()
        self.done.clear()

    async def asend(self, message: Any) -> Any:
        if not isinstance(message, messages.TriggerStateChanges):
            return self.send(message)
        self.events += message.events or []
        self.failures += message.failures or []
        if self._workloads is None:
            return messages.TriggerStateSync(to_create=[], to_cancel=set())
        if len(self.events) + len(self.failures) >= self._workloads.count:
            self.done.set()
        if not self.handed_out.is_set():
            await self._first_is_due(self._workloads.first)
        return messages.TriggerStateSync(to_create=await self._due(self._workloads), to_cancel=set())

    def send(self, message: Any) -> Any:
        if isinstance(message, MaskSecret):
            return OKResponse(ok=True)
        raise TypeError(f"nobody here knows an answer to {type(message).__name__}")

    async def _first_is_due(self, moment: float) -> None:
        """Wait where it is near: a runner asks but once a second, and that second is no part of a job."""
        soon = moment - time.time()
        if 0 < soon < 1:
            await asyncio.sleep(soon)

    async def _due(self, workloads: Workloads) -> list[RunTrigger]:
        due, now = [], time.time()
        while workload := workloads.due(now):
            due.append(workload)
            if len(due) % _AT_ONCE == 0:
                await asyncio.sleep(0)
        if due:
            self.handed_out.set()
        return due


class Runner(TriggerRunner):
    """Airflow's runner, to be given triggers by hand."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.supervisor = _Supervisor()

    async def init_comms(self) -> None:
        """Do what Airflow's does, with somebody who answers at once."""
        from airflow.sdk.execution_time import task_runner

        self.comms_decoder = self.supervisor  # type: ignore[assignment]
        task_runner.SUPERVISOR_COMMS = self.supervisor  # type: ignore[assignment]

    async def started(self) -> asyncio.Task[None]:
        """Start the loop; return what runs it."""
        running = asyncio.create_task(self.arun())  # type: ignore[no-untyped-call]
        while self._stop_event is None:
            await asyncio.sleep(0)
            if running.done():
                running.result()
        return running

    async def finish(self, running: asyncio.Task[None]) -> None:
        """Let the loop end."""
        self._handle_signal(None, None)
        await running


def _new_workload(trigger: str, arguments: dict[str, Any]) -> RunTrigger:
    number = next(_ids)
    task = TaskInstanceDTO(
        id=uuid.uuid4(),
        dag_version_id=uuid.UUID(int=1),
        dag_id="bench",
        task_id="wait",
        run_id="manual__2026-01-01",
        try_number=1,
        map_index=number,
        pool_slots=1,
        priority_weight=1,
        queue="default",
    )
    return RunTrigger(id=number, classpath=trigger, encrypted_kwargs=Trigger.encrypt_kwargs(arguments), ti=task)


def log_as_a_triggerer(file: Path) -> None:
    """Let lines go where a runner's go: made JSON and written, unbuffered."""
    from airflow.sdk.log import configure_logging, reset_logging

    reset_logging()  # type: ignore[no-untyped-call]
    configure_logging(json_output=True, output=file.open("wb", buffering=0), sending_to_supervisor=True)
