"""How much is taken, and how often the log speaks."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_lipsync.plugin.webhooks.limits import Bucket, Limits, Tally
from tests.plugin.webhooks.conftest import Stage


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_so_many_at_once_and_then_so_many_a_second() -> None:
    clock = Clock()
    bucket = Bucket(3, 2.0, clock)
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    clock.now += 0.5
    assert [bucket.take() for _ in range(2)] == [0.0, 0.5]
    clock.now += 1000
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_500_purchases_at_once_are_taken() -> None:
    limits = Limits(Clock())
    assert [limits.take(f"purchase {number}") for number in range(500)] == [0.0] * 500


def test_one_purchase_cannot_use_up_what_the_others_need() -> None:
    """Whoever found one address in a log may knock as often as he likes."""
    limits = Limits(Clock())
    taken = [limits.take("known to a stranger") for _ in range(5000)]
    assert taken.count(0.0) == 10
    assert limits.take("another") == 0.0


def test_all_together_are_bounded() -> None:
    clock = Clock()
    limits = Limits(clock)
    taken = [limits.take(f"purchase {number}") for number in range(1100)]
    assert taken.count(0.0) == 1000
    clock.now += 1
    assert [limits.take(f"later {number}") for number in range(60)].count(0.0) == 50


def test_purchases_that_nobody_tells_of_any_more_are_forgotten() -> None:
    limits = Limits(Clock())
    for number in range(20_000):
        limits.take(f"purchase {number}")
    assert len(limits._each) == 10_000


def test_the_log_speaks_once_a_minute_and_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    tally = Tally(logging.getLogger("tests"), "Refused: %s.", clock)
    for _ in range(100):
        tally.note("forged")
    clock.now += 59
    tally.note("expired")
    assert caplog.messages == ["Refused: forged: 1."]
    clock.now += 1
    tally.tell()
    clock.now += 60
    tally.tell()  # there is nothing to tell
    assert caplog.messages == ["Refused: forged: 1.", "Refused: expired: 1, forged: 99."]


def test_too_many_deliveries_of_one_purchase_are_put_off_and_another_is_taken(one_stage: Stage) -> None:
    one_stage.call("hurry", look_again=[])
    purchase = one_stage.purchase("folder", job_id=one_stage.submit()).defer()
    answers = [purchase.deliver() for _ in range(13)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 3
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
    assert one_stage.looks(purchase.job_id) == 10
    other = one_stage.purchase("folder", job_id=one_stage.ended()).defer()
    assert other.deliver().status_code == 200
    assert other.state == "scheduled"


def test_what_is_wrong_uses_up_nothing(one_stage: Stage) -> None:
    purchase = one_stage.purchase("folder", job_id=one_stage.ended()).defer()
    for _ in range(15):
        assert one_stage.post(purchase.token(), {"no": "job"}).status_code == 404
    assert purchase.deliver().status_code == 200
