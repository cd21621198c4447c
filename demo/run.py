"""The whole way: start what is needed, run the weekly DAG in a real Airflow, fetch its video and look at it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX, Receipt
from demo.sandbox import Sandbox, start_sandbox
from demo.show import Show
from demo.storage import Storage, start_storage
from demo.video import inspect_video, speech_frames, write_png
from demo.webhook import RECEIVER_ON, Waking, how_it_was_woken, webhook_extras
from tests.runner import RealAirflow
from tests.runner.config import free_ports

__all__ = ["DAG_ID", "DemoFailed", "Result", "Stage", "make_video", "set_stage"]

DAG_ID = "weekly_video"
DAGS = Path(__file__).resolve().parents[1] / "example_dags"
RUN_TIMEOUT = 150.0  # seconds
STAGING = "staging"
DOES = {
    "speak": "turning the text into speech",
    "render": "a worker signs URLs of the portrait and the speech, and buys the job",
}


class DemoFailed(Exception):
    """The demo did not get its video; the message says why, in a line or two."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was made, as ``result.json`` says it.

    :param job_id: of the one job that was bought.
    :param published: where the video stands in object storage.
    :param sha256: of the video, in hex.
    :param local_copy: the same video, on this machine.
    :param seconds: length of the video.
    :param width: pixels.
    :param height: pixels.
    :param credits: charged for it, by the sandbox's ledger.
    :param woken_by: ``webhook`` or ``polling``.
    :param looks: at the job, all together.
    """

    job_id: str
    published: str
    sha256: str
    local_copy: str
    seconds: float
    width: int
    height: int
    credits: int
    woken_by: str
    looks: int


@dataclass(frozen=True)
class Stage:
    """Everything that runs."""

    sandbox: Sandbox
    storage: Storage
    airflow: RealAirflow
    webhook: bool


@contextmanager
def set_stage(folder: Path, show: Show, *, webhook: bool = False) -> Iterator[Stage]:
    """Start everything; it ends with the context.

    :param webhook: turn Airflow's webhook receiver on.
    """
    show.now("starting a sandbox of the Lipsync API and an S3 server")
    with start_sandbox(folder / "sandbox.log") as sandbox, start_storage() as storage:
        show.done(f"Lipsync API (sandbox)  {sandbox.url}")
        show.done(f"S3 server (moto)       {storage.url}")
        show.now("starting Airflow: scheduler, triggerer, DAG processor, API server")
        [port] = free_ports(1)
        env = _environment(folder, sandbox, storage, webhook_extras(port) if webhook else {})
        env |= RECEIVER_ON if webhook else {}
        with RealAirflow(home=folder / "airflow", dags=DAGS, env=env, login=True, port=port) as airflow:
            show.done(f"Airflow                {airflow.url}{', its webhook receiver on' if webhook else ''}")
            yield Stage(sandbox, storage, airflow, webhook)


def make_video(stage: Stage, folder: Path, show: Show) -> tuple[Result, Waking]:
    """Run the DAG once, and bring its video here.

    :return: the video, and what woke the task that waited for it.
    :raises DemoFailed: the run failed, charged more than one job, or stored something else than it says.
    :raises NotPlayable: the video does not play, or nothing is heard.
    """
    airflow = stage.airflow
    if errors := airflow.import_errors():
        raise DemoFailed(f"{errors[0]['filename']} cannot be imported: {errors[0]['stack_trace'].splitlines()[-1]}")
    airflow.unpause(DAG_ID)
    run_id = airflow.trigger(DAG_ID)
    watch = _Watch(stage, run_id, show)
    run = airflow.wait_until(watch.look, timeout=RUN_TIMEOUT, what=lambda: f"run {run_id} of {DAG_ID} goes on")
    if run["state"] != "success":
        raise DemoFailed(_why(airflow, run_id))
    waking = how_it_was_woken(airflow, stage.sandbox.ledger()[-1], DAG_ID, run_id, "render")
    result = _fetch(stage, airflow.xcom(DAG_ID, run_id, "render"), folder / "video.mp4", waking, show)
    write_png(speech_frames(folder / "video.mp4"), folder / "frame.png")
    (folder / "result.json").write_text(json.dumps(asdict(result), indent=2) + "\n")
    return result, waking


class _Watch:
    """Looks at the run again and again, and shows what has changed."""

    def __init__(self, stage: Stage, run_id: str, show: Show) -> None:
        self._stage, self._run_id, self._show = stage, run_id, show
        self._finished: set[str] = set()
        self._slots: int | None = None

    def look(self) -> dict[str, Any] | None:
        """Return the run when it is over."""
        airflow = self._stage.airflow
        instances = {one["task_id"]: one for one in airflow.task_instances(DAG_ID, self._run_id)}
        for task in DOES:
            self._look_at(task, instances[task])
        run: dict[str, Any] = airflow.dag_run(DAG_ID, self._run_id)
        return run if run["state"] in ("success", "failed") else None

    def _look_at(self, task: str, instance: dict[str, Any]) -> None:
        match instance["state"]:
            case "success" if task not in self._finished:
                self._finished.add(task)
                self._show.done(f"{task:<8}{self._job() if task == 'render' else 'the speech is in the bucket'}")
            case "deferred":
                self._show.now(f"{task:<8}{self._waiting()}")
            case "queued" | "running" if task == "render" and self._slots is not None:
                self._show.now(f"{task:<8}a worker stores the video")
            case "queued" | "running":
                self._show.now(f"{task:<8}{DOES[task]}")
            case "up_for_retry":  # in five minutes, for which a demo does not wait
                raise DemoFailed(_why(self._stage.airflow, self._run_id))

    def _waiting(self) -> str:
        job = self._stage.sandbox.ledger()[-1]
        if job["status"] != "processing":
            waits_for = "its webhook" if self._stage.webhook else "the next look at it"
            return f"job {job['job_id'][:8]} is rendered; waiting for {waits_for}"
        slots = self._slots_held()
        self._slots = max(self._slots or 0, slots)
        price = f"{job['credits_charged']} credits, " if job["credits_charged"] else ""
        return f"job {job['job_id'][:8]} renders, {price}the task is deferred, worker slots held: {slots}"

    def _job(self) -> str:
        job = self._stage.sandbox.ledger()[-1]
        return f"job {job['job_id']}, {job['credits_charged']} credits, worker slots held meanwhile: {self._slots}"

    def _slots_held(self) -> int:
        """How many worker slots all tasks of this Airflow hold together."""
        pool = self._stage.airflow.request("GET", "/pools/default_pool")
        return int(pool["running_slots"]) + int(pool["queued_slots"])


def _environment(folder: Path, sandbox: Sandbox, storage: Storage, extras: dict[str, str]) -> dict[str, str]:
    """Give Airflow what a content team would: pictures in a private bucket, and one on a disk of the workers.

    :param extras: of the connection to the sandbox.
    """
    duo = folder / "duo.png"
    duo.write_bytes(sandbox.sample("duo.png"))
    return {
        "AIRFLOW_CONN_LIPSYNC_DEFAULT": sandbox.connection(staging_path=f"{storage.root}/{STAGING}", **extras),
        "AIRFLOW_CONN_AWS_DEFAULT": storage.connection,
        "AIRFLOW_VAR_LIPSYNC_STORAGE": storage.root,
        "AIRFLOW_VAR_LIPSYNC_PORTRAIT": storage.put("portrait.png", sandbox.sample("portrait.png")),
        "AIRFLOW_VAR_LIPSYNC_CLIP": storage.put("clip.mp4", sandbox.sample("clip.mp4")),
        "AIRFLOW_VAR_LIPSYNC_DUO": str(duo),
    }


def _fetch(stage: Stage, stored: dict[str, Any], copy: Path, waking: Waking, show: Show) -> Result:
    """Download the video from where it was stored, and hold it against its receipt and the sandbox's ledger."""
    jobs = stage.sandbox.ledger()
    if [job["job_id"] for job in jobs] != [stored["job_id"]]:
        raise DemoFailed(f"one job was to be charged, but the ledger has {len(jobs)}")
    uri, sha256 = stored["output_uri"], stored["sha256"]
    key = urlsplit(uri).path.lstrip("/")
    content = stage.storage.read(key)
    receipt = Receipt.from_bytes(stage.storage.read(key + RECEIPT_SUFFIX))
    if {sha256, receipt.sha256} != {hashlib.sha256(content).hexdigest()} or receipt.job_id != stored["job_id"]:
        raise DemoFailed(f"what stands at {uri} is not what the task and the receipt tell")
    show.done(f"stored  {uri} ({len(content) / 1e6:.1f} MB, sha256 {sha256[:16]}…)")
    show.done(f"receipt …{Path(key).name}{RECEIPT_SUFFIX}: for the same inputs, nothing is bought again")
    copy.write_bytes(content)
    video = inspect_video(copy)
    return Result(
        job_id=stored["job_id"],
        published=uri,
        sha256=sha256,
        local_copy=str(copy),
        seconds=video.seconds,
        width=video.width,
        height=video.height,
        credits=jobs[0]["credits_charged"],
        woken_by=waking.by,
        looks=waking.looks,
    )


def _why(airflow: RealAirflow, run_id: str) -> str:
    """Say which task failed, and its error."""
    failed = [one for one in airflow.task_instances(DAG_ID, run_id) if one["state"] in ("failed", "up_for_retry")]
    if not failed:
        return "the run failed, though none of its tasks did"
    task, number = failed[0]["task_id"], failed[0]["try_number"]
    path = f"/dags/{DAG_ID}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task}/logs/{number}"
    log = airflow.request("GET", path, params={"full_content": True}, headers={"Accept": "application/json"})
    errors = [line["error_detail"][0] for line in log["content"] if line.get("error_detail")]
    told = f"{errors[0]['exc_type']}: {errors[0]['exc_value']}" if errors else "its log does not say why"
    return f"task {task} failed: {told[:500]}"
