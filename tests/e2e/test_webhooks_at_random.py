"""Three hundred jobs, a tenth of whose webhooks are lost, a tenth sent twice, a tenth too early: all end right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.e2e.hooks.stage import HookStage
from tests.e2e.kill.run import Run
from tests.support.hooks import ends

JOBS = 300
PATIENCE = 1800.0  # seconds

pytestmark = [pytest.mark.airflow, pytest.mark.full]


def test_all_end_right_and_none_is_bought_twice(hooked: HookStage, show: Callable[[str, str], None]) -> None:
    run = Run(hooked, "at random", "hook_hundreds", {"connection": "lipsync_random"})
    run.start()
    airflow = hooked.airflow
    airflow.wait_for_run(run.dag_id, run.run_id, timeout=PATIENCE)
    assert Counter(standing.state for standing in run.standings()) == {"success": JOBS}
    assert len(run.bought()) == len(set(run.bought())) == JOBS
    assert run.handed_on() == set(run.bought())
    assert Counter(key for key in ends(airflow) if key.run_id == run.run_id).most_common(1)[0][1] == 1

    told = hooked.told(run.run_id, run.vendor)
    for one in told:
        assert run.result(map_index=one.key.map_index)["job_id"] == one.job_id
    faults = Counter(name for job in run.vendor.ledger() for name in job["faults"])
    assert {"webhook_lost", "webhook_doubled", "webhook_early"} <= faults.keys()
    show(f"webhooks at random on {airflow.database_url.split(':')[0]}", f"{dict(faults)}, {looks(told)}")


def looks(told: list) -> str:
    number = sum(one.polls for one in told) / len(told)
    return f"{number:.2f} looks per job, one of which is the worker's own"
