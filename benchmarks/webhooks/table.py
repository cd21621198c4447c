"""The figures as one Markdown table, and whether the goals are met. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.waiting.goals import Goal
from benchmarks.webhooks.loads import Seen

__all__ = ["EARLY_LIMIT", "PACED_LIMIT", "judge", "render"]

PACED_LIMIT = 1.0  # seconds, p99
EARLY_LIMIT = 9.0  # seconds, all
_HEAD = (
    *("database", "jobs that end", "jobs", "told", "p50 s", "p99 s", "max s", "looks per job, triggerer", "receiver"),
    *("all over after s", "tasks that did not succeed"),
)

Results = Mapping[str, Sequence[Seen]]
"""By database."""


def render(results: Results) -> str:
    """Return the table."""
    rows = [_HEAD, tuple("---" for _ in _HEAD), *_rows(results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def judge(results: Results) -> list[Goal]:
    """Return the goals that can be judged by what was measured."""
    return [goal for database, loads in results.items() for seen in loads for goal in _of(database, seen)]


def _of(database: str, seen: Seen) -> Iterator[Goal]:
    where = f"{seen.name}, {database}"
    if seen.name == "early":
        yield Goal(f"delivery to scheduled, {where}, all", seen.lags[-1], EARLY_LIMIT, "s")
    elif seen.name != "all at once":
        yield Goal(f"delivery to scheduled, {where}, p99", percentile(seen.lags, 0.99), PACED_LIMIT, "s")
    yield Goal(f"looks per job in the triggerer, {where}", seen.triggerer_looks / seen.jobs, 1.0, "looks")
    yield Goal(f"looks per job in the receiver, {where}", seen.receiver_looks / seen.jobs, 1.0, "looks")
    yield Goal(f"tasks lost or failed, {where}", float(seen.lost), 0.0, "tasks")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so many are not above.

    :param values: sorted.
    """
    return values[max(0, math.ceil(share * len(values)) - 1)]


def _rows(results: Results) -> Iterator[tuple[str, ...]]:
    for database, loads in results.items():
        for seen in loads:
            lags = (percentile(seen.lags, 0.5), percentile(seen.lags, 0.99), seen.lags[-1])
            looks = (seen.triggerer_looks / seen.jobs, seen.receiver_looks / seen.jobs)
            yield (
                *(database, seen.name, str(seen.jobs), str(seen.told)),
                *(f"{figure:.2f}" for figure in (*lags, *looks)),
                *(f"{seen.over:.0f}", str(seen.lost)),
            )
