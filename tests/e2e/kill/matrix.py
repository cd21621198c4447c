"""All scenarios at once in one Airflow, and the table of what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from tests.e2e.kill.run import Cost, Run
from tests.e2e.kill.scenarios import Scenario
from tests.e2e.kill.stage import Stage

MOST_SPOILT = 2  # runs of a scenario


@dataclass
class Outcome:
    """How one scenario ended.

    Args:
        spoilt: runs before it that failed, and of which the scheduler had failed a task.
    """

    run: Run
    spoilt: list[Run] = field(default_factory=list)
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def cost(self) -> Cost:
        return self.run.costs[-1]


@dataclass
class Played:
    """What is left when all scenarios are over; the Airflow is still up."""

    stage: Stage
    outcomes: dict[str, Outcome]
    seconds: float

    def runs(self) -> Iterable[Run]:
        """All that were started."""
        return (run for outcome in self.outcomes.values() for run in (*outcome.spoilt, outcome.run))

    def costs(self) -> Iterable[Cost]:
        return (cost for run in self.runs() for cost in run.costs)

    def table(self) -> str:
        rows = [("scenario", "tries", "charged", "state")]
        rows += [(cost.scenario, str(cost.tries), str(cost.charged), cost.state) for cost in self.costs()]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def play_all(stage: Stage, scenarios: Mapping[str, Scenario]) -> Played:
    """Play the scenarios, many at once, and the outage when only those are left that wait for it."""
    began = time.monotonic()
    outcomes = {name: Outcome(Run(stage, name, scenario.dag_id, scenario.conf)) for name, scenario in scenarios.items()}
    with ThreadPoolExecutor(max_workers=stage.pace.scenarios) as pool:
        plays = [pool.submit(_play, scenario, outcomes[name]) for name, scenario in scenarios.items()]
        stage.outage.run(stage.airflow, stage.board, plays)
        wait(plays)
    return Played(stage, outcomes, time.monotonic() - began)


def _play(scenario: Scenario, outcome: Outcome) -> None:
    """Play it; again if it failed and the scheduler's race (apache/airflow#71580) may be why.

    On a machine under load the race strikes after any deferral, however long. It is Airflow's, costs nothing, and two
    scenarios provoke it; the others are about something else.
    """
    began = time.monotonic()
    outcome.error = _play_run(scenario, outcome.run)
    while outcome.error and outcome.run.mismatches() and len(outcome.spoilt) < MOST_SPOILT:
        outcome.spoilt.append(outcome.run)
        outcome.run = outcome.run.again()
        outcome.error = _play_run(scenario, outcome.run)
    outcome.seconds = time.monotonic() - began


def _play_run(scenario: Scenario, run: Run) -> Exception | None:
    try:
        run.start()
        scenario.play(run)
    except Exception as error:
        return error
    finally:
        run.let_all_go()
        run.note_cost()
    return None
