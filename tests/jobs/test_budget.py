"""The budget: what a job will cost, what earlier tries spent, and what is refused."""

from __future__ import annotations

import pytest

from airflow_provider_lipsync.api.models import Endpoint
from airflow_provider_lipsync.exceptions import Charged, LipsyncOverBudget
from airflow_provider_lipsync.jobs.budget import Budget, Estimate, Spent, estimate_job

KNOWN = Estimate(seconds=13, credits=26)
UNKNOWN = Estimate(why="audio: it has no length")


def test_an_estimate_follows_the_price_rules() -> None:
    found = estimate_job(Endpoint.VIDEO, {"video": 30.0, "audio": 12.3}, resolution="720p", order="meanwhile")
    assert found == Estimate(seconds=13, credits=52)


def test_a_length_that_is_missing_makes_the_cost_unknown_and_says_why() -> None:
    found = estimate_job(
        Endpoint.VIDEO, {"audio": 12.3}, resolution="480p", order="meanwhile", unknown="video: it is encrypted"
    )
    assert found == Estimate(why="video: it is encrypted")
    assert str(found) == "unknown (video: it is encrypted)"


@pytest.mark.parametrize(
    ("resolution", "order"), [pytest.param("1080p", "meanwhile", id="resolution"), ("480p", "backwards")]
)
def test_what_the_vendor_invented_later_has_no_known_price(resolution: str, order: str) -> None:
    lengths = {"left_audio": 3.0, "right_audio": 4.0}
    found = estimate_job(Endpoint.IMAGE_MULTI, lengths, resolution=resolution, order=order)
    assert found.credits is None
    assert "no price is known" in found.why


def test_without_a_limit_everything_may_be_bought() -> None:
    Budget().verify(UNKNOWN, Spent(credits=10**6, is_known=False))


def test_what_costs_as_much_as_allowed_is_allowed() -> None:
    Budget(of_operator=26, of_connection=26).verify(KNOWN, Spent())


@pytest.mark.parametrize(
    ("budget", "named"),
    [
        pytest.param(Budget(of_operator=25, of_connection=26), "max_credits of the task allows 25", id="operator"),
        pytest.param(
            Budget(of_operator=1000, of_connection=25, conn_id="mine"),
            "max_credits_per_job of the connection 'mine' allows 25",
            id="connection, whatever the operator says",
        ),
        pytest.param(Budget(of_operator=0), "allows 0", id="nothing"),
    ],
)
def test_what_costs_more_is_refused_by_name(budget: Budget, named: str) -> None:
    with pytest.raises(LipsyncOverBudget, match=r"26 credits \(13 s\)") as refused:
        budget.verify(KNOWN, Spent())
    assert named in refused.value.message
    assert refused.value.charged is Charged.NO


def test_earlier_tries_count_and_the_sum_is_told() -> None:
    with pytest.raises(LipsyncOverBudget, match=r"earlier tries of this task spent 20: 46 in all.*allows 45"):
        Budget(of_operator=45).verify(KNOWN, Spent(credits=20))
    Budget(of_operator=46).verify(KNOWN, Spent(credits=20))


def test_an_unknown_cost_is_refused_where_there_is_a_limit() -> None:
    with pytest.raises(LipsyncOverBudget, match="not known: audio: it has no length"):
        Budget(of_connection=1000).verify(UNKNOWN, Spent())


def test_an_unknown_purchase_of_an_earlier_try_is_refused_where_there_is_a_limit() -> None:
    spent = Spent(credits=20).plus(UNKNOWN)
    assert spent == Spent(credits=20, is_known=False)
    with pytest.raises(LipsyncOverBudget, match="cannot be counted"):
        Budget(of_operator=1000).verify(KNOWN, spent)
