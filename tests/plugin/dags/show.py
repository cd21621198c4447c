"""Tasks of every kind, whose states and XComs the tests set; nothing here ever runs."""

from __future__ import annotations

from airflow.sdk import DAG, task

from airflow_provider_lipsync import (
    LipsyncImageMultiOperator,
    LipsyncImageOperator,
    LipsyncJobSensor,
    LipsyncToObjectStorageOperator,
    LipsyncVideoOperator,
)

IMAGE, AUDIO, VIDEO = "https://host.example/a.png", "https://host.example/a.mp3", "https://host.example/a.mp4"


class GreetingOperator(LipsyncImageOperator):
    """One of a user's own."""


for dag_id in ("show", "other", "hidden"):
    with DAG(dag_id, schedule=None) as dag:

        @task
        def plain() -> None: ...

        plain()
        render = LipsyncImageOperator(task_id="render", image=IMAGE, audio=AUDIO)
        LipsyncVideoOperator(task_id="render_video", video=VIDEO, audio=AUDIO)
        LipsyncImageMultiOperator(task_id="render_two", image=IMAGE, left_audio=AUDIO, right_audio=AUDIO)
        GreetingOperator(task_id="greet", image=IMAGE, audio=AUDIO)
        LipsyncJobSensor(task_id="wait", job=render.output)
        LipsyncToObjectStorageOperator(task_id="keep", job=render.output, output_path="file:///nowhere/a.mp4")
        LipsyncImageOperator.partial(task_id="dub", image=IMAGE).expand(
            audio=[f"https://host.example/{number}.mp3" for number in range(50)]
        )
    globals()[dag_id] = dag
