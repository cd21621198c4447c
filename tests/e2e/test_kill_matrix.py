"""Real processes are killed at every point of a job's life; what was charged stands in the sandbox's ledger.

The scenarios (`kill/scenarios.py`) are played all at once, before the first test; each has a test that says how it
ended. On PostgreSQL in every run, on SQLite in the full one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.kill.matrix import Played, play_all
from tests.e2e.kill.run import Run
from tests.e2e.kill.scenarios import SCENARIOS
from tests.e2e.kill.stage import KEY, open_stage
from tests.runner.plugin import POSTGRESQL
from tests.runner.secrets import find_secret
from tests.support.hooks import moment

pytestmark = pytest.mark.airflow

MISMATCHES = "SELECT extra FROM log WHERE event = 'state mismatch' AND run_id = :run_id"


@pytest.fixture(scope="module", params=[POSTGRESQL, pytest.param("sqlite", marks=pytest.mark.full)])
def played(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    show: Callable[[str, str], None],
) -> Iterator[Played]:
    with open_stage(request.param, tmp_path_factory.mktemp("kill")) as stage:
        played = play_all(stage, SCENARIOS)
        show(f"what the kills cost on {request.param} ({played.seconds:.0f} s)", played.table())
        (stage.folders.root / "costs.txt").write_text(played.table())
        yield played


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_costs_what_it_may_and_the_video_is_handed_on(
    played: Played, name: str, record_property: Callable[[str, object], None]
) -> None:
    outcome = played.outcomes[name]
    for cost in outcome.run.costs:
        record_property(cost.scenario, f"charged {cost.charged}, {cost.state}")
    if outcome.error:
        raise outcome.error
    assert (outcome.cost.charged, outcome.cost.state) == (SCENARIOS[name].charged, "success")
    handed_on, bought = outcome.run.handed_on(), outcome.run.bought()
    assert bought[-1] in handed_on <= set(bought)
    assert all(len(run.bought()) <= SCENARIOS[name].charged for run in outcome.spoilt)


def test_nothing_else_was_bought_or_tried(played: Played) -> None:
    vendors = (played.stage.vendor, played.stage.late_vendor)
    charged = sum(len(vendor.ledger()) for vendor in vendors)
    assert charged == sum(len(run.bought()) for run in played.runs())
    assert [refused for vendor in vendors for refused in vendor.refused()] == []


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "race" in name])
def test_the_scheduler_did_fail_a_healthy_task(played: Played, name: str) -> None:
    [mismatch] = played.stage.airflow.query(MISMATCHES, run_id=played.outcomes[name].run.run_id)
    assert "finished with state success, but the task instance's state attribute is running" in mismatch.extra


def test_the_records_are_small_and_kept_for_a_month_and_hold_no_signature(played: Played) -> None:
    rows = played.stage.airflow.query("SELECT run_id, value, expires_at FROM task_state_store")
    assert {row.run_id for row in rows} - spoilt(played) == {run.run_id for run in to_the_end(played, in_folder=False)}
    for row in rows:
        assert_it_is_small_and_harmless(row.value)
        assert moment(row.expires_at) > datetime.now(UTC) + timedelta(days=30)


def test_the_records_of_a_ledger_path_are_in_its_folder(played: Played) -> None:
    records = {path.name.split("~")[0]: path.read_text() for path in played.stage.folders.ledger.rglob("*.json")}
    kept = {run.run_id for run in to_the_end(played, in_folder=True)}
    assert records.keys() - spoilt(played) == kept
    for record in records.values():
        assert_it_is_small_and_harmless(record)
    assert {json.loads(records[run_id])["state"] for run_id in kept} == {"delivered"}


def test_the_key_is_nowhere(played: Played) -> None:
    folders = played.stage.folders
    assert find_secret(played.stage.airflow, KEY, [folders.ledger, folders.published, folders.markers]) == []


def to_the_end(played: Played, *, in_folder: bool) -> list[Run]:
    runs = [outcome.run for outcome in played.outcomes.values()]
    return [run for run in runs if run.is_kept_in_folder is in_folder]


def spoilt(played: Played) -> set[str]:
    return {run.run_id for outcome in played.outcomes.values() for run in outcome.spoilt}


def assert_it_is_small_and_harmless(record: str) -> None:
    assert len(record.encode()) < 4096
    assert "?" not in record
    assert "X-Amz" not in record
