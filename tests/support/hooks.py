"""What is seen from outside of webhooks in a running Airflow: whose job each tells of, when it came, what it moved.

It reads the sandbox's ledger and Airflow's database, and asks the product only what a token of its URLs stands for.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_lipsync.api.callback import Callback, read_token
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.runner import RealAirflow

__all__ = [
    "RECEIVER",
    "Hook",
    "Told",
    "at_by_key",
    "deferred_since",
    "ends",
    "moment",
    "receiver_settings",
    "scheduled_at",
]

RECEIVER = "/lipsync/webhooks/"

_WHO = "ti.dag_id, ti.run_id, ti.task_id, ti.map_index"
_DEFERRED = (
    f"SELECT {_WHO}, trigger.created_date AS at FROM task_instance ti JOIN trigger ON trigger.id = ti.trigger_id"
    " WHERE ti.state = 'deferred'"
)
_SCHEDULED = f"SELECT {_WHO}, ti.scheduled_dttm AS at FROM task_instance ti WHERE ti.scheduled_dttm IS NOT NULL"
_ENDS = (
    "SELECT source_dag_id AS dag_id, source_run_id AS run_id, source_task_id AS task_id, source_map_index AS map_index"
    " FROM asset_event"
)


@dataclass(frozen=True)
class Hook:
    """A connection of which webhooks tell, at one sandbox.

    :param extra: more extras of the connection.
    """

    conn_id: str
    vendor: SandboxServer
    secret: str
    extra: Mapping[str, Any]

    @classmethod
    def at(cls, vendor: SandboxServer, conn_id: str, **extra: Any) -> Hook:
        """Return one with a secret of its own."""
        return cls(conn_id, vendor, secrets.token_hex(16), extra)

    def environment(self, airflow_url: str) -> dict[str, str]:
        """Return the variable that defines it.

        :param airflow_url: under which the sandbox reaches the receiver.
        """
        extra = {"webhook_base_url": airflow_url, "webhook_secret": self.secret, **self.extra}
        connection = {"conn_type": "lipsync", "host": self.vendor.url, "password": self.vendor.key, "extra": extra}
        return {f"AIRFLOW_CONN_{self.conn_id.upper()}": json.dumps(connection)}


def receiver_settings(hooks: Iterable[Hook]) -> dict[str, str]:
    """Return the environment that turns the receiver on for these connections."""
    return {
        "AIRFLOW__LIPSYNC__WEBHOOK_RECEIVER": "True",
        "AIRFLOW__LIPSYNC__WEBHOOK_CONN_IDS": ",".join(hook.conn_id for hook in hooks),
    }


@dataclass(frozen=True)
class Told:
    """A job of which a webhook tells, as the sandbox's ledger has it.

    :param delivered: when each delivery left, and the status that it was answered with; None = there was no answer.
    """

    job_id: str
    url: str
    callback: Callback
    polls: int
    delivered: tuple[tuple[datetime, int | None], ...]

    @property
    def key(self) -> TaskKey:
        """The task instance that bought it."""
        named = self.callback
        return TaskKey(dag_id=named.dag_id, run_id=named.run_id, task_id=named.task_id, map_index=named.map_index)

    @property
    def token(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    @classmethod
    def all_of(cls, hooks: Iterable[Hook]) -> list[Told]:
        """Return every job that was bought by the connections, in order, if a webhook was asked for."""
        known = {hook.conn_id: (hook.secret,) for hook in hooks}
        vendors = {hook.vendor.url: hook.vendor for hook in hooks}
        entries = [entry for vendor in vendors.values() for entry in vendor.ledger()]
        return [cls._of(entry, known) for entry in entries if RECEIVER in entry["body"].get("webhook", "")]

    @classmethod
    def _of(cls, entry: Mapping[str, Any], known: Mapping[str, tuple[str, ...]]) -> Told:
        url = entry["body"]["webhook"]
        return cls(
            job_id=entry["job_id"],
            url=url,
            callback=read_token(url.rpartition("/")[2], secrets=known, now=0),
            polls=entry["polls"],
            delivered=tuple((moment(one["at"]), one["status"]) for one in entry["webhook_deliveries"]),
        )


def deferred_since(airflow: RealAirflow) -> dict[TaskKey, datetime]:
    """Return since when each task instance that is deferred now has been."""
    return at_by_key(airflow.query(_DEFERRED))


def scheduled_at(airflow: RealAirflow) -> dict[TaskKey, datetime]:
    """Return when each task instance was scheduled last: what resumes a deferred one schedules it."""
    return at_by_key(airflow.query(_SCHEDULED))


def ends(airflow: RealAirflow) -> list[TaskKey]:
    """Return the task instance of each asset event: one for each time that Airflow recorded a success."""
    return [_key(row) for row in airflow.query(_ENDS)]


def at_by_key(rows: Iterable[Any]) -> dict[TaskKey, datetime]:
    """Return the moment `at` of rows that name a task instance each."""
    return {_key(row): moment(row.at) for row in rows}


def moment(value: str | datetime) -> datetime:
    """Return a moment that SQLite gives as text without a zone."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _key(row: Any) -> TaskKey:
    return TaskKey(dag_id=row.dag_id, run_id=row.run_id, task_id=row.task_id, map_index=row.map_index)
