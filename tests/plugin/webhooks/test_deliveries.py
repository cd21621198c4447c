"""A delivery is confirmed by one look, handed on once, and resumes the task that waits for it, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lipsync.jobs.delivery import delivered_job
from tests.plugin.webhooks.conftest import LOST_TRIGGER, TRIGGER, Purchase, Stage


def bought(stage: Stage, ledger: str, status: str = "completed", **changes: Any) -> Purchase:
    return stage.purchase(ledger, job_id=stage.ended(status=status), **changes)


def test_a_delivery_is_confirmed_by_one_look_and_resumes_the_task(stage: Stage, ledger: str) -> None:
    purchase = bought(stage, ledger).defer(kwargs={"job_id": "kept", "deadline": 1.5})
    answer = purchase.deliver()
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert stage.looks(purchase.job_id) == 1
    found = purchase.standing()
    assert (found["state"], found["trigger_id"], found["next_method"]) == ("scheduled", None, "execute_complete")
    assert found["kwargs"] == {"job_id": "kept", "deadline": 1.5}
    assert (found["event"]["status"], found["event"]["job_id"]) == ("completed", purchase.job_id)
    assert found["event"]["job"]["output"].startswith("http://127.0.0.1")
    job = delivered_job(purchase.told(), purchase.nonce)
    assert job is not None
    assert (job.id, job.output) == (purchase.job_id, found["event"]["job"]["output"])


def test_a_job_that_failed_is_told_as_that(stage: Stage, ledger: str) -> None:
    purchase = bought(stage, ledger, "failed").defer()
    assert purchase.deliver(status="completed").status_code == 200  # what the body says counts for nothing
    assert purchase.standing()["event"]["status"] == "failed"


def test_what_comes_again_does_nothing_and_asks_nobody(stage: Stage, ledger: str) -> None:
    purchase = bought(stage, ledger).defer()
    assert purchase.deliver().status_code == 200
    stood = (purchase.standing(), purchase.told())
    for _ in range(3):
        assert purchase.deliver().status_code == 200
    assert (purchase.standing(), purchase.told()) == stood
    assert stage.looks(purchase.job_id) == 1


def test_a_task_that_waits_again_for_the_same_job_is_not_resumed_by_a_replay(stage: Stage) -> None:
    purchase = bought(stage, "folder").defer()
    purchase.deliver()
    purchase.defer()
    assert purchase.deliver().status_code == 200
    assert purchase.state == "deferred"


@pytest.mark.parametrize("state", ["delivered", "failed"])
def test_a_purchase_that_is_over_is_not_told_of(stage: Stage, ledger: str, state: str) -> None:
    purchase = bought(stage, ledger, state=state).defer()
    assert purchase.deliver().status_code == 200
    assert (purchase.state, purchase.told(), stage.looks(purchase.job_id)) == ("deferred", None, 0)


def test_a_purchase_that_another_one_replaced_is_not_told_of(stage: Stage, ledger: str) -> None:
    purchase = bought(stage, ledger).defer()
    old = purchase.token(nonce="superseded")
    assert stage.post(old, {"id": purchase.job_id, "status": "completed"}).status_code == 200
    assert (purchase.state, purchase.told(), stage.looks(purchase.job_id)) == ("deferred", None, 0)


def test_a_task_that_bought_nothing_is_not_told_of(stage: Stage, ledger: str) -> None:
    purchase = bought(stage, ledger)
    nobodys = purchase.token(task_id="render_video")
    assert stage.post(nobodys, {"id": purchase.job_id, "status": "completed"}).status_code == 200
    assert stage.looks(purchase.job_id) == 0


def test_a_delivery_of_another_job_than_the_ledgers_is_refused(stage: Stage, ledger: str) -> None:
    purchase, other = bought(stage, ledger).defer(), stage.ended()
    assert purchase.deliver(other).status_code == 404
    assert (purchase.state, purchase.told()) == ("deferred", None)
    assert (stage.looks(other), stage.looks(purchase.job_id)) == (0, 0)


def test_an_early_delivery_is_looked_at_again_until_the_job_has_ended(stage: Stage, ledger: str) -> None:
    stage.call("hurry", look_again=[0.5, 0.5, 1.0])
    purchase = stage.purchase(ledger, job_id=stage.submit()).defer()
    assert purchase.deliver().status_code == 200
    assert (purchase.state, purchase.told(), stage.looks(purchase.job_id)) == ("deferred", None, 1)
    stage.vendor.finish(purchase.job_id)
    purchase.becomes("scheduled")
    stage.settled()
    assert stage.looks(purchase.job_id) in (2, 3)


def test_an_early_delivery_whose_job_does_not_end_is_given_up(one_stage: Stage) -> None:
    one_stage.call("hurry", look_again=[0.1, 0.1, 0.1])
    purchase = one_stage.purchase("folder", job_id=one_stage.submit()).defer()
    assert purchase.deliver().status_code == 200
    one_stage.settled()
    assert (purchase.state, purchase.told(), one_stage.looks(purchase.job_id)) == ("deferred", None, 4)


def test_a_vendor_that_cannot_be_reached_is_asked_again(stage: Stage, ledger: str) -> None:
    stage.call("hurry", look_again=[0.3, 0.3, 0.3])
    purchase = bought(stage, ledger).defer()
    rule = {"fault": "status", "on": "query", "status": 503, "times": 2, "job_id": purchase.job_id}
    stage.vendor.set_faults([rule])
    answer = purchase.deliver()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert (purchase.state, purchase.told()) == ("deferred", None)
    purchase.becomes("scheduled")
    stage.vendor.clear_faults()


@pytest.mark.parametrize("fault", [{"fault": "vanishes"}, {"fault": "unknown_status"}], ids=lambda rule: rule["fault"])
def test_a_job_that_the_vendor_does_not_say_has_ended_is_not_believed(one_stage: Stage, fault: Any) -> None:
    one_stage.call("hurry", look_again=[])
    one_stage.vendor.set_faults([fault])
    purchase = bought(one_stage, "folder").defer()
    one_stage.vendor.clear_faults()
    assert purchase.deliver().status_code in (200, 503)
    assert (purchase.state, purchase.told()) == ("deferred", None)


def test_a_task_in_the_first_seconds_of_its_wait_is_told_and_resumed_once_it_may_be(stage: Stage, ledger: str) -> None:
    purchase = bought(stage, ledger).defer(ago=5.0)  # of seven
    assert purchase.deliver().status_code == 200
    assert purchase.state == "deferred"
    assert delivered_job(purchase.told(), purchase.nonce) is not None
    purchase.becomes("scheduled", within=6)
    assert stage.looks(purchase.job_id) == 1


def test_a_task_that_does_not_wait_yet_is_told_and_resumed_once_it_may_be(stage: Stage, ledger: str) -> None:
    purchase = bought(stage, ledger)
    purchase.task.set(state="running")
    assert purchase.deliver().status_code == 200
    assert (purchase.state, purchase.standing()["event"]) == ("running", None)
    purchase.defer()
    purchase.becomes("scheduled", within=6)


@pytest.mark.parametrize("state", ["up_for_retry", "failed", "success", "skipped", "removed", None])
def test_a_task_that_does_not_wait_is_left_alone(stage: Stage, state: str | None) -> None:
    purchase = bought(stage, "folder")
    purchase.task.set(state=state, next_method="execute_complete")
    assert purchase.deliver().status_code == 200
    stage.settled()
    assert (purchase.state, purchase.standing()["event"]) == (state, None)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"trigger": "airflow.providers.standard.triggers.temporal.DateTimeTrigger"}, id="foreign trigger"),
        pytest.param({"trigger": "airflow_provider_lipsync_not.triggers.lipsync.LipsyncJobTrigger"}, id="similar name"),
        pytest.param({"method": "execute_other"}, id="foreign method"),
        pytest.param({"method": "__fail__"}, id="a trigger that failed"),
        pytest.param({"arguments": {"job_id": "x", "nonce": "another purchase"}}, id="another purchase"),
        pytest.param({"arguments": {}}, id="no purchase"),
    ],
)
def test_a_task_that_waits_for_something_else_is_left_alone(one_stage: Stage, changes: dict[str, Any]) -> None:
    purchase = bought(one_stage, "folder")
    arguments = {"arguments": {"job_id": purchase.job_id, "nonce": purchase.nonce}}
    purchase.defer(**{**arguments, **changes})
    before = purchase.standing()
    assert purchase.deliver().status_code == 200
    one_stage.settled()
    assert purchase.standing() == before
    assert delivered_job(purchase.told(), purchase.nonce) is not None


def test_a_trigger_that_cannot_be_read_is_left_alone(one_stage: Stage) -> None:
    purchase = bought(one_stage, "folder").defer()
    one_stage.call("spoil_trigger", where=purchase.task.key)
    assert purchase.deliver().status_code == 200
    assert purchase.state == "deferred"


def test_a_task_that_waits_for_a_lost_id_goes_the_whole_way_again(stage: Stage) -> None:
    purchase = bought(stage, "folder")
    purchase.defer(trigger=LOST_TRIGGER, arguments={"nonce": purchase.nonce, "until": 2e9}, method="execute_again")
    assert purchase.deliver().status_code == 200
    found = purchase.standing()
    assert (found["state"], found["next_method"], found["event"]["status"]) == (
        "scheduled",
        "execute_again",
        "completed",
    )


def test_a_mapped_task_is_not_mistaken_for_its_sibling(one_stage: Stage) -> None:
    one = one_stage.purchase("folder", task_id="render", job_id=one_stage.ended()).defer()
    sibling = one.token(map_index=3)
    assert one_stage.post(sibling, {"id": one.job_id, "status": "completed"}).status_code == 200
    assert (one.state, one.told()) == ("deferred", None)


def test_an_xcom_that_is_no_delivery_is_replaced(one_stage: Stage) -> None:
    for odd in ("text", {"nonce": "another"}, {"version": 1}, ["list"], {"version": 1, "nonce": "n", "job": {}}):
        purchase = bought(one_stage, "folder").defer()
        purchase.task.push("lipsync_delivery", odd)
        assert purchase.deliver().status_code == 200
        assert purchase.state == "scheduled"


def test_the_sandboxs_own_webhook_is_taken(one_stage: Stage) -> None:
    """The whole way: what the vendor sends is what is received."""
    purchase = one_stage.purchase("folder", job_id="not-known-yet")
    url = f"{one_stage.server.url}/lipsync/webhooks/{purchase.token()}"
    job_id = one_stage.buyer.submit("lipsync-image", webhook=url)
    purchase.remember(job_id=job_id)
    purchase.defer()
    one_stage.vendor.finish(job_id)
    purchase.becomes("scheduled")
    assert TRIGGER  # the trigger of an operator that waits


def test_a_locked_database_is_tried_again(one_stage: Stage) -> None:
    purchase = bought(one_stage, "folder").defer()
    one_stage.call("break_database", seconds=0.15)
    assert purchase.deliver().status_code == 200
    assert purchase.state == "scheduled"


def test_a_database_that_stays_away_is_a_reason_to_come_again(one_stage: Stage) -> None:
    one_stage.call("hurry", look_again=[2.0, 1.0, 1.0])
    purchase = bought(one_stage, "folder").defer()
    one_stage.call("break_database", seconds=2.0)
    assert purchase.deliver().status_code == 503
    purchase.becomes("scheduled")
