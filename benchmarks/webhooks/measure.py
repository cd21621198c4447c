"""Measures all loads on each database and tells: one table, and whether the goals are met."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.webhooks.loads import Seen, all_at_once, early, paced
from benchmarks.webhooks.options import Database, HookOptions
from benchmarks.webhooks.stage import open_stage
from benchmarks.webhooks.table import Results, judge, render
from tests.runner.database import is_postgresql_reachable

__all__ = ["main"]


def main(options: HookOptions) -> Results:
    """Measure and tell; return the figures."""
    results: dict[str, list[Seen]] = {}
    for database in options.databases:
        if database == "postgresql" and not is_postgresql_reachable():
            _tell("nobody listens at the PostgreSQL server (TEST_POSTGRESQL): left out")
            continue
        results[database] = list(_measure(database, options))
    sys.stdout.write(f"{render(results)}\n\n" + "".join(f"- {goal}\n" for goal in judge(results)))
    sys.stdout.flush()
    if options.json is not None:
        figures = {database: [asdict(seen) for seen in loads] for database, loads in results.items()}
        options.json.write_text(json.dumps(figures, indent=2))
    return results


def _measure(database: Database, options: HookOptions) -> Iterator[Seen]:
    at_rates = {f"paced_{rate:g}": rate for rate in options.rates if options.paced}
    loads = {**dict.fromkeys(at_rates, options.paced), "early": options.early, "at_once": options.at_once}
    _tell(f"{database}: Airflow starts")
    with open_stage(database, {name: jobs for name, jobs in loads.items() if jobs}) as stage:
        for name, rate in at_rates.items():
            _tell(f"{database}: {options.paced} jobs, {rate:g} deliveries a second")
            yield paced(stage, name, options.paced, rate=rate)
        if options.early:
            _tell(f"{database}: {options.early} early deliveries")
            yield early(stage, "early", options.early)
        if options.at_once:
            _tell(f"{database}: {options.at_once} jobs that end at once")
            yield all_at_once(stage, "at_once", options.at_once)


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
