"""A video every Monday: text to speech, speech and a portrait to a video, all of it in a private bucket of your own."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, Param, dag, task
from airflow.timetables.trigger import CronTriggerTimetable  # from Airflow 3.2 on also in airflow.sdk

from airflow_provider_lipsync.operators.lipsync import LipsyncImageOperator

TEXT = "Good morning! This film was made by nobody. A schedule wrote the order, and a picture learned to speak."

# Airflow Variables: `lipsync_storage`, for example s3://aws_default@my-bucket, and `lipsync_portrait`, a picture in it:
# s3://aws_default@my-bucket/portrait.png.
FILE = "{{ var.value.lipsync_storage }}/weekly/{{ dag_run.run_after | ts_nodash }}"


# Unpausing the DAG buys nothing: the first run is that of next Monday. With a start_date, Airflow would run the last
# Monday at once; without one and with the schedule as a plain "0 7 * * MON", it would if you unpaused it on a Monday.
MONDAYS = CronTriggerTimetable("0 7 * * MON", timezone="UTC", run_immediately=timedelta())  # pyright: ignore[reportAbstractUsage]


@dag(schedule=MONDAYS, max_active_runs=1, params={"text": Param(TEXT, type="string", minLength=1)})
def weekly_video() -> None:
    @task
    def speak(text: str, path: str) -> str:
        from local_speech import say  # within the task, so that reading the DAG stays quick

        return say(text, voice="en-us", path=path)

    LipsyncImageOperator(
        task_id="render",
        image="{{ var.value.lipsync_portrait }}",
        audio=speak("{{ params.text }}", f"{FILE}.wav"),
        output_path=f"{FILE}.mp4",
        outlets=[Asset("weekly_video")],  # its event tells output_uri, sha256 and size
        retries=2,  # a retry takes the job that was bought; it buys another only if the vendor says that one failed
    )


weekly_video()
