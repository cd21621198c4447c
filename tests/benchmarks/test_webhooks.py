"""`make bench`'s figures of the webhooks: the smallest run of all, and what is computed from it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.webhooks.loads import Seen
from benchmarks.webhooks.table import judge, percentile, render

ROOT = Path(__file__).parents[2]


@pytest.mark.airflow
@pytest.mark.full
def test_every_load_is_measured_until_its_last_task_ended(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "webhooks", "--databases", "sqlite", "--rates", "20"]
    command += ["--paced", "3", "--early", "2", "--at-once", "4", "--hooks-json", str(file)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| sqlite |") == 3
    for seen, jobs in zip(json.loads(file.read_text())["sqlite"], (3, 2, 4), strict=True):
        assert (seen["jobs"], seen["told"], seen["states"]) == (jobs, jobs, {"success": jobs})
        assert len(seen["lags"]) == jobs
        assert 0 < max(seen["lags"]) < seen["over"]
        assert seen["receiver_looks"] == jobs


def made(name: str, lags: Sequence[float], *, looks: int = 0, failed: int = 0) -> Seen:
    jobs = len(lags)
    return Seen(
        name=name,
        jobs=jobs,
        lags=lags,
        told=jobs,
        triggerer_looks=looks,
        receiver_looks=jobs,
        over=12.3,
        states={"success": jobs - failed, "failed": failed},
    )


def test_goals_are_judged_by_what_each_load_is_for() -> None:
    paced, early = made("20 a second", [0.1] * 99 + [1.5]), made("early", [6.0, 9.5])
    told = [str(goal) for goal in judge({"sqlite": [paced, early, made("all at once", [30.0, 60.0])]})]
    assert told[0].startswith("met    delivery to scheduled, 20 a second, sqlite, p99: 0.10 s")
    assert told[4].startswith("MISSED delivery to scheduled, early, sqlite, all: 9.50 s")
    assert not any("delivery to scheduled, all at once" in line for line in told)


def test_a_task_that_fails_and_a_look_too_many_are_missed_goals() -> None:
    missed = [
        goal for goal in judge({"sqlite": [made("early", [1.0, 2.0], looks=3, failed=1)]}) if "MISSED" in str(goal)
    ]
    assert [goal.text for goal in missed] == [
        "looks per job in the triggerer, early, sqlite",
        "tasks lost or failed, early, sqlite",
    ]


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [float(number) for number in range(1, 201)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [100.0, 198.0, 200.0]
    assert percentile([7.0], 0.99) == 7.0


def test_the_table_has_a_row_for_each_load_and_a_cell_for_each_column() -> None:
    loads = [made("5 a second", [0.1, 0.2]), made("early", [3.0])]
    rows = render({"sqlite": loads, "postgresql": loads}).splitlines()
    assert len(rows) == 2 + 4
    assert {row.count("|") for row in rows} == {12}
