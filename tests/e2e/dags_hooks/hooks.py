"""Tasks whose jobs a webhook tells of. Each makes an asset event when it ends well: who ends twice makes two."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset
from mortal import MortalImageOperator

SAMPLES = "{{ var.value.lipsync_samples }}"
COMMON = {
    "image": f"{SAMPLES}/portrait.png",
    "audio": f"{SAMPLES}/voice.wav?of={{{{ run_id }}}}",  # by it the tests know a run's jobs in the sandbox's ledger
    "lipsync_conn_id": "{{ dag_run.conf.get('connection', 'lipsync_default') }}",
    "poll_interval": 1,
    "use_webhook": True,
    "outlets": [Asset("lipsync-videos")],
}
MAPPED = {"hook_few": 4, "hook_mapped": 6, "hook_fuzz": 24, "hook_hundreds": 300}


def new_dag(name: str, retries: int = 0, retry_delay: float = 0) -> DAG:
    return DAG(
        name,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        default_args={"retries": retries, "retry_delay": timedelta(seconds=retry_delay)},
    )


for name, retries, delay in (("hook_cleared", 0, 0), ("hook_retried", 1, 0), ("hook_retried_later", 1, 15)):
    with new_dag(name, retries, delay):
        MortalImageOperator(task_id="render", **COMMON)

for name, number in MAPPED.items():
    with new_dag(name):
        MortalImageOperator.partial(task_id="render", **COMMON).expand(seed=list(range(number)))
