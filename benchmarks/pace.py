"""What the schedule of looks is worth: simulated jobs of several distributions, against polling at a fixed interval.

Both look first when a job is six seconds old at the soonest. The trigger itself begins at ten (jobs/race.py), which
takes looks away from ours alone, and lets jobs that are quicker be seen later. The baseline is simulated over the same
jobs, its interval set so that its mean lag is the schedule's. Each job draws it anew within 10 %: a grid that all share
would meet or miss the many jobs that take exactly as long as a clip allows, and the figure would be luck.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from airflow_provider_lipsync.jobs.pace import Durations, next_pause, on_a_beat

__all__ = ["DISTRIBUTIONS", "Figures", "fixed", "main", "new_durations", "simulate"]

LOW, HIGH = 30.0, 120.0  # seconds: what the vendor names as typical
INTERVAL = 5.0  # seconds: the operator's default
FIRST_LOOK = 6.0  # seconds: a deferral that ends sooner trips Airflow, on a quiet machine
_HALVINGS = 16  # of the range in which the baseline's interval is sought
Distribution = Callable[[random.Random], float]


def lognormal(median: float, sigma: float) -> Distribution:
    return lambda chance: chance.lognormvariate(math.log(median), sigma)


def clipped(inner: Distribution, low: float, high: float) -> Distribution:
    return lambda chance: min(high, max(low, inner(chance)))


def two_humps(chance: random.Random) -> float:
    return max(1.0, chance.gauss(40, 5) if chance.random() < 0.5 else chance.gauss(100, 8))


DISTRIBUTIONS: dict[str, Distribution] = {
    "lognormal 55/0.45, clipped": clipped(lognormal(55, 0.45), LOW, HIGH),
    "uniform 30-120": lambda chance: chance.uniform(30, 120),
    "lognormal 400/0.6": lognormal(400, 0.6),
    "exponential 55": lambda chance: chance.expovariate(1 / 55),
    "two humps 40 and 100": two_humps,
}
DISTRIBUTIONS["all at once"] = lambda chance: chance.choice(_SINGLE)(chance)
_SINGLE = list(DISTRIBUTIONS.values())[:-1]


@dataclass(frozen=True)
class Figures:
    """What simulated jobs cost.

    :param polls: looks per job.
    :param lag: seconds from a job's end to the look that saw it, in the mean.
    :param ratio: looks, against a fixed interval with the same lag.
    """

    polls: float
    lag: float
    ratio: float


def new_durations() -> Durations:
    """Return what a process knows that has seen no job yet."""
    return Durations(low=LOW, high=HIGH)


def simulate(
    distribution: Distribution,
    durations: Durations | None,
    *,
    jobs: int,
    seed: int,
    learns: bool = False,
    told: bool = True,
) -> Figures:
    """Let jobs run to their end.

    :param durations: what is known of the jobs' times; None = a fixed interval.
    :param learns: whether what is seen is learned from.
    :param told: whether the vendor tells how long a job took.
    """
    chance = random.Random(seed)
    times: list[float] = []
    looks = lag = 0.0
    for _ in range(jobs):
        takes = distribution(chance)
        moments = list(_looks(takes, durations, chance))
        times.append(takes)
        looks, lag = looks + len(moments), lag + moments[-1] - takes
        if learns and durations is not None:
            since = moments[-1] - (moments[-2] if len(moments) > 1 else 0.0)
            durations.learn(seconds=moments[-1], since_last_look=since, told=takes if told else None)
    polls, late = looks / jobs, lag / jobs
    return Figures(polls, late, polls / _looks_at_the_same_lag(times, late))


def fixed(times: Sequence[float], interval: float) -> tuple[float, float]:
    """Return looks per job and the mean lag of polling at an interval, in seconds.

    :param times: seconds that jobs take.
    """
    chance, looks, lag = random.Random(77), 0, 0.0
    for takes in times:
        own = interval * chance.uniform(0.9, 1.1)
        first = max(FIRST_LOOK, own)
        more = max(0, math.ceil((takes - first) / own))
        looks, lag = looks + 1 + more, lag + first + more * own - takes
    return looks / len(times), lag / len(times)


def _looks_at_the_same_lag(times: Sequence[float], lag: float) -> float:
    low, high = lag / 2.0, lag * 4.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if fixed(times, middle)[1] < lag else (low, middle)
    return fixed(times, (low + high) / 2.0)[0]


def _looks(takes: float, durations: Durations | None, chance: random.Random) -> Iterator[float]:
    age, bought = 0.0, chance.random()  # between two beats, all of which a second is a multiple of
    while True:
        age += next_pause(age=age, poll_interval=INTERVAL, durations=durations, chance=chance.random())
        age = max(on_a_beat(bought + age, INTERVAL) - bought, FIRST_LOOK)
        yield age
        if age >= takes:
            return


def main(jobs: int = 20_000) -> str:
    """Return the table."""
    lines = [
        "| distribution | by the marks alone | after 30 jobs | after 300 | after 300, not told executionTime |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, distribution in DISTRIBUTIONS.items():
        cells = [simulate(distribution, new_durations(), jobs=jobs, seed=1)]
        for seen, told in ((30, True), (300, True), (300, False)):
            durations = new_durations()
            simulate(distribution, durations, jobs=seen, seed=2, learns=True, told=told)
            cells.append(simulate(distribution, durations, jobs=jobs, seed=1, learns=True, told=told))
        told_cells = " | ".join(f"**{cell.ratio:.2f}** ({cell.polls:.1f} looks, {cell.lag:.1f} s)" for cell in cells)
        lines.append(f"| {name} | {told_cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())  # noqa: T201 - it is what the module is for
