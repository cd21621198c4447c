"""What can be asked of the measuring of webhooks: loads nothing but the standard library."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Database", "HookOptions", "add_options"]

Database = Literal["sqlite", "postgresql"]

_DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")
_RATES = (5.0, 20.0)  # deliveries a second
_PACED, _EARLY, _AT_ONCE = 200, 60, 500  # jobs


@dataclass(frozen=True)
class HookOptions:
    """What is measured.

    :param paced: jobs at each rate.
    :param early: jobs of which is told before their tasks may be resumed.
    :param at_once: jobs that end together.
    :param json: a file for all figures.
    """

    databases: tuple[Database, ...]
    rates: tuple[float, ...]
    paced: int
    early: int
    at_once: int
    json: Path | None

    @classmethod
    def of(cls, named: argparse.Namespace) -> HookOptions:
        """Return the options that a command line names."""
        return cls(
            databases=tuple(named.databases),
            rates=tuple(named.rates),
            paced=named.paced,
            early=named.early,
            at_once=named.at_once,
            json=named.hooks_json,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Name the options of this part."""
    parser.add_argument("--databases", nargs="+", choices=_DATABASES, default=_DATABASES, help="of the webhooks")
    parser.add_argument(
        "--rates", nargs="+", type=float, default=_RATES, metavar="n", help="deliveries a second (5 20)"
    )
    parser.add_argument("--paced", type=int, default=_PACED, help=f"jobs at each rate; 0 = leave it out ({_PACED})")
    parser.add_argument("--early", type=int, default=_EARLY, help=f"jobs that are told of too soon ({_EARLY})")
    parser.add_argument("--at-once", type=int, default=_AT_ONCE, help=f"jobs that end together ({_AT_ONCE})")
    parser.add_argument("--hooks-json", type=Path, help="file for all figures of the webhooks")
