"""`make bench`'s figures of the waiting: the smallest run of all, and what is computed from it."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from benchmarks.waiting.goals import Results, judge
from benchmarks.waiting.jobs import HIGH, LOW, end_of, milliseconds_of, plan_jobs
from benchmarks.waiting.kinds import KINDS, OURS, SLEEPING
from benchmarks.waiting.table import render

ROOT = Path(__file__).parents[2]
JOBS = 5


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("bench") / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "waiting", "--rounds", "1", "--jobs", str(JOBS)]
    command += ["--kinds", "sleeping", "aiohttp", "ours", "--compressed", "60", "--json", str(file)]
    command += ["--held", "0", "--large", "0", "--no-parsing"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "| 5 | ours |" in done.stdout
    return json.loads(file.read_text())["loads"][str(JOBS)]


@pytest.mark.airflow
@pytest.mark.full
def test_every_kind_is_measured_until_its_last_job_ended(figures: dict[str, Any]) -> None:
    assert list(figures) == ["sleeping", "aiohttp", "ours"]
    for found in figures.values():
        assert found["cpu_ms"] > 0
        assert found["wall"] > LOW / 60
        assert 0 <= found["block"] < found["wall"]


@pytest.mark.airflow
@pytest.mark.full
def test_who_polls_is_counted_by_the_vendor_and_who_sleeps_is_not_seen_there(figures: dict[str, Any]) -> None:
    assert figures["sleeping"]["polls"] == figures["sleeping"]["connections"] == 0
    for kind in ("aiohttp", "ours"):
        assert figures[kind]["polls"] >= 1
        assert figures[kind]["most_open"] >= 1
        assert 0 < figures[kind]["lag"] <= figures[kind]["lag95"]


def test_an_id_tells_the_vendor_when_its_job_ends() -> None:
    jobs = plan_jobs(100, begin=1_800_000_000.0, compressed=10.0, arrive_within=60.0)
    assert len({job.uuid for job in jobs}) == 100
    for job in jobs:
        assert end_of(job.id) == pytest.approx(job.ends_at, abs=0.001)
        assert milliseconds_of(uuid.UUID(job.uuid).int) == pytest.approx((job.ends_at - job.submitted_at) * 1000, abs=1)
        assert end_of(uuid.UUID(job.uuid).int) == end_of(job.id)
        assert LOW / 10 <= job.ends_at - job.submitted_at <= HIGH / 10
    assert jobs[0].submitted_at == 1_800_000_000.0
    assert jobs[-1].submitted_at == pytest.approx(1_800_000_000.0 + 60.0 * 0.99)


def made(cpu: float, *, lag: float = 0.5) -> dict[str, float]:
    names = ("cpu_ms_per_poll", "polls", "kb", "lag95", "most_open", "connections", "wall")
    return {"jobs": 200.0, "cpu_ms": cpu, "lag": lag, "block": 0.01} | dict.fromkeys(names, 1.0)


def told(ours: dict[str, float]) -> list[str]:
    kinds = {SLEEPING: made(2.0), "aiohttp": made(5.0), OURS: ours, "dbt": made(20.0), "databricks": made(12.0)}
    return [str(goal) for goal in judge(Results(loads={200: kinds}, held={}, large={}, parsing={}))]


def test_goals_are_judged_by_the_best_peer_of_the_same_run() -> None:
    good = told(made(4.0))
    assert [line.split()[0] for line in good] == ["met", "met", "met"]
    assert "half of databricks's: 4.00 ms, at most 6.00" in good[0]
    assert [line.split()[0] for line in told(made(7.0, lag=0.6))] == ["MISSED"] * 3


def test_what_was_not_measured_is_not_judged() -> None:
    assert judge(Results(loads={200: {SLEEPING: made(2.0)}}, held={}, large={}, parsing={})) == []


def test_the_table_has_a_row_for_each_kind_and_a_cell_for_each_column() -> None:
    loads = {200: {kind: made(3.0) for kind in (*KINDS, "aiohttp")}}
    held, large = {OURS: made(3.0)}, {1000: made(3.0)}
    lines = render(Results(loads=loads, held=held, large=large, parsing={OURS: {"cpu_ms": 9.0, "modules": 21}}))
    rows = lines.splitlines()
    assert len(rows) == 2 + len(KINDS) + 1 + 2
    assert {row.count("|") for row in rows} == {14}
