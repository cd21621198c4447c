"""A video every Monday: text to speech, speech and a portrait to a video, the video into your own storage."""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from airflow_provider_lipsync.operators.lipsync import LipsyncImageOperator
from airflow_provider_lipsync.transfers.object_storage import LipsyncToObjectStorageOperator

TEXT = "Good morning! This film was made by nobody. A schedule wrote the order, and a picture learned to speak."

# Airflow Variables: `lipsync_storage`, for example s3://aws_default@my-bucket, and the public URL of a portrait.
FILE = "{{ var.value.lipsync_storage }}/weekly/{{ dag_run.run_after | ts_nodash }}"


# Without a start_date the first run is that of next Monday: unpausing the DAG buys nothing.
@dag(schedule="0 7 * * MON", max_active_runs=1, params={"text": Param(TEXT, type="string", minLength=1)})
def weekly_video() -> None:
    @task
    def speak(text: str, path: str) -> str:
        from local_speech import say  # within the task, so that reading the DAG stays quick

        return say(text, voice="en-us", path=path)

    render = LipsyncImageOperator(
        task_id="render",
        image="{{ var.value.lipsync_portrait_url }}",
        audio=speak("{{ params.text }}", f"{FILE}.wav"),
    )
    LipsyncToObjectStorageOperator(
        task_id="publish",
        job=render.output,
        output_path=f"{FILE}.mp4",
        retries=3,  # storing the video again costs nothing
    )


weekly_video()
