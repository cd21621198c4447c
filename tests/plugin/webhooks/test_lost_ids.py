"""A delivery brings back an id that was lost, if the job can be that of the purchase, and is nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lipsync.jobs.delivery import delivered_job, delivery_of
from airflow_provider_lipsync.jobs.ledger import Record
from tests.plugin.facts_support import card, record
from tests.plugin.webhooks.conftest import LOST_TRIGGER, Purchase, Stage
from tests.sandbox.support import wait_for


def lost(stage: Stage, state: str = "intent", **changes: Any) -> Purchase:
    """A purchase whose answer was lost, and a task that waits for its webhook."""
    purchase = stage.purchase(state=state, max_tries=3, clear_number=2, credits=26, spent=7, **changes)
    arguments = {"nonce": purchase.nonce, "until": 2e9, "not_before": 0.0}
    return purchase.defer(trigger=LOST_TRIGGER, arguments=arguments, method="execute_again")


@pytest.mark.parametrize("state", ["intent", "refused"])
def test_it_is_written_to_the_ledger_and_the_task_goes_on(stage: Stage, state: str) -> None:
    purchase, job_id = lost(stage, state), stage.ended()
    assert purchase.deliver(job_id).status_code == 200
    assert purchase.state == "scheduled"
    found = stage.call("remembered", where=purchase.task.key)
    assert 89.9 < found["days"] < 90.1
    as_written = Record.from_json(found["record"])
    assert (as_written.state, as_written.job_id, as_written.nonce) == ("bought", job_id, purchase.nonce)
    assert (as_written.generation.max_tries, as_written.generation.clear_number) == (3, 2)
    assert (as_written.cost.credits, as_written.spent.credits) == (26, 7)
    assert stage.looks(job_id) == 1
    job = delivered_job(purchase.told(), purchase.nonce)
    assert job is not None
    assert job.id == job_id


def test_it_is_brought_back_between_two_tries_too(stage: Stage) -> None:
    purchase, job_id = stage.purchase(state="intent"), stage.ended()
    purchase.task.set(state="up_for_retry")
    assert purchase.deliver(job_id).status_code == 200
    assert purchase.state == "up_for_retry"
    assert stage.call("remembered", where=purchase.task.key)["record"]["job_id"] == job_id


def test_what_comes_again_with_another_id_changes_nothing(stage: Stage) -> None:
    purchase, job_id, other = lost(stage), stage.ended(), stage.ended()
    assert purchase.deliver(job_id).status_code == 200
    assert purchase.deliver(other).status_code == 200
    assert stage.call("remembered", where=purchase.task.key)["record"]["job_id"] == job_id
    assert stage.looks(other) == 0


def refused(purchase: Purchase, job_id: str) -> None:
    assert purchase.deliver(job_id).status_code == 404
    assert (purchase.state, purchase.told()) == ("deferred", None)
    found = purchase.stage.call("remembered", where=purchase.task.key)["record"]
    assert (found["state"], found["job_id"]) == ("intent", None)


def test_a_job_of_another_model_is_refused(stage: Stage) -> None:
    refused(lost(stage), stage.ended("lipsync-video"))


def test_a_job_that_the_vendor_does_not_know_is_refused(stage: Stage) -> None:
    refused(lost(stage), "550e8400-e29b-41d4-a716-446655440000")


def test_a_job_that_has_not_ended_is_not_believed_before_it_has(stage: Stage) -> None:
    stage.call("hurry", look_again=[0.5, 0.5, 0.5])
    purchase, job_id = lost(stage), stage.submit()
    assert purchase.deliver(job_id).status_code == 200
    assert stage.call("remembered", where=purchase.task.key)["record"]["job_id"] is None
    stage.vendor.finish(job_id)
    purchase.becomes("scheduled")
    assert stage.call("remembered", where=purchase.task.key)["record"]["job_id"] == job_id


@pytest.mark.parametrize("state", ["bought", "failed", "delivered"])
def test_a_job_that_another_tasks_ledger_knows_is_refused(stage: Stage, state: str) -> None:
    job_id = stage.ended()
    stage.purchase(job_id=job_id, state=state)
    refused(lost(stage), job_id)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(lambda job_id: ("job_id", job_id), id="its id"),
        pytest.param(lambda job_id: ("lipsync_job", card(job_id=job_id)), id="its card"),
        pytest.param(lambda job_id: ("lipsync_delivery", delivery(job_id)), id="its delivery"),
    ],
)
def test_a_job_that_another_task_told_of_is_refused(stage: Stage, told: Any) -> None:
    job_id = stage.ended()
    key, value = told(job_id)
    other = stage.purchase("folder", job_id="something-else")
    other.task.push(key, value)
    refused(lost(stage), job_id)


def delivery(job_id: str) -> dict[str, Any]:
    from airflow_provider_lipsync.api.answers import read_job

    return delivery_of("nonce", read_job(job_id, {"status": "completed"}), at=0.0)


def test_a_job_that_is_written_in_other_letters_is_the_same(stage: Stage) -> None:
    """The vendor takes it as it is; whoever has it wrote it differently."""
    job_id = stage.ended()
    stage.purchase(job_id=job_id.upper())
    refused(lost(stage), job_id)


def test_an_id_with_a_placeholder_of_the_database_is_no_pattern(stage: Stage) -> None:
    """An underscore stands for any letter in SQL's LIKE."""
    job_id = stage.ended()
    stage.purchase(job_id=job_id.replace("-", "_"))
    purchase = lost(stage)
    assert purchase.deliver(job_id).status_code == 200
    assert purchase.state == "scheduled"


def test_a_task_that_told_of_the_job_itself_has_it(stage: Stage) -> None:
    """Its worker was killed between the XCom and the ledger, or is about to write."""
    job_id, purchase = stage.ended(), lost(stage)
    purchase.task.push("job_id", job_id)
    purchase.task.push("lipsync_job", card(job_id=job_id))
    assert purchase.deliver(job_id).status_code == 200
    assert purchase.state == "scheduled"


def test_a_purchase_that_took_the_place_of_the_lost_one_during_the_look_is_left_alone(stage: Stage) -> None:
    """The look takes a moment, in which the task may have been cleared, and have bought anew."""
    purchase, job_id = lost(stage), stage.ended()
    stage.vendor.set_faults([{"fault": "late_answer", "on": "query", "seconds": 2, "job_id": job_id}])
    with purchase.delivering(job_id) as answer:
        wait_for(lambda: stage.looks(job_id), lambda looks: looks == 1)
        purchase.task.remember(record("bought", nonce="the new one", job_id="new-job"))
        assert answer().status_code == 200
    stage.vendor.clear_faults()
    assert (purchase.state, purchase.told()) == ("deferred", None)
    assert stage.call("remembered", where=purchase.task.key)["record"]["job_id"] == "new-job"


def test_an_id_that_the_worker_wrote_during_the_look_stands(stage: Stage) -> None:
    purchase, job_id, other = lost(stage), stage.ended(), stage.ended()
    stage.vendor.set_faults([{"fault": "late_answer", "on": "query", "seconds": 2, "job_id": other}])
    with purchase.delivering(other) as answer:
        wait_for(lambda: stage.looks(other), lambda looks: looks == 1)
        purchase.remember(job_id=job_id)
        assert answer().status_code == 404
    stage.vendor.clear_faults()
    assert (purchase.state, purchase.told()) == ("deferred", None)


def test_in_a_folder_it_stays_lost_until_the_worker_writes_it(stage: Stage) -> None:
    stage.call("hurry", look_again=[0.5, 0.5, 0.5])
    purchase, job_id = stage.purchase("folder", state="intent"), stage.ended()
    assert purchase.deliver(job_id).status_code == 503
    assert (purchase.told(), stage.looks(job_id)) == (None, 0)
    purchase.remember(job_id=job_id)
    purchase.defer()
    purchase.becomes("scheduled")
    assert "They bring back no id that was lost" in stage.server.log()
