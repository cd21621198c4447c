"""Every way to use the provider, in one DAG: what ends well, what fails, and one template that reaches for the key."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_lipsync import (
    LipsyncImageMultiOperator,
    LipsyncImageOperator,
    LipsyncJobSensor,
    LipsyncToObjectStorageOperator,
    LipsyncVideoOperator,
)

SAMPLES = "{{ var.value.lipsync_samples }}"
MEDIA = {"image": f"{SAMPLES}/portrait.png", "audio": f"{SAMPLES}/voice.wav"}

with DAG("lipsync_jobs", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    render = LipsyncImageOperator(task_id="render", **MEDIA)
    LipsyncToObjectStorageOperator(
        task_id="publish", job=render.output, output_path="file://{{ var.value.lipsync_folder }}/{{ run_id }}.mp4"
    )
    LipsyncVideoOperator(
        task_id="in_place", video=f"{SAMPLES}/clip.mp4", audio=MEDIA["audio"], deferrable=False, poll_interval=1
    )
    submit = LipsyncImageMultiOperator(
        task_id="submit",
        image=MEDIA["image"],
        left_audio=MEDIA["audio"],
        right_audio=MEDIA["audio"],
        order="left_right",
        wait_for_completion=False,
    )
    LipsyncJobSensor(task_id="wait", job=submit.output)
    LipsyncJobSensor(
        task_id="look_now_and_then", job=submit.output, deferrable=False, mode="reschedule", poke_interval=2
    )

    LipsyncImageOperator(task_id="no_sound", image=MEDIA["image"], audio=MEDIA["image"])
    LipsyncImageOperator(task_id="refused_key", **MEDIA, lipsync_conn_id="lipsync_refused")
    LipsyncImageOperator(task_id="reaches_for_the_key", **MEDIA, prompt="{{ conn.lipsync_default.password }}")
