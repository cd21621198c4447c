"""Runs the parts that are named, all without a name: ``python -m benchmarks [transfer] [pace] [waiting] [options]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

__all__ = ["main"]

_PARTS = ("transfer", "pace", "waiting")


def main(arguments: Sequence[str]) -> int:
    """Run them; return 0."""
    from benchmarks.waiting.measure import Options, add_options

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(_PARTS))
    add_options(parser)
    named = parser.parse_args(arguments)
    if unknown := set(named.parts) - set(_PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    for part in named.parts or _PARTS:
        _run(part, Options.of(named))
    return 0


def _run(part: str, options: object) -> None:
    if part == "transfer":
        from benchmarks.transfer.measure import main as measure_transfer

        measure_transfer()
    elif part == "pace":
        from benchmarks.pace import main as measure_pace

        sys.stdout.write(f"{measure_pace()}\n")
    else:
        from benchmarks.waiting.measure import Options
        from benchmarks.waiting.measure import main as measure_waiting

        assert isinstance(options, Options)
        measure_waiting(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
