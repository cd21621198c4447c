"""What may be sent again, and when."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lipsync.api.retry import (
    LONGEST_WAIT,
    RetryPolicy,
    may_resend_get,
    may_resend_post,
    next_delay,
    parse_retry_after,
)
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncRateLimited,
    LipsyncSubmitUncertain,
    LipsyncUnreachable,
    LipsyncUnreadableAnswer,
    LipsyncVendorFault,
)

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param(" 7.5 ", 7.5, id="a fraction"),
        pytest.param(email.utils.formatdate(NOW + 90, usegmt=True), 90.0, id="a date"),
        pytest.param(email.utils.formatdate(NOW - 90, usegmt=True), 0.0, id="a date that has passed"),
        pytest.param("-3", 0.0, id="negative"),
        pytest.param("soon", None, id="a word"),
        pytest.param("nan", None, id="not a number"),
        pytest.param("inf", None, id="for ever"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_retry_after_in_every_form(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, now=NOW) == seconds


def test_a_post_is_sent_again_only_if_it_never_left_or_was_refused_with_429() -> None:
    assert may_resend_post(LipsyncUnreachable())
    assert may_resend_post(LipsyncRateLimited())
    assert not any(may_resend_post(kind()) for kind in (LipsyncSubmitUncertain, LipsyncVendorFault, LipsyncBadInput))


def test_a_get_is_sent_again_on_whatever_may_pass() -> None:
    assert all(may_resend_get(kind()) for kind in (LipsyncUnreachable, LipsyncRateLimited, LipsyncVendorFault))
    assert not any(may_resend_get(kind()) for kind in (LipsyncBadInput, LipsyncUnreadableAnswer))


@given(
    attempt=st.integers(1, 9),
    waited=st.floats(0, 90),
    retry_after=st.none() | st.floats(0, 1e6),
    chance=st.floats(0, 1),
    capped=st.booleans(),
)
def test_all_waits_together_stay_under_the_bound(
    attempt: int, waited: float, retry_after: float | None, chance: float, capped: bool
) -> None:
    policy = RetryPolicy()
    delay = next_delay(policy, attempt=attempt, waited=waited, retry_after=retry_after, chance=chance, capped=capped)
    if delay is not None:
        assert attempt < policy.attempts
        assert 0 <= delay <= LONGEST_WAIT - waited


def test_a_post_that_is_to_wait_too_long_is_not_sent_again_in_place() -> None:
    asked = {"attempt": 1, "waited": 0.0, "retry_after": 61.0, "chance": 0.0}
    assert next_delay(RetryPolicy(), **asked, capped=False) is None  # type: ignore[arg-type]
    assert next_delay(RetryPolicy(), **asked, capped=True) == 60.0  # type: ignore[arg-type]


def test_delays_grow() -> None:
    delays = [
        next_delay(RetryPolicy(attempts=9), attempt=n, waited=0, retry_after=None, chance=0.5, capped=True)
        for n in range(1, 8)
    ]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0]
