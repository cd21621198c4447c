"""A dialogue: a picture of two people, a voice for each of them, who speak one after the other."""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from airflow_provider_lipsync.operators.lipsync import LipsyncImageMultiOperator

# Airflow Variables: `lipsync_storage`, for example s3://aws_default@my-bucket, and `lipsync_duo`, a picture: here a
# file on a disk that the workers share, such as /mnt/studio/duo.png. While the job runs, its copy stands under the
# connection's `staging_path`, where the vendor can fetch it.
FILE = "{{ var.value.lipsync_storage }}/dialogue/{{ dag_run.run_after | ts_nodash }}"


@dag(
    schedule=None,
    params={
        "left": Param("Shall we have the two of us in one film?", type="string", minLength=1),
        "right": Param("We are already in it.", type="string", minLength=1),
    },
)
def dialogue() -> None:
    @task
    def speak(text: str, voice: str, path: str) -> str:
        from local_speech import say  # within the task, so that reading the DAG stays quick

        return say(text, voice=voice, path=path)

    LipsyncImageMultiOperator(
        task_id="render",
        image="{{ var.value.lipsync_duo }}",
        left_audio=speak.override(task_id="speak_left")("{{ params.left }}", "en-us+f3", f"{FILE}-left.wav"),
        right_audio=speak.override(task_id="speak_right")("{{ params.right }}", "en-us", f"{FILE}-right.wav"),
        order="left_right",  # "meanwhile", the default: both at once, and only the longer one is charged
        output_path=f"{FILE}.mp4",
    )


dialogue()
