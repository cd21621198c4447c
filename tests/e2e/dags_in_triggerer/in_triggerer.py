"""Sensors that start and end in the triggerer, and beside them those that do not."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Variable, task, task_group

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobSensor

SAMPLES = "{{ var.value.lipsync_samples }}"
MEDIA = {"image": f"{SAMPLES}/portrait.png", "audio": f"{SAMPLES}/voice.wav"}
BY_TEMPLATE = "{{ ti.xcom_pull(task_ids='submit', map_indexes=-1)['job_id'] }}"


@task
def read(result: dict[str, Any]) -> list[str]:
    return [type(result).__name__, result["job_id"], result["status"]]


@task
def jobs(result: dict[str, Any]) -> list[str]:
    return [result["job_id"]]


@task
def voices() -> list[str]:
    return [f"{Variable.get('lipsync_samples')}/voice.wav"] * 2


with DAG("in_triggerer", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    submit = LipsyncImageOperator(task_id="submit", **MEDIA, wait_for_completion=False)
    wait = LipsyncJobSensor(task_id="wait", job=submit.output, in_triggerer=True, poke_interval=1)
    read(wait.output)
    LipsyncJobSensor(task_id="deferred", job=submit.output, poke_interval=1)
    by_template = LipsyncJobSensor(
        task_id="by_template", job=BY_TEMPLATE, lipsync_conn_id="{{ var.value.lipsync_conn }}", in_triggerer=True
    )
    submit >> by_template
    LipsyncJobSensor(task_id="late", job=submit.output, in_triggerer=True, poke_interval=1, timeout=3)

    LipsyncJobSensor(task_id="reaches_for_the_key", job="{{ conn.lipsync_default.password }}", in_triggerer=True)

    no_sound = LipsyncImageOperator(
        task_id="no_sound", image=MEDIA["image"], audio=f"{SAMPLES}/nobody.wav", wait_for_completion=False
    )
    LipsyncJobSensor(task_id="failed", job=no_sound.output, in_triggerer=True, poke_interval=1)
    LipsyncJobSensor(task_id="skipped", job=no_sound.output, in_triggerer=True, poke_interval=1, soft_fail=True)
    LipsyncJobSensor(task_id="for_good", job=no_sound.output, in_triggerer=True, poke_interval=1, retries=2)
    LipsyncJobSensor(
        task_id="refused_key",
        job=submit.output,
        lipsync_conn_id="lipsync_refused",
        in_triggerer=True,
        retries=1,
        retry_delay=pendulum.duration(seconds=0),
    )

    @task_group
    def each(audio: str) -> None:
        bought = LipsyncImageOperator(task_id="buy", image=MEDIA["image"], audio=audio, wait_for_completion=False)
        LipsyncJobSensor(task_id="wait", job=bought.output, in_triggerer=True, poke_interval=1)

    each.expand(audio=voices())

    LipsyncJobSensor.partial(task_id="mapped", in_triggerer=True, poke_interval=1).expand(job=jobs(submit.output))
