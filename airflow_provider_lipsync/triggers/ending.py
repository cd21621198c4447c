"""LipsyncJobEndingTrigger: waits for a job as its parent does, and ends the task itself, without a worker."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from airflow_provider_lipsync._airflow import (
    airflows_deadline,
    forget_result,
    pull_result,
    push_link,
    push_result,
    why_not_in_triggerer,
)
from airflow_provider_lipsync.api.answers import read_job
from airflow_provider_lipsync.api.texts import without_query
from airflow_provider_lipsync.exceptions import LipsyncError
from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
from airflow_provider_lipsync.hooks.settings import read_connection
from airflow_provider_lipsync.jobs.outcome import (
    LipsyncKnown,
    LipsyncResult,
    as_sensor_error,
    finished,
    job_id_of,
    known_of,
    timed_out,
)
from airflow_provider_lipsync.jobs.waiting import JobEvent
from airflow_provider_lipsync.jobs.wording import COMPLETED
from airflow_provider_lipsync.links import LipsyncPlayerLink, player_url
from airflow_provider_lipsync.metrics import count, count_failure
from airflow_provider_lipsync.triggers.lipsync import LipsyncJobTrigger

__all__ = ["LipsyncJobEndingTrigger"]

_NAMES = ("job", "upstream", "lipsync_conn_id", "poll_interval", "timeout", "airflows_timeout")
_SWITCHES = ("pushes", "skips", "retries")


class LipsyncJobEndingTrigger(LipsyncJobTrigger):
    """Ends the task: success with the job's result in XCom, failed, or skipped.

    An error that no retry can mend goes to a worker where the task has retries: only there can they be passed over.

    :param lipsync_conn_id: the connection; the API key stays in it. A template was rendered by Airflow before the run.
    :param poll_interval: seconds between two looks.
    :param timeout: seconds from the task's start.
    :param airflows_timeout: seconds from the task's start after which Airflow itself gives up: how the start is known.
    :param job: a job id, or what a template of it became.
    :param upstream: instead of ``job``: ``task_id``, ``key`` and ``same_index`` of the task whose XCom has it.
    :param pushes: whether the result is handed on.
    :param skips: whether an error skips the task.
    :param retries: whether the task has any.
    """

    def __init__(
        self,
        *,
        lipsync_conn_id: str,
        poll_interval: float,
        timeout: float,
        airflows_timeout: float,
        job: Any = None,
        upstream: Mapping[str, Any] | None = None,
        pushes: bool = True,
        skips: bool = False,
        retries: bool = False,
    ) -> None:
        super().__init__(
            job_id="",
            lipsync_conn_id=lipsync_conn_id,
            poll_interval=poll_interval,
            deadline=math.inf,
            not_before=0.0,  # no worker started it: there is none that the scheduler could mistake for its end
        )
        self.timeout = timeout
        self.airflows_timeout = airflows_timeout
        self.job = job
        self.upstream = upstream
        self.pushes = pushes
        self.skips = skips
        self.retries = retries
        self._known: LipsyncKnown | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again."""
        arguments = {name: getattr(self, name) for name in _NAMES + _SWITCHES}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the job and yield how the task ends; a triggerer that cannot end it leaves it to a worker."""
        if obstacle := why_not_in_triggerer():
            self.log.warning("This triggerer cannot end the task: %s. A worker waits on.", obstacle)
            yield _to_worker({"message": obstacle})
            return
        yield await self._ending()

    async def on_kill(self) -> None:
        """See the parent; before the job's id is known, there is nothing to say."""
        if self.job_id:
            await super().on_kill()

    async def _ending(self) -> TriggerEvent:
        event: JobEvent | None = None
        try:
            await self._prepare()
            event = await self.watched()
            result = self._result_in(event)
        except LipsyncError as error:
            return self._failed(as_sensor_error(error), event)
        if self.pushes:
            await push_result(self.task_instance, dict(result))
        await push_link(self.task_instance, LipsyncPlayerLink(), player_url(self.task_instance))
        return TaskSuccessEvent()

    async def _prepare(self) -> None:
        """Find out which job, and until when.

        :raises LipsyncError: what was given is no job.
        """
        ti = self.task_instance
        if ti is not None and ti.try_number > 1:
            await forget_result(ti)
        ends = airflows_deadline(self)
        started = time.time() if ends is None else ends - self.airflows_timeout
        self.deadline = started + self.timeout
        given = await self._given()
        self._known = known_of(given)
        self.job_id = await self._checked(given)
        self.log.info("Waiting for job %s in the triggerer.", self.job_id)

    async def _given(self) -> Any:
        if self.upstream is None:
            return self.job
        ti = self.task_instance
        index = ti.map_index if self.upstream["same_index"] and ti is not None else -1
        return await pull_result(ti, task_id=self.upstream["task_id"], key=self.upstream["key"], map_index=index)

    async def _checked(self, given: Any) -> str:
        job_id = job_id_of(given)
        if _is_uuid(job_id):
            return job_id
        # What is not as the vendor's ids are might be the key; only then is the connection worth its look-up here.
        connection = read_connection(await LipsyncHook.aget_connection(self.lipsync_conn_id))
        return job_id_of(given, api_key=connection.target.api_key)

    def _result_in(self, event: JobEvent) -> LipsyncResult:
        """Return the result that an event tells of, in the words of the sensor.

        :raises LipsyncError: it tells of none.
        """
        job = None if event["job"] is None else read_job(event["job_id"], event["job"])
        if job is not None:
            result = finished(job, self._known)
            self.log.info(COMPLETED, job.id, without_query(job.output or ""))
            count("completed", conn_id=self.lipsync_conn_id, model=job.model or "")
            return result
        if event["status"] == "timeout":
            raise timed_out(self.job_id, seen=event["message"], job=None)
        raise LipsyncError(
            event["message"],
            job_id=self.job_id,
            next_step="mend what is named below, then clear this task: looking at a job is free",
        )

    def _failed(self, error: LipsyncError, event: JobEvent | None) -> TriggerEvent:
        if self.skips:
            self.log.warning("Skipping the task, as soft_fail or never_fail asks. %s", error)
            return TaskSkippedEvent()
        if self.retries and isinstance(error, AirflowFailException | AirflowSensorTimeout):
            self.log.info("A worker fails the task, so that it is not retried: that could not help.")
            return _to_worker(dict(event) if event else {"message": error.message})
        self.log.error("%s", error)
        count_failure(error, conn_id=self.lipsync_conn_id)  # else the worker does
        return TaskFailedEvent()


def _to_worker(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
