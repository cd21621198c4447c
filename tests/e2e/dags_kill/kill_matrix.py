"""The tasks that the kill matrix runs. Their media are presigned anew on every try, which must change nothing."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG
from mortal import MortalImageOperator, MortalTransferOperator

SAMPLES = "{{ var.value.lipsync_samples }}"
SIGNED = "X-Amz-Signature=by-try-{{ ti.try_number }}&X-Amz-Credential=tester&X-Amz-Expires=60"
IMAGE = f"{SAMPLES}/portrait.png?{SIGNED}"
# By `of` the tests know a task instance's jobs in the sandbox's ledger.
AUDIO = f"{SAMPLES}/voice.wav?of={{{{ run_id }}}}&{SIGNED}"
COMMON = {
    "image": IMAGE,
    "audio": AUDIO,
    "lipsync_conn_id": "{{ dag_run.conf.get('connection', 'lipsync_default') }}",
    "resume_job_id": "{{ var.value.get('resume_' ~ run_id, '') }}",
    "poll_interval": 1,
}


def new_dag(name: str, retries: int) -> DAG:
    return DAG(
        f"kill_{name}",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        default_args={"retries": retries, "retry_delay": timedelta(0)},
    )


for name, retries in (("retried", 2), ("retried_once", 1), ("cleared", 0)):
    with new_dag(name, retries):
        MortalImageOperator(task_id="render", **COMMON)

for name, retries in (("publish_retried", 2), ("publish_cleared", 0)):
    with new_dag(name, retries):
        render = MortalImageOperator(task_id="render", **COMMON)
        MortalTransferOperator(
            task_id="publish", job=render.output, output_path="file://{{ var.value.lipsync_folder }}/{{ run_id }}.mp4"
        )

for name, retries in (("keep_retried", 2), ("keep_cleared", 0)):
    with new_dag(name, retries):
        MortalImageOperator(
            task_id="render", **COMMON, output_path="file://{{ var.value.lipsync_folder }}/{{ run_id }}.mp4"
        )

for name, retries in (("in_place_retried", 2), ("in_place_cleared", 0)):
    with new_dag(name, retries):
        MortalImageOperator(task_id="render", deferrable=False, **COMMON)

with new_dag("ten", 2):
    MortalImageOperator.partial(task_id="render", **COMMON).expand(seed=list(range(10)))
