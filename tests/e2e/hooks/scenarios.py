"""What may happen to a delivery, each told from the moment when its run was started. What is not said is a failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY
from tests.e2e.hooks.stage import UNSEEN
from tests.e2e.kill.run import Run
from tests.e2e.kill.scenarios import Play, Scenario
from tests.support.hooks import Told, deferred_since, scheduled_at

RESUMABLE = 7.0  # seconds that a deferral must be old before a webhook resumes it
AT_ONCE = 1.0  # seconds from a delivery to the task that is scheduled
SOON = 9.0  # likewise, of a delivery that came before a deferral was old enough
ON_A_BUSY_MACHINE = 5.0  # seconds by which one of them may miss it: the figures are measured by `make bench`

ENDED_FROM_OUTSIDE = "The task was ended or cleared from outside"
ID_IS_AWAITED = "Waiting until"
KILLED = "Trigger cancelled by user action, invoking on_kill"  # Airflow's, of every trigger that a webhook overtook
OVER = "trigger completed"

SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, *, dag_id: str = "hook_cleared", **conf: Any) -> Callable[[Play], Play]:
    """Register a scenario; `conf` is that of its run, see `dags_kill/mortal.py`."""

    def register(play: Play) -> Play:
        SCENARIOS[name] = Scenario(name, play, dag_id, 1, conf)
        return play

    return register


# The job is told of


@scenario("told when the deferral is old enough", dag_id="hook_mapped")
def told_late(run: Run) -> None:
    """All at once, mapped: each goes on with its own job, though nobody looks at any."""
    wait_until_all_are_resumable(run, 6)
    run.finish_all_jobs()
    for index in range(6):
        run.wait("success", map_index=index)
    found = told(run)
    assert len(found) == 6
    for one in found:
        assert run.result(map_index=one.key.map_index)["job_id"] == one.job_id
        assert one.polls == 2, one  # the worker's own before it defers, and the receiver's
    seconds = lags(run)
    assert min(seconds) <= AT_ONCE, seconds
    assert max(seconds) <= ON_A_BUSY_MACHINE, seconds


@scenario("told when the task has just been deferred")
def told_early(run: Run) -> None:
    run.wait("deferred")
    [since] = deferrals(run).values()
    run.finish_job()
    run.wait("success")
    [seconds] = lags(run)
    assert seconds <= SOON + ON_A_BUSY_MACHINE
    [scheduled] = [at for key, at in scheduled_at(run.stage.airflow).items() if key.run_id == run.run_id]
    assert (scheduled - since).total_seconds() >= RESUMABLE
    assert told(run)[0].polls <= 3


@scenario("told before the task is deferred", hold=["id_stored"])
def told_before(run: Run) -> None:
    run.wait_until_held("id_stored")
    run.finish_job()
    wait_until_delivered(run)
    run.let_go("id_stored")
    run.wait("success")
    [one] = told(run)
    assert one.polls <= 3
    waited = (scheduled_at(run.stage.airflow)[one.key] - one.delivered[0][0]).total_seconds()
    assert waited >= RESUMABLE


@scenario("told twice", connection="lipsync_doubled")
def told_twice(run: Run) -> None:
    run.wait("deferred")
    wait_until_resumable(run)
    run.finish_job()
    run.wait("success")
    wait_until_delivered(run, times=2)
    [one] = told(run)
    assert [status for _, status in one.delivered] == [200, 200]
    assert one.polls == 2


@scenario("told before the vendor itself knows", connection="lipsync_early")
def told_too_early(run: Run) -> None:
    run.wait("deferred")
    wait_until_resumable(run)
    run.finish_job()  # returns when the vendor knows
    run.wait("success")
    [seconds] = lags(run)
    assert UNSEEN <= seconds <= SOON + ON_A_BUSY_MACHINE


@scenario("not told at all", connection="lipsync_lost")
def not_told(run: Run) -> None:
    run.wait("deferred")
    run.finish_job()
    run.wait("success")
    [one] = told(run)
    assert one.delivered == ()
    assert any("No webhook has told of job" in line for line in wait_for_end_of_trigger(run))


@scenario("what waited for it stays silent")
def the_old_trigger_is_silent(run: Run) -> None:
    """Airflow tells a trigger that was overtaken that a person had ended its task."""
    run.wait("deferred")
    wait_until_it_is_looked_at(run)
    run.finish_job()
    run.wait("success")
    lines = wait_for_end_of_trigger(run)
    assert any(KILLED in line for line in lines)
    assert [line for line in lines if is_warning(line) or ENDED_FROM_OUTSIDE in line] == []


# The id is lost


@scenario("the answer to the submit is dropped", connection="lipsync_dropped")
@scenario("the answer to the submit comes too late", connection="lipsync_impatient")
def lost_answer(run: Run) -> None:
    run.wait("deferred")
    wait_until_resumable(run)
    assert ID_IS_AWAITED in run.log(1)
    run.finish_job()
    run.wait("success")
    assert run.handed_on() == set(run.bought())
    [seconds] = lags(run)
    assert seconds <= AT_ONCE + ON_A_BUSY_MACHINE


@scenario("told while the answer to the submit is awaited", connection="lipsync_impatient")
def told_before_the_answer(run: Run) -> None:
    run.wait_for_submit()
    run.finish_job()
    wait_until_delivered(run)
    run.wait("success")


@scenario("killed before the answer", dag_id="hook_retried", connection="lipsync_late")
def killed_before_the_answer(run: Run) -> None:
    """The next try waits for the webhook."""
    run.wait_for_submit()
    run.kill_task()
    run.wait("deferred", tries=2)
    wait_until_resumable(run)
    run.finish_job()
    run.wait("success", tries=2)
    assert run.handed_on() == set(run.bought())


@scenario(
    "killed between submit and answer, told between tries", dag_id="hook_retried_later", connection="lipsync_late"
)
def told_between_tries(run: Run) -> None:
    """The next try finds the id."""
    run.wait_for_submit()
    run.kill_task()
    run.wait("up_for_retry")
    run.finish_job()
    wait_until_delivered(run)
    run.wait("success", tries=2)
    assert f"Re-attaching to job {run.bought()[0]}" in run.log(2)


@scenario("killed before the answer, told when the task has failed", connection="lipsync_late")
def told_after_the_failure(run: Run) -> None:
    """A clear finds the id."""
    run.wait_for_submit()
    run.kill_task()
    run.wait("failed")
    run.finish_job()
    wait_until_delivered(run)
    run.clear()
    run.wait("success", tries=2)
    assert f"Re-attaching to job {run.bought()[0]}" in run.log(2)


# A person


@scenario("cleared while deferred")
def cleared(run: Run) -> None:
    """The webhook was asked for by the first try, and resumes the second."""
    run.wait("deferred")
    run.clear()
    run.wait("deferred", tries=2)
    wait_until_resumable(run)
    run.finish_job()
    run.wait("success", tries=2)
    assert max(lags(run)) <= AT_ONCE + ON_A_BUSY_MACHINE


@scenario("marked failed while deferred, then told")
def marked_failed(run: Run) -> None:
    """It stays failed; a clear finds the job done."""
    run.wait("deferred")
    airflow = run.stage.airflow
    run.stage.change(lambda: airflow.set_state(run.dag_id, run.run_id, "failed", task_id="render"))
    run.wait("failed")
    run.finish_job()
    wait_until_delivered(run)
    assert run.wait("failed").try_number == 1
    run.clear()
    run.wait("success", tries=2)


# What is waited for


def told(run: Run) -> list[Told]:
    return run.stage.told(run.run_id, run.vendor)


def deferrals(run: Run) -> dict[Any, datetime]:
    return {key: at for key, at in deferred_since(run.stage.airflow).items() if key.run_id == run.run_id}


def wait_until_resumable(run: Run) -> None:
    """Wait until all deferrals of a run are as old as a delivery wants them."""
    youngest = max(deferrals(run).values())
    time.sleep(max(0.0, RESUMABLE + 0.2 - (datetime.now(UTC) - youngest).total_seconds()))


def wait_until_all_are_resumable(run: Run, jobs: int) -> None:
    """Wait until as many tasks are deferred, and have been for as long."""
    for index in range(jobs):
        run.wait("deferred", map_index=index)
    wait_until_resumable(run)


def wait_until_delivered(run: Run, *, times: int = 1) -> None:
    """Wait until the receiver has said yes so often."""
    deadline = time.monotonic() + 60
    while [status for one in told(run) for _, status in one.delivered] != [200] * times:
        assert time.monotonic() < deadline, told(run)
        time.sleep(0.1)


def lags(run: Run) -> list[float]:
    """Return the seconds from each first delivery until the task was scheduled."""
    scheduled = scheduled_at(run.stage.airflow)
    return [(scheduled[one.key] - one.delivered[0][0]).total_seconds() for one in told(run)]


def wait_until_it_is_looked_at(run: Run) -> None:
    """Wait until the trigger has read twice that nobody has told: from then on only a look moves it."""
    deadline = time.monotonic() + 120
    while sum(DELIVERY_KEY in line and repr(run.run_id) in line for line in beside(run)) < 2:
        assert time.monotonic() < deadline, beside(run)
        time.sleep(0.2)


def beside(run: Run) -> list[str]:
    """Return what the triggerer says of a run in a log of its own."""
    file = run.stage.airflow.home / "logs-out" / "triggerer.log"
    return [line for line in file.read_text().splitlines() if run.run_id in line]


def wait_for_end_of_trigger(run: Run) -> list[str]:
    """Return all that a trigger said, once it is over: in the task's log, and beside it when that was closed."""
    deadline = time.monotonic() + 120
    while True:
        lines = [*run.log(1).splitlines(), *(line for line in beside(run) if f"/{run.run_id}/" in line)]
        if any(OVER in line for line in lines):
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.2)


def is_warning(line: str) -> bool:
    return line.startswith(("warning", "error", "critical")) or "[warning" in line
