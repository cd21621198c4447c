"""Buying and waiting as tasks of their own, for one video and for many: what waits can be cleared, and buys nothing."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_lipsync.operators.lipsync import LipsyncImageOperator
from airflow_provider_lipsync.sensors.lipsync import LipsyncJobSensor
from airflow_provider_lipsync.transfers.object_storage import LipsyncToObjectStorageOperator

TEXTS = ["Tip number one: say it in one sentence.", "Tip number two: then stop."]

# Airflow Variables: `lipsync_storage`, for example s3://aws_default@my-bucket, and `lipsync_portrait`, a picture in it:
# s3://aws_default@my-bucket/portrait.png. (Not a local file: its copy would be removed by whoever waits for the job.)
FOLDER = "{{ var.value.lipsync_storage }}/{{ dag.dag_id }}/{{ dag_run.run_after | ts_nodash }}"
PORTRAIT = "{{ var.value.lipsync_portrait }}"


@task
def speak(text: str, path: str) -> str:
    from local_speech import say  # within the task, so that reading the DAG stays quick

    return say(text, voice="en-us", path=path)


@dag(schedule=None, params={"text": Param(TEXTS[0], type="string", minLength=1)})
def submit_and_wait() -> None:
    submit = LipsyncImageOperator(
        task_id="submit",
        image=PORTRAIT,
        audio=speak("{{ params.text }}", f"{FOLDER}/video.wav"),
        wait_for_completion=False,
    )
    wait = LipsyncJobSensor(task_id="wait", job=submit.output, timeout=1800)
    LipsyncToObjectStorageOperator(task_id="publish", job=wait.output, output_path=f"{FOLDER}/video.mp4")


# Each step waits for all of the one before it, so one job that fails leaves all of them unpublished. Where each is to
# go its own way, put the steps into a mapped task group: see dubbing.py.
@dag(schedule=None, params={"texts": Param(TEXTS, type="array", items={"type": "string"}, minItems=1)})
def submit_and_wait_many() -> None:
    @task
    def texts(**context: Any) -> list[str]:
        return list(context["params"]["texts"])

    speech = speak.partial(path=f"{FOLDER}/{{{{ ti.map_index }}}}.wav").expand(text=texts())
    submit = LipsyncImageOperator.partial(task_id="submit", image=PORTRAIT, wait_for_completion=False).expand(
        audio=speech
    )
    wait = LipsyncJobSensor.partial(task_id="wait", timeout=1800).expand(job=submit.output)
    LipsyncToObjectStorageOperator.partial(
        task_id="publish", output_path=f"{FOLDER}/{{{{ ti.map_index }}}}.mp4"
    ).expand(job=wait.output)


submit_and_wait()
submit_and_wait_many()
