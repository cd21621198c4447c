"""Text, speech, video, publication, once a day: for questions of what is charged when parts of it run again."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncToObjectStorageOperator

SAMPLES = "{{ var.value.lipsync_samples }}"


@task
def speak() -> str:
    return "spoken"


with DAG("charges", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    render = LipsyncImageOperator(
        task_id="render", image=f"{SAMPLES}/portrait.png", audio=f"{SAMPLES}/voice.wav?run={{{{ run_id | urlencode }}}}"
    )
    publish = LipsyncToObjectStorageOperator(
        task_id="publish", job=render.output, output_path="file://{{ var.value.lipsync_folder }}/{{ run_id }}.mp4"
    )
    speak() >> render

with DAG("marked", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    LipsyncImageOperator(
        task_id="render",
        image=f"{SAMPLES}/portrait.png",
        audio=f"{SAMPLES}/voice.wav",
        lipsync_conn_id="lipsync_slow",
        poll_interval=1,
    )
