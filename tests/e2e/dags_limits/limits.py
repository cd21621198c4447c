"""Four jobs, of which the pool lets two be in flight."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_lipsync import LipsyncImageOperator

SAMPLES = "{{ var.value.lipsync_samples }}"

with DAG("limits", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    LipsyncImageOperator.partial(
        task_id="render", image=f"{SAMPLES}/portrait.png", audio=f"{SAMPLES}/voice.wav", pool="lipsync"
    ).expand(prompt=[f"speaker {number}" for number in range(4)])
