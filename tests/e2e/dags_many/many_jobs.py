"""One task, mapped sixty times: as many jobs wait at once."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_lipsync import LipsyncImageOperator

SAMPLES = "{{ var.value.lipsync_samples }}"

with DAG("many_jobs", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    LipsyncImageOperator.partial(
        task_id="render", image=f"{SAMPLES}/portrait.png", audio=f"{SAMPLES}/voice.wav"
    ).expand(prompt=[f"speaker {number}" for number in range(60)])
