"""Tells Airflow's metrics how many jobs wait in this triggerer: now and then, and at once when there is none left."""

from __future__ import annotations

from airflow_provider_lipsync.metrics import gauge

__all__ = ["Meter"]

_EVERY = 10.0  # seconds: jobs come and go by the hundred, and a gauge is read every few seconds at the most


class Meter:
    """The gauge of one connection.

    :param conn_id: id of the connection.
    """

    __slots__ = ("_conn_id", "_told", "_told_at")

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._told, self._told_at = 0, 0.0

    def note(self, jobs: int, now: float) -> None:
        """Take how many wait.

        :param now: seconds since the epoch.
        """
        if jobs == self._told or (jobs and self._told and 0 <= now - self._told_at < _EVERY):
            return
        self._told, self._told_at = jobs, now
        gauge("in_flight", jobs, conn_id=self._conn_id)
