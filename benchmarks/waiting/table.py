"""The figures as one Markdown table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.waiting.goals import Results
from benchmarks.waiting.kinds import BARE
from benchmarks.waiting.stage import Figures

__all__ = ["render"]

_HEAD = (
    "waiting",
    "who",
    "CPU ms per job",
    "CPU ms per poll",
    "polls per job",
    "KB per job",
    "lag mean s",
    "lag p95 s",
    "worst block ms",
    "connections at once",
    "in all",
    "import CPU ms",
    "import modules",
)


def render(results: Results) -> str:
    """Return the table."""
    rows = [_HEAD, tuple("---" for _ in _HEAD), *_rows(results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rows(results: Results) -> Iterator[tuple[str, ...]]:
    parsing = dict(results.parsing)
    for jobs, kinds in results.loads.items():
        for kind, found in kinds.items():
            who = f"bare {kind} loop" if kind in BARE else kind
            yield (str(jobs), who, *_figures(found), *_parsing(parsing.pop(kind, {})))
    for jobs, found in results.large.items():
        yield (f"{jobs}, uncompressed", "ours", *_figures(found), "", "")
    for kind, found in results.held.items():
        yield (f"{found['jobs']:.0f}, held", kind, *_figures(found, held=True), "", "")
    for kind, found in parsing.items():
        yield ("", kind, *[""] * 9, *_parsing(found))


def _figures(found: Mapping[str, float], *, held: bool = False) -> Iterator[str]:
    asks = found["polls"] > 0
    yield "" if held else f"{found['cpu_ms']:.2f}"
    yield f"{found['cpu_ms_per_poll']:.2f}" if asks and not held else ""
    yield f"{found['polls']:.1f}" if asks else ""
    yield f"{found['kb']:.1f}"
    yield f"{found['lag']:.2f}" if asks and not held else ""
    yield f"{found['lag95']:.2f}" if asks and not held else ""
    yield f"{found['block'] * 1000:.0f}"
    yield f"{found['most_open']:.0f}" if asks else ""
    yield f"{found['connections']:.0f}" if asks else ""


def _parsing(found: Figures) -> Iterator[str]:
    yield f"{found['cpu_ms']:.0f}" if found else ""
    yield f"{found['modules']:.0f}" if found else ""
