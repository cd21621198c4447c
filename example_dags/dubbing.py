"""One video in several languages: a mapped task group, in which one failed language does not stop the others."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task, task_group

from airflow_provider_lipsync.operators.lipsync import LipsyncVideoOperator

TEXTS = {
    "de": "Willkommen! In einer Minute zeigen wir, wie aus einem Text ein Film wird.",
    "en": "Welcome! In one minute we show how a text becomes a film.",
    "fr": "Bienvenue ! En une minute, nous montrons comment un texte devient un film.",
}

# Airflow Variables: `lipsync_storage`, for example s3://aws_default@my-bucket, and `lipsync_clip`, a video in it:
# s3://aws_default@my-bucket/clip.mp4.
FOLDER = "{{ var.value.lipsync_storage }}/dubbing/{{ dag_run.run_after | ts_nodash }}"
LANGUAGE = "{{ ti.xcom_pull(task_ids='languages')[ti.map_index] }}"


# The run fails if any language did; those that worked are published. A task after the group that runs in any case
# (`trigger_rule="all_done"`) would hide that: the last task decides.
@dag(
    schedule=None,
    params={"texts": Param(TEXTS, type="object", additionalProperties={"type": "string"}, minProperties=1)},
)
def dubbing() -> None:
    @task
    def languages(**context: Any) -> list[str]:
        return sorted(context["params"]["texts"])

    @task
    def speak(language: str, path: str, **context: Any) -> str:
        from local_speech import say  # within the task, so that reading the DAG stays quick

        return say(context["params"]["texts"][language], voice=language, path=path)

    @task_group(default_args={"map_index_template": LANGUAGE})  # what the UI calls each of the mapped tasks
    def dub(language: str) -> None:
        LipsyncVideoOperator(
            task_id="render",
            video="{{ var.value.lipsync_clip }}",
            audio=speak(language, f"{FOLDER}/{LANGUAGE}.wav"),
            output_path=f"{FOLDER}/{LANGUAGE}.mp4",
        )

    dub.expand(language=languages())


dubbing()
