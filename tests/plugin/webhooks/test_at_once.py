"""Deliveries, triggers and persons at the same time: nothing is handed on twice, nothing hangs, nobody is overruled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_lipsync.jobs.delivery import delivered_job
from tests.plugin.webhooks.conftest import Purchase, Stage
from tests.sandbox.support import wait_for

MANY = 12
SECONDS = 60.0  # in which nothing may hang


def waiting(stage: Stage, ledger: str = "folder", **changes: Any) -> Purchase:
    return stage.purchase(ledger, job_id=stage.ended()).defer(**changes)


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same time, and return what came of each."""
    with ThreadPoolExecutor(len(work)) as pool:
        return [done.result(SECONDS) for done in [pool.submit(one) for one in work]]


def test_of_many_deliveries_at_once_one_is_handed_on_after_one_look(stage: Stage, ledger: str) -> None:
    purchase = waiting(stage, ledger)
    answers = at_once(*[purchase.deliver] * 8)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert purchase.state == "scheduled"
    assert stage.looks(purchase.job_id) == 1


def test_of_many_servers_at_once_one_hands_it_on(stage: Stage) -> None:
    """They know nothing of each other: the database decides."""
    for _ in range(5):
        purchase = waiting(stage)
        job = stage.buyer.query(purchase.job_id)
        arguments = {"wheres": [purchase.task.key], "nonces": [purchase.nonce], "jobs": [job]}
        came = stage.call("hand_over_at_once", **{name: values * 6 for name, values in arguments.items()})
        assert Counter(came) == {"handed on, resumed": 1, "stood, not resumed": 5}


def test_deliveries_of_many_tasks_at_once_are_all_handed_on(stage: Stage) -> None:
    purchases = [waiting(stage) for _ in range(MANY)]
    assert {answer.status_code for answer in at_once(*[one.deliver for one in purchases])} == {200}
    assert {one.state for one in purchases} == {"scheduled"}


def test_a_delivery_and_the_triggers_own_event_at_once_end_in_one_resumption(stage: Stage) -> None:
    """Airflow does not lock where a trigger fires: both may resume the task, and neither hangs."""
    purchases = [waiting(stage) for _ in range(MANY)]
    events = [{"status": "completed", "job_id": one.job_id, "job": None, "message": "looked"} for one in purchases]
    wheres = [one.task.key for one in purchases]
    [wrong, *answers] = at_once(
        lambda: stage.call("fire_all", wheres=wheres, events=events), *[one.deliver for one in purchases]
    )
    assert wrong == []
    assert {answer.status_code for answer in answers} == {200}
    for one in purchases:
        found = one.standing()
        assert (found["state"], found["event"]["job_id"]) == ("scheduled", one.job_id)
        assert delivered_job(one.told(), one.nonce) is not None
    assert "deadlock" not in stage.server.log()


def test_a_task_whose_trigger_has_fired_is_told_and_not_resumed_again(stage: Stage) -> None:
    purchase = waiting(stage)
    event = {"status": "completed", "job_id": purchase.job_id, "job": None, "message": "looked"}
    stage.call("fire", where=purchase.task.key, event=event)
    assert purchase.deliver().status_code == 200
    assert purchase.standing()["event"]["message"] == "looked"
    assert stage.call("pending") == 0


def test_a_delivery_between_a_triggers_question_and_its_event_ends_in_one_resumption(stage: Stage) -> None:
    """The trigger's event comes after the delivery resumed the task, and finds nobody who waits."""
    purchase = waiting(stage)
    assert purchase.deliver().status_code == 200
    told = purchase.standing()
    stage.call("fire", where=purchase.task.key, event={"status": "completed", "job_id": "x", "job": None})
    assert purchase.standing() == told


@pytest.mark.parametrize("state", [None, "failed", "success"], ids=["cleared", "marked failed", "marked success"])
def test_what_a_person_does_at_the_same_time_is_not_overruled(stage: Stage, state: str | None) -> None:
    """The delivery comes while the person's change is being written, and waits for it."""
    purchase = waiting(stage)
    stage.call("hold", where=purchase.task.key, state=state)
    with purchase.delivering() as answer:
        wait_for(lambda: stage.looks(purchase.job_id), lambda looks: looks == 1)
        stage.call("let_go")
        assert answer().status_code == 200
    stage.settled()
    assert (purchase.state, purchase.standing()["event"]) == (state, None)


def test_a_delivery_really_waits_for_who_holds_the_task(stages: Callable[..., Stage]) -> None:
    stage = stages("postgresql")
    purchase = waiting(stage)
    stage.call("hold", where=purchase.task.key, state="failed")
    with purchase.delivering() as answer:
        wait_for(lambda: stage.call("waiting_for_locks"), lambda waiting: waiting == 1)
        assert purchase.told() is None
        stage.call("let_go")
        assert answer().status_code == 200
    assert purchase.state == "failed"


def test_a_real_clear_before_the_delivery_stands(stage: Stage, ledger: str) -> None:
    purchase = waiting(stage, ledger)
    stage.call("clear", where=purchase.task.key)
    before = purchase.standing()
    assert before["state"] is None
    assert purchase.deliver().status_code == 200
    stage.settled()
    assert purchase.standing() == before


def test_a_real_clear_after_the_delivery_stands(stage: Stage, ledger: str) -> None:
    purchase = waiting(stage, ledger)
    assert purchase.deliver().status_code == 200
    stage.call("clear", where=purchase.task.key)
    assert purchase.deliver().status_code == 200
    assert purchase.state is None


def test_a_purchase_made_anew_while_the_delivery_waits_for_its_moment_is_not_resumed_with_the_old_job(
    stage: Stage,
) -> None:
    purchase = waiting(stage, ago=5.0)  # of seven
    assert purchase.deliver().status_code == 200
    purchase.defer(arguments={"job_id": "the new one", "nonce": "the new one"})
    stage.settled()
    assert purchase.state == "deferred"


def test_a_new_try_that_began_while_the_delivery_waits_for_its_moment_is_not_resumed(stage: Stage) -> None:
    """Airflow removes what was told before when a try begins; its worker looks at the job by itself."""
    purchase = waiting(stage, ago=5.5)  # of seven
    assert purchase.deliver().status_code == 200
    stage.call("forget", where=purchase.task.key, key="lipsync_delivery")
    stage.settled()
    assert purchase.state == "deferred"


def test_clears_marks_triggers_and_deliveries_at_once_leave_every_task_in_a_state_of_one_of_them(stage: Stage) -> None:
    purchases = [waiting(stage, "store" if number % 2 else "folder") for number in range(MANY)]
    events = [{"status": "completed", "job_id": one.job_id, "job": None, "message": "looked"} for one in purchases]
    wheres = [one.task.key for one in purchases]

    def persons() -> None:
        for number, one in enumerate(purchases):
            if number % 3 == 0:
                stage.call("clear", where=one.task.key)
            elif number % 3 == 1:
                one.task.set(state="failed")
            else:
                stage.call("fire_all", wheres=wheres[number : number + 1], events=events[number : number + 1])

    [_, *answers] = at_once(persons, *[one.deliver for one in purchases], *[one.deliver for one in purchases])
    assert {answer.status_code for answer in answers} == {200}
    stage.settled()
    for number, one in enumerate(purchases):
        assert one.state in ({None, "scheduled"}, {"failed", "scheduled"}, {"scheduled"})[number % 3]
    assert "deadlock" not in stage.server.log()
