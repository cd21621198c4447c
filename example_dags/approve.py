"""Render, let a person watch and approve, publish: a rejected video is rendered with another seed, at most twice."""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import HITLBranchOperator
from airflow.sdk import Param, chain, dag, task

from airflow_provider_lipsync.operators.lipsync import LipsyncImageOperator
from airflow_provider_lipsync.transfers.object_storage import LipsyncToObjectStorageOperator

TEXT = "Somebody will watch me before you do."
SEEDS = (11, 22, 33)  # of the first video, and of those that follow a rejection

# Airflow Variables: `lipsync_storage`, for example s3://aws_default@my-bucket, and `lipsync_portrait`, a picture in it:
# s3://aws_default@my-bucket/portrait.png.
FILE = "{{ var.value.lipsync_storage }}/approve/{{ dag_run.run_after | ts_nodash }}"
# The player's address works in a mail as well: in a notifier, or in Airflow's own form, which shows this text.
BODY = """[Watch the video]({{{{ ti.xcom_pull(task_ids='{render}', key='lipsync_job')['player_url'] }}}}) (seed {seed}).

*Publish* stores it under `{file}.mp4`. *Reject* {otherwise}."""


@dag(schedule=None, params={"text": Param(TEXT, type="string", minLength=1)})
def approve() -> None:
    @task
    def speak(text: str, path: str) -> str:
        from local_speech import say  # within the task, so that reading the DAG stays quick

        return say(text, voice="en-us", path=path)

    @task
    def give_up() -> None:
        from airflow.sdk.exceptions import AirflowFailException

        raise AirflowFailException(f"All {len(SEEDS)} videos were rejected; nothing was published.")

    speech = speak("{{ params.text }}", f"{FILE}.wav")
    renders = [
        LipsyncImageOperator(
            task_id=f"render_{number}",
            image="{{ var.value.lipsync_portrait }}",
            audio=speech,
            seed=seed,
            labels={"attempt": number},
            retries=2,
        )
        for number, seed in enumerate(SEEDS, start=1)
    ]
    otherwise = [*renders[1:], give_up()]
    for number, (render, seed, rejected) in enumerate(zip(renders, SEEDS, otherwise, strict=True), start=1):
        last = number == len(SEEDS)
        publish = LipsyncToObjectStorageOperator(
            task_id=f"publish_{number}", job=render.output, output_path=f"{FILE}.mp4"
        )
        decide = HITLBranchOperator(
            task_id=f"approve_{number}",
            subject=f"Video {number} of at most {len(SEEDS)}: shall it be published?",
            body=BODY.format(
                render=render.task_id,
                seed=seed,
                file=FILE,
                otherwise="ends the run" if last else "renders it once more, with another seed, which is charged",
            ),
            options=["Publish", "Reject"],
            options_mapping={
                "Publish": publish.task_id,
                "Reject": "give_up" if last else renders[number].task_id,
            },
        )
        chain(render, decide, [publish, rejected])


approve()
