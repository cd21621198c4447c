"""How soon the vendor may be asked again: limits, pauses, probes."""

from __future__ import annotations

import pytest

from airflow_provider_lipsync.exceptions import (
    LipsyncError,
    LipsyncRateLimited,
    LipsyncUnknownJob,
    LipsyncUnreachable,
    LipsyncVendorFault,
)
from airflow_provider_lipsync.jobs.circuit import Circuit

NOW = 1000.0
FAULT = LipsyncVendorFault("the vendor's server failed (500)")


def look(circuit: Circuit, now: float, error: LipsyncError | None = None, *, chance: float = 0.0) -> None:
    circuit.left(now)
    circuit.came(now, error, chance)


def is_free(circuit: Circuit, now: float) -> bool:
    return circuit.free_at(now) <= now


def opened() -> Circuit:
    circuit = Circuit(per_second=100.0)
    for _ in range(3):
        look(circuit, NOW, FAULT)
    return circuit


def sent_within(circuit: Circuit, begin: float, seconds: float, *, step: float = 0.001) -> int:
    """How many looks leave where as many as may be are sent."""
    sent = 0
    for tick in range(int(seconds / step)):
        now = begin + tick * step
        while is_free(circuit, now):
            look(circuit, now)
            sent += 1
    return sent


def test_the_limit_is_kept_but_for_a_small_burst() -> None:
    assert 100 <= sent_within(Circuit(per_second=100.0), NOW, 1.0) <= 111


@pytest.mark.parametrize("error", [FAULT, LipsyncUnreachable("no answer"), LipsyncVendorFault("502")])
def test_three_faults_in_a_row_open_it(error: LipsyncError) -> None:
    circuit = Circuit(per_second=100.0)
    for _ in range(2):
        look(circuit, NOW, error)
    assert not circuit.is_open
    assert is_free(circuit, NOW + 1)
    look(circuit, NOW, error)
    assert circuit.is_open
    assert circuit.free_at(NOW) == NOW + 5


@pytest.mark.parametrize("between", [None, LipsyncUnknownJob("404"), LipsyncRateLimited("429", retry_after=1.0)])
def test_an_answer_in_between_shows_that_the_vendor_is_there(between: LipsyncError | None) -> None:
    circuit = Circuit(per_second=100.0)
    for error in (FAULT, FAULT, between, FAULT, FAULT):
        look(circuit, NOW, error)
    assert not circuit.is_open


def test_one_probe_at_a_time_leaves_after_a_pause_that_doubles_up_to_half_a_minute() -> None:
    circuit, now, pauses = opened(), NOW, []
    for _ in range(5):
        free = circuit.free_at(now)
        pauses.append(free - now)
        now = free
        circuit.left(now)
        assert not is_free(circuit, now)
        now += 2.0
        assert not is_free(circuit, now)
        circuit.came(now, FAULT, 0.0)
    assert pauses == [5, 10, 20, 30, 30]


def test_a_probe_that_is_answered_closes_it() -> None:
    circuit = opened()
    look(circuit, NOW + 5)
    assert not circuit.is_open
    assert is_free(circuit, NOW + 5)
    for _ in range(3):
        look(circuit, NOW + 6, FAULT)
    assert circuit.free_at(NOW + 6) == NOW + 11  # the pause begins anew


def test_what_had_left_before_it_opened_does_not_make_the_pause_longer() -> None:
    circuit = opened()
    for _ in range(7):
        circuit.came(NOW + 1, FAULT, 0.0)
    assert circuit.free_at(NOW + 1) == NOW + 5


def test_a_vendor_that_says_when_to_come_back_is_heard() -> None:
    circuit = Circuit(per_second=100.0)
    for _ in range(3):
        look(circuit, NOW, LipsyncVendorFault("503", retry_after=40.0))
    assert circuit.free_at(NOW) == NOW + 40


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [pytest.param(7.0, 7, id="asked"), pytest.param(None, 1, id="not asked"), pytest.param(9e9, 60, id="for ages")],
)
def test_a_429_pauses_everybody(retry_after: float | None, pause: float) -> None:
    circuit = Circuit(per_second=100.0)
    look(circuit, NOW, LipsyncRateLimited("429", retry_after=retry_after))
    assert not circuit.is_open
    assert circuit.free_at(NOW) == NOW + pause


def test_a_429_halves_the_rate_that_was_used_and_it_grows_back() -> None:
    circuit = Circuit(per_second=100.0)
    used = sent_within(circuit, NOW, 5.0)
    assert used >= 500
    now = NOW + 5.0
    for _ in range(10):  # all of them were on their way
        circuit.came(now, LipsyncRateLimited("429", retry_after=1.0), 0.0)
    now += 1.0
    assert 40 <= sent_within(circuit, now, 1.0) <= 70
    assert sent_within(circuit, now + 60.0, 1.0) >= 100


def test_a_limit_that_is_never_met_is_no_measure_for_a_429() -> None:
    circuit = Circuit(per_second=500.0)
    for second in range(20):
        for _ in range(4):
            look(circuit, NOW + second)
    look(circuit, NOW + 20, LipsyncRateLimited("429", retry_after=1.0))
    assert sent_within(circuit, NOW + 21.5, 1.0) <= 8


def test_pauses_are_jittered_upwards() -> None:
    circuit = Circuit(per_second=100.0)
    for _ in range(3):
        look(circuit, NOW, FAULT, chance=1.0)
    assert circuit.free_at(NOW) == NOW + 6.25


def test_a_new_limit_counts_at_once() -> None:
    circuit = Circuit(per_second=1.0)
    circuit.set_limit(100.0)
    assert sent_within(circuit, NOW, 1.0) >= 100
