"""Webhooks in a real Airflow: what a delivery does to the task whose job it tells of, and what nothing does to it.

The scenarios (`hooks/scenarios.py`) are played all at once, before the first test; each has a test that says how it
ended. On PostgreSQL in every run, on SQLite in the full one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.e2e.hooks.scenarios import SCENARIOS, lags
from tests.e2e.hooks.stage import KEY, HookStage
from tests.e2e.kill.matrix import Played, play_all
from tests.runner.plugin import POSTGRESQL
from tests.runner.secrets import find_secret
from tests.support.hooks import Told, ends

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.parametrize("hooked", [POSTGRESQL, pytest.param("sqlite", marks=pytest.mark.full)], indirect=True),
]


@pytest.fixture(scope="session")
def played(hooked: HookStage, show: Callable[[str, str], None]) -> Played:
    played = play_all(hooked, SCENARIOS)
    title = f"webhooks on {hooked.airflow.database_url.split(':')[0]} ({played.seconds:.0f} s)"
    show(title, f"{played.table()}\n\n{told_lags(played)}")
    return played


def told_lags(played: Played) -> str:
    """Tell how long it took from the first delivery of each job until its task was scheduled."""
    found = [
        f"{name}: {', '.join(f'{seconds:.2f}' for seconds in sorted(lags(outcome.run)))} s"
        for name, outcome in played.outcomes.items()
        if not outcome.error and name.startswith("told when")
    ]
    return "\n".join(["from a delivery to a task that is scheduled", *found])


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_task_ends_once_and_its_job_is_paid_once(played: Played, name: str) -> None:
    outcome = played.outcomes[name]
    if outcome.error:
        raise outcome.error
    run = outcome.run
    jobs = len(run.standings())
    assert (outcome.cost.charged, outcome.cost.state) == (jobs, "success")
    assert run.handed_on() == set(run.bought())
    successes = Counter(key for key in ends(played.stage.airflow) if key.run_id == run.run_id)
    assert sorted(successes.values()) == [1] * jobs


def test_nothing_else_was_bought_or_tried(played: Played) -> None:
    vendors = {hook.vendor.url: hook.vendor for hook in played.stage.hooks.values()}
    of_scenarios = {job for run in played.runs() for job in run.bought()}
    assert len(of_scenarios) == sum(len(run.bought()) for run in played.runs())
    assert [refused for vendor in vendors.values() for refused in vendor.refused()] == []


def test_secrets_are_nowhere_and_tokens_only_where_requests_are_logged(played: Played) -> None:
    """That log is why a token is good for one delivery."""
    airflow = played.stage.airflow
    for secret in (KEY, *(hook.secret for hook in played.stage.hooks.values())):
        assert find_secret(airflow, secret) == []
    found = {place.place for told in sample(played) for place in find_secret(airflow, told.token)}
    assert found <= {"file:logs-out/api-server.log"}


def sample(played: Played) -> list[Told]:
    """One of each connection: the search takes a while."""
    return list({told.callback.conn_id: told for told in Told.all_of(played.stage.hooks.values())}.values())
