"""What the figures have to be, and whether they are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.waiting.kinds import OURS, PEERS, SLEEPING
from benchmarks.waiting.parsing import STANDARD
from benchmarks.waiting.stage import Figures

__all__ = ["Goal", "Results", "judge"]

_LAG_SPARED = 1.05  # lags are means of a few hundred random phases: closer than that is the same


@dataclass(frozen=True)
class Results:
    """All that was measured; what was not is empty.

    :param loads: by number of jobs and kind, medians.
    :param held: by kind: ten thousand that wait.
    :param large: by number of jobs, of ours.
    :param parsing: by kind.
    """

    loads: Mapping[int, Mapping[str, Figures]]
    held: Mapping[str, Figures]
    large: Mapping[int, Figures]
    parsing: Mapping[str, Figures]


@dataclass(frozen=True)
class Goal:
    """One goal of the project.

    :param text: what is asked for.
    :param limit: the figure's highest good value.
    :param unit: of both.
    """

    text: str
    figure: float
    limit: float
    unit: str
    note: str = ""

    def __str__(self) -> str:
        word = "met" if self.figure <= self.limit else "MISSED"
        note = f" ({self.note})" if self.note else ""
        return f"{word:6} {self.text}: {self.figure:.2f} {self.unit}, at most {self.limit:.2f}{note}"


def judge(results: Results) -> list[Goal]:
    """Return the goals that can be judged by what was measured."""
    return [
        *_of_loads(results.loads),
        *_of_held(results.held),
        *_of_large(results.large),
        *_of_parsing(results.parsing),
    ]


def _of_loads(loads: Mapping[int, Mapping[str, Figures]]) -> Iterator[Goal]:
    for jobs, kinds in loads.items():
        ours, sleeping = kinds.get(OURS), kinds.get(SLEEPING, {}).get("cpu_ms", 0.0)
        if ours is None:
            continue
        peers = {name: found for name, found in kinds.items() if name in PEERS}
        if peers:
            yield from _beside_peers(jobs, ours, peers, sleeping if jobs >= 1000 else 0.0)
        if "aiohttp" in kinds and jobs < 1000:
            text = f"CPU per job, {jobs} waiting, beside the bare aiohttp loop"
            yield Goal(text, ours["cpu_ms"], kinds["aiohttp"]["cpu_ms"], "ms")


def _beside_peers(jobs: int, ours: Figures, peers: Mapping[str, Figures], less: float) -> Iterator[Goal]:
    best = min(peers, key=lambda name: peers[name]["cpu_ms"])
    what = "CPU per job less the sleeping trigger's" if less else "CPU per job"
    yield Goal(
        f"{what}, {jobs} waiting, beside half of {best}'s",
        ours["cpu_ms"] - less,
        (peers[best]["cpu_ms"] - less) / 2,
        "ms",
    )
    yield Goal(
        f"mean detection lag, {jobs} waiting, beside {best}'s",
        ours["lag"],
        peers[best]["lag"] * _LAG_SPARED,
        "s",
        "5 % are spared: phases are random",
    )


def _of_held(held: Mapping[str, Figures]) -> Iterable[Goal]:
    if OURS not in held or SLEEPING not in held:
        return
    ours, sleeping = held[OURS], held[SLEEPING]
    jobs = int(ours["jobs"])
    yield Goal(f"memory per waiting job above the sleeping trigger's, {jobs}", ours["kb"] - sleeping["kb"], 4.0, "KB")
    block = (ours["block"] - sleeping["block"]) * 1000
    note = f"{ours['block'] * 1000:.0f} ms, sleeping {sleeping['block'] * 1000:.0f} ms"
    yield Goal(f"worst block above the sleeping triggers', {jobs} registering", block, 100.0, "ms", note)
    yield Goal(f"connections open, {jobs} waiting", ours["most_open"], 10.0, "connections")


def _of_large(large: Mapping[int, Figures]) -> Iterable[Goal]:
    if len(large) < 2:
        return
    few, many = min(large), max(large)
    small, big = large[few]["cpu_ms"], large[many]["cpu_ms"]
    note = f"{big:.2f} ms and {small:.2f} ms"
    yield Goal(f"CPU per job at {many} against {few}, uncompressed", big / small, 1.2, "times", note)


def _of_parsing(parsing: Mapping[str, Figures]) -> Iterable[Goal]:
    if OURS in parsing and STANDARD in parsing:
        text = "CPU of importing the operators, beside Airflow's standard Python operator"
        yield Goal(text, parsing[OURS]["cpu_ms"], parsing[STANDARD]["cpu_ms"], "ms")
