"""LipsyncJobTrigger: waits for a job in the triggerer. It only ever looks (GET); nothing here can buy anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.common.compat.sdk import conf
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_lipsync.api.flow import adrive
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.exceptions import LipsyncError
from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
from airflow_provider_lipsync.jobs.waiting import (
    FIRST_LOOK_SECONDS,
    ONE_ATTEMPT,
    Look,
    Pause,
    watch_job,
)

__all__ = ["LipsyncJobTrigger"]


_USUAL_HEARTBEAT = 5.0  # seconds: Airflow's default, which FIRST_LOOK_SECONDS is made for


def _late_workers() -> float:
    """Return the seconds by which workers may report later than usual that they have deferred a task."""
    seconds: float = conf.getfloat("workers", "min_heartbeat_interval", fallback=_USUAL_HEARTBEAT)
    return max(0.0, seconds - _USUAL_HEARTBEAT)


class LipsyncJobTrigger(BaseTrigger):
    """Fires one event when a job has ended, cannot be seen for good, or its deadline has passed.

    The event is ``{"status": "completed" | "failed" | "timeout" | "error", "job_id", "job": {…} or None, "message"}``.

    :param job_id: the vendor's id.
    :param lipsync_conn_id: the connection; the API key stays in it.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch: wall-clock, so that a restart changes nothing.
    """

    def __init__(self, *, job_id: str, lipsync_conn_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job_id = job_id
        self.lipsync_conn_id = lipsync_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again."""
        names = ("job_id", "lipsync_conn_id", "poll_interval", "deadline")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch the job and yield its one event."""
        watch = watch_job(
            self.job_id,
            deadline=self.deadline,
            poll_interval=self.poll_interval,
            now=time.time,
            log=self.log,
            first_pause=max(FIRST_LOOK_SECONDS + _late_workers(), self.poll_interval),
        )
        hook = LipsyncHook(lipsync_conn_id=self.lipsync_conn_id)
        try:
            event = await adrive(watch, lambda step: self._act(step, hook))
        finally:
            await hook.aclose()
        yield TriggerEvent(dict(event))  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Say that the job cannot be cancelled, and touch nothing.

        Airflow calls this also when an event came from elsewhere (a webhook, another triggerer). The job has ended
        then, and there is nothing to say.
        """
        hook = LipsyncHook(lipsync_conn_id=self.lipsync_conn_id)
        try:
            seen = await self._act(Look(), hook)
        except Exception as error:  # noqa: BLE001 - whatever it was, there is something to tell
            self.log.info("The job could not be looked at: %s: %s", type(error).__name__, error)
            seen = None
        finally:
            await hook.aclose()
        if isinstance(seen, Job) and seen.status.is_terminal:
            return
        self.log.warning(
            "The task was ended or cleared from outside. Job %s has no cancel: it runs on at the vendor and stays "
            "charged. Its record is kept for the next try.",
            self.job_id,
        )

    async def _act(self, step: Look | Pause, hook: LipsyncHook) -> Job | LipsyncError | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            client = await hook.aget_client()
            return await client.get_job(self.job_id, retry=ONE_ATTEMPT)
        except LipsyncError as error:
            return error
