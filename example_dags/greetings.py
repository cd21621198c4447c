"""A film for each name on a list: run it again with a longer list, and only those that are new are bought."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from airflow.sdk import ObjectStoragePath, Param, dag, task

from airflow_provider_lipsync.operators.lipsync import LipsyncImageOperator

NAMES = ["Ada", "Grace"]
TEXT = "Good morning, {name}! It is good to have you here."

# Airflow Variables: `lipsync_storage`, for example s3://aws_default@my-bucket, and `lipsync_portrait`, a picture in it:
# s3://aws_default@my-bucket/portrait.png.
FOLDER = "{{ var.value.lipsync_storage }}/greetings"


# The files are named after what is said in them, not after the run that made them. Whoever asks again finds the film
# and its receipt: made of the same picture and sound, it is taken; made of others, it is left alone, and the task fails
# before anything is paid (`if_exists="replace"` would buy, and replace it).
@dag(schedule=None, params={"names": Param(NAMES, type="array", items={"type": "string", "pattern": "^[A-Za-z]+$"})})
def greetings() -> None:
    @task
    def names(**context: Any) -> list[str]:
        return list(context["params"]["names"])

    @task
    def speak(name: str, folder: str) -> dict[str, str]:
        from local_speech import say  # within the task, so that reading the DAG stays quick

        text = TEXT.format(name=name)
        file = f"{folder}/{name}-{sha256(text.encode()).hexdigest()[:8]}"
        audio = f"{file}.wav"
        if not ObjectStoragePath(audio).exists():  # said anew it may sound otherwise, and that would be another film
            say(text, voice="en-us", path=audio)
        return {"audio": audio, "output_path": f"{file}.mp4"}

    LipsyncImageOperator.partial(
        task_id="render",
        image="{{ var.value.lipsync_portrait }}",
        if_exists="reuse",  # the default
    ).expand_kwargs(speak.partial(folder=FOLDER).expand(name=names()))


greetings()
