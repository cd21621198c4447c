"""Which secrets are believed: those of the allowed connections, as the timer found them last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugin.webhooks.conftest import KEY, SECRETS, Purchase, Stage, connection

OLD, NEW = SECRETS["vendor_folder"], "the next secret of this connection"


@pytest.fixture
def purchase(one_stage: Stage) -> Iterator[Purchase]:
    """One that waits; its connection is put back afterwards."""
    one_stage.call("hurry", look_again=[])
    yield one_stage.purchase("folder", job_id=one_stage.ended()).defer()
    connected(one_stage, OLD)
    one_stage.call("renew", later=1000.0)


def connected(stage: Stage, secret: str | None, **extra: Any) -> None:
    told = connection(stage.vendor.base_url, secret, ledger_path=f"file://{stage.folder}", **extra)
    stage.call("connect", conn_id="vendor_folder", connection=told)


def answered(purchase: Purchase, secret: str) -> int:
    """Send a token that is signed so, of a purchase that is over: it changes nothing."""
    token = purchase.token(secret=secret, nonce="over")
    return purchase.stage.post(token, {"id": purchase.job_id, "status": "completed"}).status_code


def test_after_a_change_of_the_secret_both_are_believed_until_the_previous_one_is_taken_away(
    purchase: Purchase,
) -> None:
    stage = purchase.stage
    connected(stage, NEW, webhook_secret_previous=OLD)
    stage.call("renew")
    assert (answered(purchase, OLD), answered(purchase, NEW)) == (200, 200)
    connected(stage, NEW)
    stage.call("renew")
    assert (answered(purchase, OLD), answered(purchase, NEW)) == (404, 200)


def test_no_request_makes_it_look_a_connection_up(purchase: Purchase) -> None:
    stage = purchase.stage
    connected(stage, NEW)
    assert (answered(purchase, NEW), answered(purchase, OLD)) == (404, 200)
    stage.call("renew")
    assert (answered(purchase, NEW), answered(purchase, OLD)) == (200, 404)


def test_a_connection_that_lost_its_secret_is_refused_at_once(purchase: Purchase) -> None:
    connected(purchase.stage, None)
    purchase.stage.call("renew")
    assert answered(purchase, OLD) == 404
    assert "it has no webhook_base_url and no webhook_secret" in purchase.stage.server.log()


def test_a_connection_that_cannot_be_used_is_refused_and_the_log_says_why(purchase: Purchase) -> None:
    connected(purchase.stage, "short")
    purchase.stage.call("renew")
    assert answered(purchase, OLD) == 404
    assert "the extra webhook_secret must be a random text" in purchase.stage.server.log()


def test_a_connection_that_cannot_be_found_is_believed_for_five_minutes(purchase: Purchase) -> None:
    """Airflow says the same of one that was removed and of a secrets backend that is away."""
    stage = purchase.stage
    stage.call("connect", conn_id="vendor_folder", connection=None)
    stage.call("renew", later=290.0)
    assert answered(purchase, OLD) == 200
    stage.call("renew", later=20.0)
    assert answered(purchase, OLD) == 404
    assert "it cannot be looked up (AirflowNotFoundException)" in stage.server.log()


def test_a_new_host_or_key_is_used_from_then_on(purchase: Purchase) -> None:
    stage = purchase.stage
    assert answered(purchase, OLD) == 200
    told = connection("http://127.0.0.1:9", OLD, ledger_path=f"file://{stage.folder}")
    stage.call("connect", conn_id="vendor_folder", connection=told)
    stage.call("renew")
    assert purchase.deliver().status_code == 503
    assert (purchase.state, stage.looks(purchase.job_id)) == ("deferred", 0)
    connected(stage, OLD)
    stage.call("renew")
    assert purchase.deliver().status_code == 200
    assert purchase.state == "scheduled"


def test_they_are_looked_up_at_the_start_and_by_a_timer_that_outlives_errors(one_stage: Stage) -> None:
    assert one_stage.call("renewals", seconds=2.0) >= 5


def test_the_log_says_of_each_connection_once_what_becomes_of_its_webhooks_and_holds_no_secret(
    one_stage: Stage,
) -> None:
    for _ in range(3):
        one_stage.call("renew")
    log = one_stage.server.log()
    assert log.count("Webhooks of jobs by the connection 'vendor_plain' are refused") == 1
    assert "Lipsync webhooks are received at /lipsync/webhooks/, for: vendor_store, vendor_folder, vendor_plain." in log
    assert "vendor_stranger" not in log
    assert not [secret for secret in (*SECRETS.values(), NEW, KEY) if secret in log]
