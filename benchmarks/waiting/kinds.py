"""Who waits, and how each is told what to wait for. Imports nothing of those who wait: not all are installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.waiting.jobs import HIGH, LOW, Job

__all__ = ["BARE", "CONN_ID", "KINDS", "OURS", "PEERS", "SLEEPING", "Kind", "Load"]

CONN_ID = "bench"
_PATIENCE = 86_400.0  # seconds
_RACE_SECONDS = 10.0  # before which no trigger of ours looks, see jobs/race.py


@dataclass(frozen=True)
class Load:
    """How jobs are looked at.

    :param poll: seconds between two looks, compressed already.
    :param compressed: how many times quicker than real ones the jobs are.
    """

    poll: float
    compressed: float


@dataclass(frozen=True)
class Kind:
    """One that waits in a triggerer.

    :param trigger: class path.
    :param arguments: from a job to what its trigger is made with.
    :param connection: from the vendors' port to the Airflow connection.
    :param operators: the module that a DAG file imports; empty = there is none.
    :param prepare: what a process does, told the vendors' port, for one whose vendor cannot be named by a connection.
    """

    trigger: str
    arguments: Callable[[Job, Load], dict[str, Any]]
    connection: Callable[[int, Load], Mapping[str, Any]]
    operators: str = ""
    prepare: Callable[[int], None] = lambda port: None

    def environment(self, port: int, load: Load) -> dict[str, str]:
        """Return the variable that makes the connection."""
        return {f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(self.connection(port, load))}


def _sleeping(job: Job, load: Load) -> dict[str, Any]:
    return {"until": job.ends_at}


def _ours(job: Job, load: Load) -> dict[str, Any]:
    return {
        "job_id": job.uuid,
        "lipsync_conn_id": CONN_ID,
        "poll_interval": load.poll,
        "deadline": job.submitted_at + _PATIENCE,
        "submitted_at": job.submitted_at,
        "kind": "lipsync-image 480p" if job.number else "",  # nothing is learned from the warm-up
        "not_before": job.submitted_at + _RACE_SECONDS / load.compressed,
    }


def _ours_connection(port: int, load: Load) -> dict[str, Any]:
    extra = {
        "typical_seconds_low": LOW / load.compressed,
        "typical_seconds_high": HIGH / load.compressed,
        "max_polls_per_second": 5000,  # as good as none, which is what the others have
    }
    return {"conn_type": "lipsync", "host": f"https://127.0.0.1:{port}/api/v1", "password": "key", "extra": extra}


def _http(job: Job, load: Load) -> dict[str, Any]:
    return {"endpoint": f"json/jobs/{job.id}", "http_conn_id": CONN_ID, "poke_interval": load.poll}


def _dbt(job: Job, load: Load) -> dict[str, Any]:
    return {
        "conn_id": CONN_ID,
        "run_id": job.id,
        "end_time": job.submitted_at + _PATIENCE,
        "poll_interval": load.poll,
        "account_id": 1,
    }


def _databricks(job: Job, load: Load) -> dict[str, Any]:
    return {"run_id": job.id, "databricks_conn_id": CONN_ID, "polling_period_seconds": load.poll}


def _fivetran(job: Job, load: Load) -> dict[str, Any]:
    return {
        "task_id": "wait",
        "connector_id": str(job.id),
        "fivetran_conn_id": CONN_ID,
        "poke_interval": load.poll,
        "xcom": "2025-01-01T00:00:00+00:00",
    }


def _prepare_fivetran(port: int) -> None:
    from fivetran_provider_async.hooks import FivetranHook  # type: ignore[import-not-found,unused-ignore]

    FivetranHook.api_host = f"127.0.0.1:{port}"


def _anthropic(job: Job, load: Load) -> dict[str, Any]:
    return {
        "conn_id": CONN_ID,
        "batch_id": str(job.id),
        "poll_interval": load.poll,
        "end_time": job.submitted_at + _PATIENCE,
    }


def _https(conn_type: str, **more: Any) -> Callable[[int, Load], dict[str, Any]]:
    def connection(port: int, load: Load) -> dict[str, Any]:
        return {"conn_type": conn_type, "host": f"https://127.0.0.1:{port}", "password": "key", **more}

    return connection


SLEEPING, OURS = "sleeping", "ours"
BARE = ("aiohttp", "httpx")
KINDS: Mapping[str, Kind] = {
    SLEEPING: Kind("benchmarks.waiting.triggers.SleepingTrigger", _sleeping, _https("http")),
    OURS: Kind(
        "airflow_provider_lipsync.triggers.lipsync.LipsyncJobTrigger",
        _ours,
        _ours_connection,
        "airflow_provider_lipsync.operators.lipsync",
    ),
    "http": Kind(
        "airflow.providers.http.triggers.http.HttpSensorTrigger",
        _http,
        _https("http"),
        "airflow.providers.http.operators.http",
    ),
    "dbt": Kind(
        "airflow.providers.dbt.cloud.triggers.dbt.DbtCloudRunJobTrigger",
        _dbt,
        lambda port, load: {"conn_type": "dbt_cloud", "login": "1", "password": "key", "host": f"127.0.0.1:{port}"},
        "airflow.providers.dbt.cloud.operators.dbt",
    ),
    "databricks": Kind(
        "airflow.providers.databricks.triggers.databricks.DatabricksExecutionTrigger",
        _databricks,
        lambda port, load: {"conn_type": "databricks", "host": "127.0.0.1", "port": port, "password": "key"},
        "airflow.providers.databricks.operators.databricks",
    ),
    "fivetran": Kind(
        "fivetran_provider_async.triggers.FivetranTrigger",
        _fivetran,
        _https("fivetran", login="key"),
        "fivetran_provider_async.operators",
        _prepare_fivetran,
    ),
    "anthropic": Kind(
        "airflow.providers.anthropic.triggers.batch.AnthropicBatchTrigger",
        _anthropic,
        _https("anthropic"),
        "airflow.providers.anthropic.operators.batch",
    ),
}
PEERS = tuple(name for name in KINDS if name not in (SLEEPING, OURS))
