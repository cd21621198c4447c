"""The webhook receiver of the demo's own Airflow: turned on, and what came of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY
from tests.runner import ApiError, RealAirflow
from tests.runner.config import HOST

__all__ = ["RECEIVER_ON", "Waking", "how_it_was_woken", "webhook_extras"]

RECEIVER_ON = {
    "AIRFLOW__LIPSYNC__WEBHOOK_RECEIVER": "True",
    "AIRFLOW__LIPSYNC__WEBHOOK_CONN_IDS": "lipsync_default",
}


def webhook_extras(port: int) -> dict[str, str]:
    """Return the extras of a connection whose vendor reaches Airflow on this port of loopback."""
    return {"webhook_base_url": f"http://{HOST}:{port}", "webhook_secret": secrets.token_hex(32)}


@dataclass(frozen=True)
class Waking:
    """What woke the task when its job had ended.

    :param by: ``webhook`` or ``polling``.
    :param looks: at the job, of the worker, the triggerer and the receiver together.
    :param lag: seconds from the end of the job until the receiver had confirmed it; None where polling woke the task.
    """

    by: str
    looks: int
    lag: float | None = None

    def __str__(self) -> str:
        looks = f"{self.looks} look{'' if self.looks == 1 else 's'} at the job in all"
        if self.lag is None:
            return f"polling: no webhook had told of the job; {looks}"
        return f"the vendor's webhook, {self.lag:.1f} s after the end of the job, confirmed by a look; {looks}"


def how_it_was_woken(airflow: RealAirflow, job: dict[str, Any], dag_id: str, run_id: str, task_id: str) -> Waking:
    """Read what the receiver handed on, and the log of the task, in which the triggerer tells of a job it saw itself.

    :param job: its row in the sandbox's ledger.
    """
    try:
        delivery = airflow.xcom(dag_id, run_id, task_id, DELIVERY_KEY)
    except ApiError:
        delivery = None
    if delivery is None or "it was seen by a look" in airflow.task_log(dag_id, run_id, task_id):
        return Waking("polling", job["polls"])
    ended = datetime.fromisoformat(job["finished_at"]).timestamp()
    return Waking("webhook", job["polls"], max(0.0, delivery["at"] - ended))
