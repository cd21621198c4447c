"""Two thousand tasks that wait: sensors in DAGs of a hundred, on jobs that the test bought, and operators that buy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pendulum
from airflow.sdk import DAG

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobSensor

SAMPLES = "{{ var.value.lipsync_samples }}"
START = pendulum.datetime(2026, 1, 1, tz="UTC")
JOBS: list[list[str]] = json.loads(Path(os.environ["LIPSYNC_TEST_JOBS"]).read_text())

with DAG("buyers", schedule=None, start_date=START, catchup=False, max_active_tasks=16):
    LipsyncImageOperator.partial(
        task_id="render", image=f"{SAMPLES}/portrait.png", audio=f"{SAMPLES}/voice.wav", job_timeout=3600
    ).expand(prompt=[f"speaker {number}" for number in range(100)])

for number, jobs in enumerate(JOBS):
    with DAG(f"waiters_{number}", schedule=None, start_date=START, catchup=False):
        for index, job in enumerate(jobs):
            LipsyncJobSensor(task_id=f"wait_{index}", job=job, in_triggerer=True, timeout=3600)
