"""What the pages show: videos that are stored, one that only the vendor has, one that failed, one that is refused."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_lipsync import LipsyncImageOperator

STORAGE = "{{ var.value.lipsync_storage }}"
SAMPLES = "{{ var.value.lipsync_samples }}"
MEDIA = {"image": f"{SAMPLES}/portrait.png", "audio": f"{SAMPLES}/voice-right.wav"}


@task
def others() -> None:
    """A task that has nothing to do with videos."""


with DAG("videos", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    LipsyncImageOperator.partial(
        task_id="greet",
        image=MEDIA["image"],
        audio=MEDIA["audio"],
        output_path=f"{STORAGE}/greet/{{{{ run_id }}}}/{{{{ ti.map_index }}}}.mp4",
        labels={"client": "acme"},
    ).expand(seed=[1, 2, 3])
    LipsyncImageOperator(task_id="at_the_vendor", **MEDIA, labels={"client": "globex"})
    LipsyncImageOperator(task_id="no_sound", image=MEDIA["image"], audio=f"{SAMPLES}/nobody.wav")
    LipsyncImageOperator(task_id="too_dear", **MEDIA, max_credits=1)
    others()
