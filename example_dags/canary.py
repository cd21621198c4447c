"""A canary: is the connection right, does the whole way work on the sandbox, and, only if you say so, for real."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, chain, dag, task
from airflow.timetables.trigger import CronTriggerTimetable  # from Airflow 3.2 on also in airflow.sdk

from airflow_provider_lipsync.operators.lipsync import LipsyncImageOperator

# Airflow Variables: `lipsync_storage`, for example s3://aws_default@my-bucket, and `lipsync_portrait`, a picture in it.
# A second connection, `lipsync_sandbox`, leads to a sandbox that your workers reach (docs/sandbox.md); without it that
# part is skipped.
FOLDER = "{{ var.value.lipsync_storage }}/canary"
# Unpausing the DAG runs nothing at once: the first run is that of the next morning.
MORNINGS = CronTriggerTimetable("0 6 * * *", timezone="UTC", run_immediately=timedelta())  # pyright: ignore[reportAbstractUsage]


@dag(
    schedule=MORNINGS,
    max_active_runs=1,
    params={
        "spend_credits": Param(False, type="boolean", description="Also buy a real job of 5 seconds: some 10 credits.")
    },
)
def canary() -> None:
    @task
    def connection() -> str:
        from airflow_provider_lipsync.hooks.lipsync import LipsyncHook

        works, message = LipsyncHook().test_connection()  # free
        if not works:
            raise RuntimeError(message)
        return message

    @task
    def five_seconds(path: str) -> str:
        import io
        import wave

        from airflow.sdk import ObjectStoragePath

        whole = io.BytesIO()
        with wave.open(whole, "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(b"\x00\x20\x00\xe0" * (5 * 8000 // 2))  # a tone
        ObjectStoragePath(path).write_bytes(whole.getvalue())
        return path

    @task.short_circuit
    def there_is_a_sandbox() -> bool:
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            BaseHook.get_connection("lipsync_sandbox")
        except AirflowNotFoundException:
            return False
        return True

    @task.short_circuit
    def may_spend(**context: Any) -> bool:
        return bool(context["params"]["spend_credits"])

    sound = five_seconds(f"{FOLDER}/five-seconds.wav")
    picture = "{{ var.value.lipsync_portrait }}"
    on_the_sandbox = LipsyncImageOperator(
        task_id="on_the_sandbox",
        image=picture,
        audio=sound,
        lipsync_conn_id="lipsync_sandbox",
        output_path=f"{FOLDER}/{{{{ run_id }}}}/sandbox.mp4",
    )
    for_real = LipsyncImageOperator(
        task_id="for_real",
        image=picture,
        audio=sound,
        output_path=f"{FOLDER}/{{{{ run_id }}}}/real.mp4",
        labels={"purpose": "canary"},
        max_credits=10,
    )
    chain(there_is_a_sandbox(), on_the_sandbox)
    chain(connection(), may_spend(), for_real)


canary()
