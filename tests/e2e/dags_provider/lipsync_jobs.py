"""Every way to use the provider, in one DAG: what ends well, what fails, and one template that reaches for the key."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset, task

from airflow_provider_lipsync import (
    LipsyncImageMultiOperator,
    LipsyncImageOperator,
    LipsyncJobSensor,
    LipsyncToObjectStorageOperator,
    LipsyncVideoOperator,
)

SAMPLES = "{{ var.value.lipsync_samples }}"
MEDIA = {"image": f"{SAMPLES}/portrait.png", "audio": f"{SAMPLES}/voice.wav"}


@task
def texts_of_a_cms() -> list[dict[str, str]]:
    return [{"audio": "https://example.com/voice.mp3", "prompt": "{{ conn.lipsync_default.password }}"}]


with DAG("lipsync_jobs", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    render = LipsyncImageOperator(task_id="render", **MEDIA)
    LipsyncToObjectStorageOperator(
        task_id="publish", job=render.output, output_path="file://{{ var.value.lipsync_folder }}/{{ run_id }}.mp4"
    )
    LipsyncImageOperator(
        task_id="kept",
        image="{{ var.value.lipsync_bucket }}/private/portrait.png",
        audio="{{ var.value.lipsync_folder }}/voice.wav",
        output_path="{{ var.value.lipsync_bucket }}/kept/{{ run_id }}.mp4",
        outlets=[Asset("lipsync://kept")],
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
        task_id="look_now_and_then", job=submit.output, deferrable=False, mode="reschedule", poke_interval=7
    )

    LipsyncImageOperator(task_id="no_sound", image=MEDIA["image"], audio=f"{SAMPLES}/nobody.wav")
    LipsyncImageOperator(task_id="refused_key", **MEDIA, lipsync_conn_id="lipsync_refused")
    LipsyncImageOperator(task_id="reaches_for_the_key", **MEDIA, prompt="{{ conn.lipsync_default.password }}")
    # What comes through expand_kwargs is rendered: a prompt of a content system could pull the key into the request.
    LipsyncImageOperator.partial(task_id="from_a_cms", image=MEDIA["image"], retries=1).expand_kwargs(texts_of_a_cms())
    LipsyncImageOperator.partial(task_id="bad_literal", image=MEDIA["image"], resolution="1080p", retries=1).expand(
        audio=["https://example.com/voice.mp3"]
    )
