"""The scenarios, each told from the moment when its run was started. What is not said is a failure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.kill.outage import BOTH_BACK, SCHEDULER_KILLED, TRIGGERER_KILLED
from tests.e2e.kill.run import Run
from tests.e2e.kill.stage import KEY
from tests.runner.secrets import find_secret

Play = Callable[[Run], None]

SIGKILLED = "Process terminated by signal"
WHAT_TO_DO = (
    "LipsyncSubmitUncertain",
    "charged: unknown",
    "A submit to lipsync-image left at 20",
    'set resume_job_id="<its id>" and clear',
    'set on_ambiguous_submit="resubmit" and clear',
)
ENDED_BY_AIRFLOW = "Server indicated the task shouldn't be running anymore"


@dataclass(frozen=True)
class Scenario:
    """What happens to one run, and how many jobs may be charged for it."""

    name: str
    play: Play
    dag_id: str
    charged: int
    conf: dict[str, Any]


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, *, dag_id: str = "kill_retried", charged: int = 1, **conf: Any) -> Callable[[Play], Play]:
    """Register a scenario; `conf` is that of its run, see `dags_kill/mortal.py`."""

    def register(play: Play) -> Play:
        SCENARIOS[name] = Scenario(name, play, dag_id, charged, conf)
        return play

    return register


def in_both_ways(name: str, *, dag: str = "kill", **conf: Any) -> Callable[[Play], Play]:
    """Register it with `retries=2`, and with `retries=0` and a clear."""

    def register(play: Play) -> Play:
        scenario(f"{name}, retried", dag_id=f"{dag}_retried", **conf)(play)
        return scenario(f"{name}, cleared", dag_id=f"{dag}_cleared", **conf)(play)

    return register


# A task process is killed


@in_both_ways("(a) POST arrived, no answer", connection="lipsync_late")
def killed_before_the_answer(run: Run) -> None:
    run.wait_for_submit()
    run.kill_task()
    run.comes_again()
    a_person_is_asked(run)


@in_both_ways("(b) answered, id not stored", die="id_came")
def killed_before_the_id_is_stored(run: Run) -> None:
    run.comes_again()
    a_person_is_asked(run)
    run.wait_for_log(1, f"Job {run.bought()[0]} (lipsync-image) was bought and is charged")


def a_person_is_asked(run: Run) -> None:
    """The second try buys nothing and fails for good; with the id from the vendor, the third waits for the job."""
    run.wait("failed", tries=2)
    run.wait_for_log(1, SIGKILLED)
    run.wait_for_log(2, *WHAT_TO_DO)
    [job_id] = run.bought()
    run.note_cost(f"{run.name}: before the person")
    run.resume(job_id)
    run.wait("deferred", tries=3)
    run.finish_job()
    run.wait("success", tries=3)


@in_both_ways("(c) id stored, not deferred", die="id_stored")
def killed_before_the_deferral(run: Run) -> None:
    run.comes_again()
    run.wait("deferred", tries=2)
    run.wait_for_log(1, SIGKILLED)
    run.wait_for_log(2, f"Re-attaching to job {run.bought()[0]}")
    run.finish_job()
    run.wait("success", tries=2)


@in_both_ways("(c) id stored, the whole worker lost", hold=["id_stored"])
def lost_before_the_deferral(run: Run) -> None:
    run.wait_until_held("id_stored")
    run.kill_worker()
    run.comes_again()
    run.wait("deferred", tries=2)
    run.finish_job()
    run.wait("success", tries=2)


@in_both_ways("(c) id stored, waiting in place", dag="kill_in_place", die="waiting")
def killed_while_it_waits_in_place(run: Run) -> None:
    run.comes_again()
    run.wait("running", tries=2)
    run.wait_for_log(1, SIGKILLED)
    run.wait_for_log(2, f"Re-attaching to job {run.bought()[0]}")
    run.finish_job()
    run.wait("success", tries=2)


@in_both_ways("(e) execute_complete begins", die="resumed")
@in_both_ways("(e) execute_complete returned", die="done")
def killed_with_the_result_in_hand(run: Run) -> None:
    run.wait("deferred")
    run.finish_job()
    run.comes_again()
    run.wait("success", tries=2)
    run.wait_for_log(1, SIGKILLED)


@in_both_ways("(f) during the transfer", dag="kill_publish", die="downloading")
def killed_during_the_transfer(run: Run) -> None:
    run.wait("deferred")
    run.finish_job()
    published = run.stage.folders.published / f"{run.run_id}.mp4"
    if not run.is_retried:
        run.wait("failed", task_id="publish")
        assert not published.exists()
    run.comes_again("publish")
    run.wait("success", tries=2, task_id="publish")
    run.wait_for_log(1, SIGKILLED, task_id="publish")
    assert published.read_bytes() == run.video()
    assert run.result("publish")["sha256"] == hashlib.sha256(run.video()).hexdigest()


@in_both_ways("(g) keeping, during the download", dag="kill_keep", die="downloading")
@in_both_ways("(g) keeping, before the receipt", dag="kill_keep", die="stored")
@in_both_ways("(g) keeping, after the receipt", dag="kill_keep", die="described")
def killed_while_the_video_is_kept(run: Run) -> None:
    run.wait("deferred")
    run.finish_job()
    run.comes_again()
    run.wait("success", tries=2)
    run.wait_for_log(1, SIGKILLED)
    the_video_is_kept(run)


@scenario(
    "(g) killed during the download, retried, then cleared", dag_id="kill_keep_retried", charged=2, die="downloading"
)
def killed_retried_and_cleared(run: Run) -> None:
    killed_while_the_video_is_kept(run)
    run.note_cost(f"{run.name}: before the clear")
    run.clear()
    run.wait("deferred", tries=3)
    run.finish_job()
    run.wait("success", tries=3)
    the_video_is_kept(run)


def the_video_is_kept(run: Run) -> None:
    """The last job's video stands whole, and its receipt tells of it; nothing else is left."""
    folder, content = run.stage.folders.published, run.video()
    receipt = json.loads((folder / f"{run.run_id}.mp4.lipsync.json").read_text())
    assert (folder / f"{run.run_id}.mp4").read_bytes() == content
    assert run.result()["sha256"] == receipt["sha256"] == hashlib.sha256(content).hexdigest()
    assert receipt["job_id"] == run.bought()[-1]


# The same, with the records in a folder


@in_both_ways("(b) with ledger_path", die="id_came", connection="lipsync_kept")
def killed_before_the_id_is_stored_in_a_folder(run: Run) -> None:
    killed_before_the_id_is_stored(run)


@in_both_ways("(c) with ledger_path", die="id_stored", connection="lipsync_kept")
def killed_before_the_deferral_with_a_folder(run: Run) -> None:
    killed_before_the_deferral(run)


# A person clears


@scenario("cleared while deferred")
def cleared_while_deferred(run: Run) -> None:
    run.wait("deferred")
    run.clear()
    run.wait("deferred", tries=2)
    run.wait_for_log(2, f"Re-attaching to job {run.bought()[0]}")
    run.finish_job()
    run.wait("success", tries=2)


@scenario("cleared while running, before the deferral", hold=["id_stored"])
def cleared_while_running(run: Run) -> None:
    run.wait_until_held("id_stored")
    run.clear()
    run.wait("deferred", tries=2)
    run.wait_for_log(1, ENDED_BY_AIRFLOW)
    assert run.log(1).count(f"Job {run.bought()[0]} has no cancel: it runs on at the vendor and stays charged.") == 1
    run.finish_job()
    run.wait("success", tries=2)


@scenario("cleared while running, in execute_complete", hold=["resumed"])
def cleared_in_execute_complete(run: Run) -> None:
    run.wait("deferred")
    run.finish_job()
    run.wait_until_held("resumed")
    run.clear()
    run.wait("success", tries=2)
    run.wait_for_log(1, ENDED_BY_AIRFLOW)


@scenario("cleared after success", charged=2)
def cleared_after_success(run: Run) -> None:
    run.wait("deferred")
    run.finish_job()
    run.wait("success")
    run.note_cost(f"{run.name}: before the clear")
    run.clear()
    run.wait("deferred", tries=2)
    run.finish_job()
    run.wait("success", tries=2)


@scenario("killed when the success is recorded, then cleared", dag_id="kill_cleared", die="recorded")
def killed_before_the_ledger_hears_of_the_success(run: Run) -> None:
    run.wait("deferred")
    run.finish_job()
    run.wait("success")
    run.clear()
    run.wait("success", tries=2)
    run.wait_for_log(1, SIGKILLED)


@scenario("retries lowered after success, then cleared", dag_id="kill_lowered")
def cleared_after_the_retries_were_lowered(run: Run) -> None:
    """From 1 to 0: `max_tries` comes out as before, and the clear is taken for a retry, which buys less."""
    run.wait("deferred")
    run.finish_job()
    before = run.wait("success")
    run.stage.lower_retries()
    run.clear(run_on_latest_version=True)
    assert run.wait("success", tries=2).max_tries == before.max_tries == 1
    run.wait_for_log(2, f"Re-attaching to job {run.bought()[0]}")


@scenario("one of ten killed; later, another cleared", dag_id="kill_ten", charged=11, die="id_stored", map_index=3)
def one_of_ten(run: Run) -> None:
    for number in range(10):
        run.wait("deferred", tries=2 if number == 3 else 1, map_index=number)
    run.finish_all_jobs()
    for number in range(10):
        run.wait("success", tries=2 if number == 3 else 1, map_index=number)
    assert run.note_cost("one of ten mapped killed, retried").charged == 10

    siblings = [one for one in run.standings() if one.map_index != 5]
    run.clear(map_index=5)
    run.wait("deferred", tries=2, map_index=5)
    run.finish_all_jobs()
    run.wait("success", tries=2, map_index=5)
    assert [one for one in run.standings() if one.map_index != 5] == siblings


# The scheduler fails a healthy task (apache/airflow#71580)


@scenario("the fast-resume race, retried", dag_id="kill_retried_once", hold=["deferred", "resumed"])
@scenario("the fast-resume race, cleared", dag_id="kill_cleared", hold=["deferred", "resumed"])
def failed_by_the_scheduler(run: Run) -> None:
    """The first worker tells that it ended when the task runs again already.

    On PostgreSQL the scheduler passes over an event while a heartbeat locks the task's row: none may come now.
    """
    run.wait_until_held("deferred")
    run.finish_job()
    run.wait_until_held("resumed")
    with run.without_heartbeats():
        run.let_go("deferred")
        run.wait_until_mismatch()
        run.let_go("resumed")
    run.comes_again()
    run.wait("success", tries=2)


# The triggerer is killed, then the scheduler, then both come back. These wait for all others, and so they come last


@scenario("(d) deferred, triggerer killed")
def killed_while_deferred(run: Run) -> None:
    run.wait("deferred")
    assert find_secret(run.stage.airflow, KEY) == []  # a trigger's arguments are gone with it
    run.stage.outage.until(BOTH_BACK)
    run.finish_job()
    run.wait("success")


@scenario("(d) deferred, triggerer killed, cleared", dag_id="kill_cleared")
def killed_while_deferred_and_cleared(run: Run) -> None:
    run.wait("deferred")
    run.stage.outage.until(TRIGGERER_KILLED)
    run.clear()
    run.wait("deferred", tries=2)
    run.stage.outage.until(BOTH_BACK)
    run.finish_job()
    run.wait("success", tries=2)


@scenario("triggerer and scheduler killed, the job ends meanwhile")
def nobody_is_there_when_the_job_ends(run: Run) -> None:
    run.wait("deferred")
    run.stage.outage.until(SCHEDULER_KILLED)
    run.finish_job()
    run.stage.outage.until(BOTH_BACK)
    run.wait("success")


@scenario("triggerer and scheduler killed, the job ends later", dag_id="kill_cleared")
def they_are_back_when_the_job_ends(run: Run) -> None:
    run.wait("deferred")
    run.stage.outage.until(BOTH_BACK)
    run.finish_job()
    run.wait("success")
