"""What the pages show: stored videos, one that only the vendor has, one left behind, one failed, one refused."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, task

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncVideoOperator

STORAGE = "{{ var.value.lipsync_storage }}"
SAMPLES = "{{ var.value.lipsync_samples }}"
AUDIO = f"{SAMPLES}/voice-right.wav"
IMAGE, VIDEO = f"{SAMPLES}/portrait.png", f"{SAMPLES}/clip.mp4"


@task
def others() -> None:
    """A task that has nothing to do with videos."""


with DAG("videos", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False):
    LipsyncImageOperator.partial(
        task_id="greet",
        image=IMAGE,
        audio=AUDIO,
        output_path=f"{STORAGE}/greet/{{{{ run_id }}}}/{{{{ ti.map_index }}}}.mp4",
        labels={"client": "acme"},
    ).expand(seed=[1, 2, 3])
    # The sandbox renders these two until somebody ends them.
    LipsyncVideoOperator(task_id="at_the_vendor", video=VIDEO, audio=AUDIO, labels={"client": "globex"})
    LipsyncVideoOperator(task_id="left_behind", video=VIDEO, audio=AUDIO, labels={"client": "acme"})
    LipsyncImageOperator(task_id="no_sound", image=IMAGE, audio=f"{SAMPLES}/nobody.wav")
    LipsyncImageOperator(task_id="too_dear", image=IMAGE, audio=AUDIO, max_credits=1)
    others()
