"""Runs all cases in turn, round by round, and tells the medians: one table, and whether the goals are met."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.waiting.case import Case
from benchmarks.waiting.goals import Results, judge
from benchmarks.waiting.kinds import BARE, KINDS, OURS, SLEEPING
from benchmarks.waiting.parsing import measure_parsing
from benchmarks.waiting.stage import CaseBroke, Figures, Stage, is_installed, open_stage
from benchmarks.waiting.table import render

__all__ = ["Options", "add_options", "main"]

_ALL = (SLEEPING, *BARE, *(kind for kind in KINDS if kind != SLEEPING))
_COMPRESSED = 10.0
_FEW, _POLL_OF_FEW = 200, 10.0  # jobs; seconds between two looks, to be compressed
_MANY, _POLL_OF_MANY = 1000, 40.0
_LARGE = (1000, 10_000)
_LARGE_POLL, _LARGE_ARRIVE = 5.0, 60.0  # seconds
_HOLD_POLL, _HOLD_SECONDS = 20.0, 30.0  # each is looked at once and more
_PARSING_ROUNDS = 5


@dataclass(frozen=True)
class Options:
    """What is measured.

    :param rounds: of which the medians are taken.
    :param kinds: who waits.
    :param jobs: how many; looked at every ten seconds up to two hundred, else every forty, to be compressed.
    :param compressed: how many times quicker than real ones they are.
    :param held: how many wait for the memory, the blocks, the connections; 0 = not measured.
    :param large_rounds: with up to ten thousand uncompressed jobs; 0 = not measured.
    :param parsing: whether imports are measured.
    :param json: a file for all figures.
    """

    rounds: int
    kinds: tuple[str, ...]
    jobs: tuple[int, ...]
    compressed: float
    held: int
    large_rounds: int
    parsing: bool
    json: Path | None

    @classmethod
    def of(cls, named: argparse.Namespace) -> Options:
        """Return the options that a command line names."""
        return cls(
            rounds=named.rounds,
            kinds=tuple(named.kinds),
            jobs=tuple(named.jobs),
            compressed=named.compressed,
            held=named.held,
            large_rounds=named.large,
            parsing=not named.no_parsing,
            json=named.json,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Name the options of this part."""
    parser.add_argument("--rounds", type=int, default=3, help="of the waiting, of which medians are taken (3)")
    parser.add_argument("--kinds", nargs="+", choices=_ALL, default=_ALL, metavar="kind", help=", ".join(_ALL))
    parser.add_argument("--jobs", nargs="+", type=int, default=[_FEW, _MANY], metavar="n", help="that wait (200 1000)")
    parser.add_argument("--compressed", type=float, default=_COMPRESSED, help="how many times quicker they are (10)")
    parser.add_argument("--held", type=int, default=10_000, help="jobs that wait for ever; 0 = leave it out (10000)")
    parser.add_argument("--large", type=int, default=1, help="rounds of ten thousand uncompressed jobs (1)")
    parser.add_argument("--no-parsing", action="store_true", help="leave the imports out")
    parser.add_argument("--json", type=Path, help="file for all figures")


def main(options: Options) -> Results:
    """Measure and tell; return the figures."""
    kinds = [kind for kind in options.kinds if is_installed(kind)]
    for kind in set(options.kinds) - set(kinds):
        _tell(f"{kind} is not installed here: left out")
    with open_stage() as stage:
        results = Results(
            loads=_measure_loads(stage, kinds, options),
            held=_measure_held(stage, kinds, options),
            large=_measure_large(stage, kinds, options),
            parsing=measure_parsing(stage, kinds, _PARSING_ROUNDS) if options.parsing else {},
        )
    sys.stdout.write(f"{render(results)}\n\n" + "".join(f"- {goal}\n" for goal in judge(results)))
    sys.stdout.flush()
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(results), indent=2))
    return results


def _measure_loads(stage: Stage, kinds: Sequence[str], options: Options) -> dict[int, dict[str, Figures]]:
    cases = [
        Case(
            kind=kind,
            jobs=jobs,
            poll=(_POLL_OF_FEW if jobs <= _FEW else _POLL_OF_MANY) / options.compressed,
            compressed=options.compressed,
        )
        for jobs in options.jobs
        for kind in kinds
    ]
    came = _rounds(stage, cases, options.rounds)
    return {
        jobs: {case.kind: _per_job(case, found) for case, found in came.items() if case.jobs == jobs}
        for jobs in options.jobs
    }


def _measure_held(stage: Stage, kinds: Sequence[str], options: Options) -> dict[str, Figures]:
    cases = [
        Case(kind=kind, jobs=options.held, poll=_HOLD_POLL, compressed=1.0, hold=_HOLD_SECONDS)
        for kind in (SLEEPING, OURS)
        if kind in kinds and options.held
    ]
    return {case.kind: _per_job(case, found) for case, found in _rounds(stage, cases, options.rounds).items()}


def _measure_large(stage: Stage, kinds: Sequence[str], options: Options) -> dict[int, Figures]:
    cases = [
        Case(kind=OURS, jobs=jobs, poll=_LARGE_POLL, compressed=1.0, arrive=_LARGE_ARRIVE)
        for jobs in _LARGE
        if OURS in kinds and options.large_rounds
    ]
    came = _rounds(stage, cases, options.large_rounds)
    return {case.jobs: _per_job(case, found) for case, found in came.items()}


def _rounds(stage: Stage, cases: Iterable[Case], rounds: int) -> dict[Case, Figures]:
    """Run every case once in each round, so that what the machine does meanwhile hits all; return medians.

    One of another provider that breaks is told and left out.
    """
    came: dict[Case, list[Figures]] = {case: [] for case in cases}
    for number in range(1, rounds + 1):
        for case, found in came.items():
            _tell(f"round {number} of {rounds}: {case.jobs} jobs, {case.kind}")
            try:
                found.append(_whole(case, stage.run(case)))
            except CaseBroke as error:
                if case.kind in (OURS, SLEEPING):
                    raise
                _tell(f"left out, since it broke: {error}")
    return {case: _medians(found) for case, found in came.items() if found}


def _whole(case: Case, found: Figures) -> Figures:
    """Refuse figures of a case in which not every job was waited for to its end."""
    if case.hold:
        lacks = found["lost"]
    else:
        lacks = case.jobs - (found["ended"] if case.kind == SLEEPING else min(found["ended"], found["seen"]))
    if lacks or found["strange"]:
        raise CaseBroke(f"{case.kind}, {case.jobs} jobs: {lacks:.0f} did not end well: {found}")
    return found


def _medians(found: Sequence[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def _per_job(case: Case, found: Mapping[str, float]) -> Figures:
    polls = found["polls"]
    return {
        "jobs": case.jobs,
        "cpu_ms": found["cpu"] * 1000 / case.jobs,
        "cpu_ms_per_poll": found["cpu"] * 1000 / polls if polls else 0.0,
        "polls": polls / case.jobs,
        "kb": found["memory"] / case.jobs,
        **{name: found[name] for name in ("lag", "lag95", "block", "most_open", "connections", "wall")},
    }


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
