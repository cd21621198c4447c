"""When to look: cheaper than a fixed interval with the same lag, bounded, and a pure function of what was seen."""

from __future__ import annotations

import math
import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lipsync.jobs.pace import Durations, next_pause, on_a_beat
from benchmarks.pace import DISTRIBUTIONS, INTERVAL, LOW, Distribution, fixed, new_durations, simulate

NAMED = "lognormal 55/0.45, clipped"
CHANCE = 0.02  # what so few jobs leave to it


def learned(distribution: Distribution, *, jobs: int = 100, told: bool = True, seed: int = 2) -> Durations:
    durations = new_durations()
    simulate(distribution, durations, jobs=jobs, seed=seed, learns=True, told=told)
    return durations


def looks(durations: Durations | None, *, until: float = 130.0) -> list[float]:
    """The ages at which a job is looked at, without jitter."""
    ages = [0.0]
    while ages[-1] < until:
        ages.append(ages[-1] + next_pause(age=ages[-1], poll_interval=INTERVAL, durations=durations, chance=0.5))
    return ages[1:]


def mean_ratio(name: str, *, told: bool) -> float:
    """Over several draws, each after thirty jobs of its own: one alone is off by a hundredth or two."""
    ratios = []
    for seed in (50, 51, 52):
        durations = learned(DISTRIBUTIONS[name], jobs=30, told=told, seed=seed)
        figures = simulate(DISTRIBUTIONS[name], durations, jobs=2000, seed=seed + 1000, learns=True, told=told)
        ratios.append(figures.ratio)
    return statistics.mean(ratios)


def test_the_named_distribution_costs_six_tenths_of_a_fixed_interval() -> None:
    assert mean_ratio(NAMED, told=True) <= 0.6 + CHANCE


def test_what_the_vendor_does_not_tell_is_learned_from_the_looks_less_exactly() -> None:
    assert mean_ratio(NAMED, told=False) <= 0.65 + CHANCE  # the 0.6 of the goal is missed here


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_no_distribution_costs_much_more_than_a_fixed_interval(name: str) -> None:
    figures = simulate(DISTRIBUTIONS[name], learned(DISTRIBUTIONS[name]), jobs=1500, seed=3, learns=True)
    assert figures.ratio <= 1.05 + CHANCE
    assert figures.lag <= INTERVAL * 0.55


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_nor_does_any_before_something_was_learned(name: str) -> None:
    assert simulate(DISTRIBUTIONS[name], new_durations(), jobs=1500, seed=3).ratio <= 1.05 + CHANCE


def test_where_ends_are_evenly_likely_looks_hardly_become_more_than_by_the_interval() -> None:
    evenly = DISTRIBUTIONS["exponential 55"]
    plain = simulate(evenly, None, jobs=3000, seed=4)
    assert simulate(evenly, learned(evenly), jobs=3000, seed=4, learns=True).polls <= 1.1 * plain.polls


def test_the_baseline_is_what_plain_polling_does() -> None:
    draws = random.Random(8)
    times = [draws.uniform(30, 120) for _ in range(4000)]
    measured = simulate(lambda chance: chance.uniform(30, 120), None, jobs=4000, seed=8)
    polls, lag = fixed(times, INTERVAL)
    assert polls == pytest.approx(measured.polls, rel=0.03)
    assert lag == pytest.approx(measured.lag, rel=0.05)


def test_by_the_marks_there_are_a_few_early_looks_and_then_the_interval() -> None:
    ages = looks(new_durations())
    early = [age for age in ages if age < LOW]
    late = ages[len(early) :]
    assert early == pytest.approx([LOW / 4, LOW / 2, LOW * 3 / 4])
    assert [later - age for age, later in pairwise(late)] == pytest.approx([INTERVAL] * (len(late) - 1))


@given(takes=st.floats(0.1, LOW))
def test_a_job_that_is_quicker_than_the_mark_is_seen_soon(takes: float) -> None:
    seen = next(age for age in looks(new_durations()) if age >= takes)
    assert seen - takes <= LOW / 4 + 1e-9


def test_what_was_learned_moves_the_first_worthwhile_look() -> None:
    slow = learned(lambda chance: chance.uniform(100, 160))
    assert sum(age < 95 for age in looks(slow)) <= 3
    quick = learned(lambda chance: chance.uniform(8, 12))
    assert next(age for age in looks(quick) if age >= 8) <= 12


def test_a_vendor_that_becomes_quicker_is_followed() -> None:
    durations = learned(lambda chance: chance.uniform(100, 160), jobs=200)
    before = simulate(lambda chance: chance.uniform(20, 30), durations, jobs=1, seed=5).lag
    figures = simulate(lambda chance: chance.uniform(20, 30), durations, jobs=400, seed=5, learns=True)
    after = simulate(lambda chance: chance.uniform(20, 30), durations, jobs=400, seed=6)
    assert after.lag <= INTERVAL < before
    assert after.lag < figures.lag < before


@pytest.mark.parametrize(("late", "ratio"), [(1, 0.65), (50, 1.05)])
def test_jobs_that_were_seen_a_day_after_their_end_do_not_make_others_be_seen_late(late: int, ratio: float) -> None:
    durations = learned(DISTRIBUTIONS[NAMED])
    for _ in range(late):  # by tasks that were cleared the next day
        durations.learn(seconds=86_400.0, since_last_look=86_400.0)
    simulate(DISTRIBUTIONS[NAMED], durations, jobs=100, seed=3, learns=True)  # with these it is worked out anew
    figures = simulate(DISTRIBUTIONS[NAMED], durations, jobs=2000, seed=4)
    assert figures.lag <= INTERVAL / 2
    assert figures.ratio <= ratio


def test_a_word_of_the_vendor_that_contradicts_the_looks_is_not_believed() -> None:
    told, not_told = new_durations(), new_durations()
    for number in range(100):
        seen = 40.0 + number % 7
        told.learn(seconds=seen, since_last_look=5.0, told=12_345.0)
        not_told.learn(seconds=seen, since_last_look=5.0)
    assert looks(told) == looks(not_told)


def test_without_durations_it_is_a_fixed_interval() -> None:
    assert looks(None, until=50) == pytest.approx([INTERVAL * step for step in range(1, 11)])


@given(
    seen=st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e4)), max_size=80),
    age=st.floats(0, 1e6),
    poll_interval=st.floats(0.01, 3600),
    chance=st.floats(0, 1, exclude_max=True),
    low=st.floats(0, 1000),
    high=st.floats(0, 1000),
)
def test_whatever_was_seen_a_pause_is_bounded(
    seen: list[tuple[float, float]], age: float, poll_interval: float, chance: float, low: float, high: float
) -> None:
    durations = Durations(low=low, high=high)
    for seconds, since in seen:
        durations.learn(seconds=seconds, since_last_look=since)
    pause = next_pause(age=age, poll_interval=poll_interval, durations=durations, chance=chance)
    assert math.isfinite(pause)
    assert 0 < pause <= 1.05 * max(poll_interval, 0.6 * max([low, *(seconds for seconds, _ in seen)]) + poll_interval)
    again = next_pause(age=age, poll_interval=poll_interval, durations=durations, chance=chance)
    assert pause == again


@given(age=st.floats(0, 400), chance=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 20))
def test_once_ends_are_to_be_expected_the_interval_bounds_the_lag(age: float, chance: float, seed: int) -> None:
    draws = random.Random(seed)
    durations = new_durations()
    for _ in range(60):
        durations.learn(seconds=draws.uniform(30, 120), since_last_look=draws.uniform(1, 10))
    if age >= 35:
        pause = next_pause(age=age, poll_interval=INTERVAL, durations=durations, chance=chance)
        assert pause <= 1.05 * INTERVAL


@given(moment=st.floats(1e9, 4e9), poll_interval=st.floats(0.1, 3600))
def test_a_beat_is_nearer_than_anybody_would_notice(moment: float, poll_interval: float) -> None:
    assert abs(on_a_beat(moment, poll_interval) - moment) <= min(0.05, 0.025 * poll_interval) + 1e-6


@pytest.mark.parametrize(("poll_interval", "beats"), [(5.0, 11), (60.0, 11), (1.0, 21)])
def test_looks_that_are_due_close_to_each_other_share_a_beat(poll_interval: float, beats: int) -> None:
    due = [1_800_000_000.0 + number / 1000 for number in range(1000)]
    assert len({on_a_beat(moment, poll_interval) for moment in due}) == beats
