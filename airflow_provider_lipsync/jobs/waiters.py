"""Those who wait for a job in a triggerer, and the job that is looked at for them."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any, Protocol

from airflow_provider_lipsync.jobs.waiting import JobEvent, JobWatch, Waiting

__all__ = ["HasLog", "LookedAt", "Waiter"]


class HasLog(Protocol):
    """One that waits, seen by its log, which is made when there is something to say: most say nothing."""

    @property
    def log(self) -> Any: ...


class Waiter:
    """One that waits for a job, what it is answered by, and its log.

    All in one: with ten thousand that wait, each further object is one more for every full garbage collection.

    :param owner: whose log is written to, in its own context: that decides in whose file a line lands.
    """

    __slots__ = ("_context", "_owner", "answer", "waiting", "watch")

    watch: JobWatch  # from the moment on that it is taken in

    def __init__(self, waiting: Waiting, owner: HasLog) -> None:
        self.waiting = waiting
        self._owner, self._context = owner, copy_context()
        self.answer: asyncio.Future[JobEvent] = asyncio.get_running_loop().create_future()

    def gets(self, event: JobEvent) -> None:
        if not self.answer.done():
            self.answer.set_result(event)

    def breaks(self, error: BaseException) -> None:
        """End this waiting, and no other, with an error that is nobody's verdict on the job."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def info(self, event: Any, *args: Any) -> None:
        self._context.run(self._owner.log.info, event, *args)

    def warning(self, event: Any, *args: Any) -> None:
        self._context.run(self._owner.log.warning, event, *args)


class LookedAt:
    """A job that is looked at for all who wait for it."""

    __slots__ = ("due", "in_flight", "job_id", "left", "waiters")

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.waiters: list[Waiter] = []
        self.due = 0.0  # its entry of the schedule counts only with this moment; others are stale
        self.in_flight = False
        self.left = 0.0  # when the look left that is on its way, or the last one

    def set_back(self, seconds: float) -> None:
        """Take a clock that was set back."""
        self.due -= seconds
        self.left -= seconds
        for waiter in self.waiters:
            waiter.watch.set_back(seconds)
