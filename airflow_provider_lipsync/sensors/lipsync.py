"""LipsyncJobSensor: waits for a job that another task bought. It never buys anything."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_lipsync._airflow import is_mapped
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.exceptions import LipsyncError
from airflow_provider_lipsync.jobs.outcome import (
    LipsyncKnown,
    LipsyncResult,
    as_sensor_error,
    job_id_of,
    known_of,
    timed_out,
)
from airflow_provider_lipsync.links import LipsyncPlayerLink
from airflow_provider_lipsync.operators.base import JobTask
from airflow_provider_lipsync.operators.lineage import LineageTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

__all__ = ["LipsyncJobSensor"]


class LipsyncJobSensor(LineageTask, JobTask, BaseSensorOperator):
    """Waits until a job has ended and hands on its result.

    ``poke_interval`` (seconds, default 5), ``timeout`` (seconds, from the sensor's start), ``mode`` and ``soft_fail``
    are Airflow's own. A job that the vendor says failed fails the sensor for good: looking again cannot help.

    :param job: a job id, or the result of a Lipsync task (``job=render.output``).
    :param lipsync_conn_id: connection of type ``lipsync``; its key must be the one that bought the job.
    :param in_triggerer: whether to start and end in the triggerer, without any worker (Airflow 3.3 or later; what it
        cannot do is refused when the DAG is read). A mapped sensor (``expand``) is deferred from a worker all the same.
    :param deferrable: whether to wait in the triggerer; False pokes on a worker, or in ``mode="reschedule"`` between
        workers.
    :raises LipsyncJobFailed: the vendor says that the job failed.
    :raises LipsyncJobTimeout: the job was not seen finished within ``timeout``.
    :raises LipsyncBadInput: ``in_triggerer`` with something that it cannot do.
    :return: :class:`~airflow_provider_lipsync.jobs.outcome.LipsyncResult`.
    """

    template_fields: Sequence[str] = ("job", "lipsync_conn_id")
    ui_color = "#f6e7f7"
    operator_extra_links = (LipsyncPlayerLink(),)

    _first_poke: float | None = None

    def __init__(
        self,
        *,
        job: str | Mapping[str, Any] | LipsyncResult | XComArg,
        lipsync_conn_id: str = "lipsync_default",
        deferrable: bool = True,
        in_triggerer: bool = False,
        poke_interval: Any = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.job = job
        self.lipsync_conn_id = lipsync_conn_id
        self.deferrable = deferrable
        self.in_triggerer = in_triggerer
        if in_triggerer and not is_mapped(self):
            from airflow_provider_lipsync.sensors.in_triggerer import start_in_triggerer

            start_in_triggerer(self)

    def execute(self, context: Context) -> LipsyncResult:
        """Wait for the job; see the class."""
        result: LipsyncResult
        if self.in_triggerer:
            self.log.info("This sensor could not start in the triggerer (it is mapped, or tested): a worker defers it.")
        try:
            if self.deferrable:  # by way of resume_execution, which applies soft_fail and never_fail
                result = super().resume_execution("_start_waiting", {}, context)
            else:
                result = super().execute(context)
        except AirflowSensorTimeout as error:
            if isinstance(error, LipsyncError):
                raise
            if self.never_fail:  # Airflow's own loop applies it to the errors of a poke, not to its timeout
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
            raise as_sensor_error(timed_out(self._known_job_id(context), seen=str(error), job=None)) from None
        finally:
            self._close()
        return result

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the job once."""
        from airflow_provider_lipsync.jobs.waiting import is_tolerable

        try:
            seen = self._look(self._known_job_id(context))
            if isinstance(seen, Job) and seen.status.is_terminal:
                return PokeReturnValue(is_done=True, xcom_value=self._hand_on(seen))
            if isinstance(seen, LipsyncError):
                if not is_tolerable(seen, self._seconds_of_poking(context)):
                    raise seen
                self.log.warning("The job could not be seen: %s. This says nothing about it; looking on.", seen.message)
        except LipsyncError as error:
            raise self._failed(context, error) from None
        return PokeReturnValue(is_done=False)

    def _seconds_of_poking(self, context: Context) -> float:
        """Return the seconds since the first poke, which in ``mode="reschedule"`` was another process's."""
        first = context["ti"].get_first_reschedule_date(context)
        self._first_poke = first.timestamp() if first else self._first_poke or time.time()
        return time.time() - self._first_poke

    def _start_waiting(self, context: Context) -> LipsyncResult:
        try:
            job_id = self._known_job_id(context)
            ended = self._first_look(job_id)
            return self._hand_on(ended) if ended else self._wait(job_id, time.time() + self.timeout)
        except LipsyncError as error:
            raise self._failed(context, error) from None

    def _wait_seconds(self) -> float:
        return float(self.timeout)

    def _look_interval(self) -> float:
        return float(self.poke_interval)

    def _known(self, job_id: str) -> LipsyncKnown:
        return known_of(self.job)

    def _known_job_id(self, context: Context) -> str:
        return job_id_of(self.job, api_key=self.hook.settings.target.api_key)

    def _wait_error(self, error: LipsyncError) -> LipsyncError:
        return error if isinstance(error, AirflowException) else as_sensor_error(error)
