"""Runs the parts that are named, all without a name: ``python -m benchmarks [part …] [options]``.

The parts are ``transfer``, ``pace``, ``waiting`` and ``webhooks``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.waiting.measure import Options
    from benchmarks.webhooks.options import HookOptions

__all__ = ["main"]

_PARTS = ("transfer", "pace", "waiting", "webhooks")


def main(arguments: Sequence[str]) -> int:
    """Run them; return 0."""
    from benchmarks.waiting.measure import Options
    from benchmarks.waiting.measure import add_options as add_options_of_waiting
    from benchmarks.webhooks.options import HookOptions
    from benchmarks.webhooks.options import add_options as add_options_of_webhooks

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(_PARTS))
    add_options_of_waiting(parser)
    add_options_of_webhooks(parser)
    named = parser.parse_args(arguments)
    if unknown := set(named.parts) - set(_PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    for part in named.parts or _PARTS:
        _run(part, Options.of(named), HookOptions.of(named))
    return 0


def _run(part: str, waiting: Options, webhooks: HookOptions) -> None:
    if part == "transfer":
        from benchmarks.transfer.measure import main as measure_transfer

        measure_transfer()
    elif part == "pace":
        from benchmarks.pace import main as measure_pace

        sys.stdout.write(f"{measure_pace()}\n")
    elif part == "waiting":
        from benchmarks.waiting.measure import main as measure_waiting

        measure_waiting(waiting)
    else:
        from benchmarks.webhooks.measure import main as measure_webhooks

        measure_webhooks(webhooks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
