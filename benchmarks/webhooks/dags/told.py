"""As many tasks as each load wants: one that is mapped, in a DAG for each."""

from __future__ import annotations

import json
import os

import pendulum
from airflow.sdk import DAG

from airflow_provider_lipsync import LipsyncImageOperator

SAMPLES = "{{ var.value.lipsync_samples }}"

for name, jobs in json.loads(os.environ["LIPSYNC_BENCH_LOADS"]).items():
    with DAG(
        name,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_tasks=jobs,
        is_paused_upon_creation=False,
    ):
        LipsyncImageOperator.partial(
            task_id="render",
            image=f"{SAMPLES}/portrait.png",
            audio=f"{SAMPLES}/voice.wav",
            use_webhook=True,
            job_timeout=4 * 3600,
        ).expand(seed=list(range(jobs)))
