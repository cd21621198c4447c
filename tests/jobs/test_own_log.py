"""In whose log a line lands, by Airflow's own runner of triggers: a watcher is shared, and a task's log is not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.waiting.jobs import Job
from benchmarks.waiting.kinds import OURS, Load
from tests.jobs.vendor import LiveVendor
from tests.support.vendor import connection

ROOT = Path(__file__).parents[2]
WORDS = {2: "queued", 3: "paused"}  # odd statuses, by the number of the trigger; of the first there is nothing to tell
LOOKS = 5


async def _wait_for_all(file: Path) -> None:
    """Let three triggers wait in a runner."""
    from benchmarks.waiting.runner import Runner, Workloads, log_as_a_triggerer

    now = time.time()
    jobs = {number: Job(number, now, now + 3600) for number in (1, 2, 3)}
    async with LiveVendor() as vendor:
        os.environ["AIRFLOW_CONN_BENCH"] = connection(vendor.url)
        log_as_a_triggerer(file)
        runner = Runner()
        runner.supervisor.expect(Workloads(OURS, list(jobs.values()), Load(poll=0.1, compressed=100.0)))
        running = await runner.started()
        vendor.words = {jobs[number].uuid: word for number, word in WORDS.items()}
        await _until(lambda: min(vendor.looks[job.uuid] for job in jobs.values()) >= LOOKS)
        vendor.ended = {job.uuid for job in jobs.values()}
        await asyncio.wait_for(runner.supervisor.done.wait(), 60)
        await runner.finish(running)


async def _until(reached: Any) -> None:
    async with asyncio.timeout(60):
        while not reached():  # noqa: ASYNC110 - it is looked at from outside of what is tested
            await asyncio.sleep(0.01)


@pytest.mark.airflow
def test_what_is_told_of_a_job_lands_in_the_log_of_its_own_trigger(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    command = [sys.executable, "-m", "tests.jobs.test_own_log", str(file)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr + file.read_text()
    told: dict[int | None, list[str]] = {}
    for line in map(json.loads, file.read_text().splitlines()):
        if line["filename"] != "triggerer_job_runner.py":  # Airflow's own
            told.setdefault(line.get("trigger_id"), []).append(line["event"])
    assert sorted(number for number in told if number) == list(WORDS)  # no look is told of, and no job in another's log
    for number, word in WORDS.items():
        [line] = told[number]
        assert line.endswith(f"has a status that the API does not document: '{word}'. Looking on.")
    assert not [line for line in told.get(None, []) if line.startswith("Job ")]


if __name__ == "__main__":
    asyncio.run(_wait_for_all(Path(sys.argv[1])))
