"""Counts the schedules that really ran, by what really happened in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.reliability.plan import Cell, Death, Fault, Moment, Plan, Way, all_cells, loses_answers, why_impossible
from tests.reliability.story import Brought, Story

__all__ = ["LEAST", "LEAST_BROUGHT", "LEAST_IN_ALL", "TALLY", "Tally"]

LEAST = 20  # schedules in each cell that can happen
LEAST_IN_ALL = 2_000
LEAST_BROUGHT = 15  # ids that were lost and came back, at each moment at which a webhook may come


@dataclass
class Tally:
    """What was counted.

    :param cells: schedules by the cell that happened in them; those with no second try are in none.
    :param drawn: cells that schedules were drawn for.
    :param brought: ids that were lost and that a webhook brought, by when it came.
    :param asked: schedules of cells where answers are lost, by whether webhooks were asked for.
    """

    cells: Counter[Cell] = field(default_factory=Counter)
    drawn: set[Cell] = field(default_factory=set)
    brought: Counter[str] = field(default_factory=Counter)
    asked: Counter[bool] = field(default_factory=Counter)
    schedules: int = 0
    submits: int = 0
    seconds: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether every cell was tried, not a part of them alone."""
        return self.drawn == set(all_cells())

    def count(self, plan: Plan, story: Story, cell: Cell | None, *, seconds: float) -> None:
        """Count a schedule that was run and judged.

        :param cell: that really happened.
        """
        self.schedules += 1
        self.submits += len(story.submits)
        self.seconds += seconds
        self.brought.update(event.when for event in story.all(Brought))
        if loses_answers(plan.cell):
            self.asked[plan.webhooks] += 1
        if cell is not None:
            self.cells[cell] += 1

    def too_few(self) -> dict[str, int]:
        """Return the cells that can happen and did not often enough."""
        return {
            f"{cell.fault.value} × {cell.death.value} × {cell.way.value}": self.cells[cell]
            for cell in all_cells()
            if why_impossible(cell) is None and self.cells[cell] < LEAST
        }

    def _least(self) -> int:
        """Return the count of the rarest cell that can happen."""
        return min(self.cells[cell] for cell in all_cells() if why_impossible(cell) is None)

    def too_rarely_brought(self) -> dict[str, int]:
        """Return the moments at which too few ids came back."""
        moments = [moment.value for moment in Moment if moment is not Moment.NEVER]
        return {moment: self.brought[moment] for moment in moments if self.brought[moment] < LEAST_BROUGHT}

    def report(self) -> list[str]:
        """Return all the counts, in lines; none if nothing was run."""
        if not self.schedules:
            return []
        return [
            *self._table(),
            f"{self.schedules} schedules, {self.submits} paid jobs, {self.seconds:.0f} s; "
            f"at least {self._least()} in each cell that can happen",
            *(f"{number} lost ids came back by a webhook, {when}" for when, number in self.brought.most_common()),
            f"webhooks were asked for in {self.asked[True]} of {self.asked.total()} schedules where answers are lost",
        ]

    def _table(self) -> list[str]:
        """Return the counts: a row for a fault, a column for a death, ``retry/clear`` in each; - is impossible."""
        deaths = list(Death)
        lines = [f"{letter}  {death.value}" for letter, death in zip("0ABCDEFGHIJK", deaths, strict=True)]
        width = max(len(fault.value) for fault in Fault)
        lines += ["", " " * width + "".join(f"{letter:>9}" for letter in "0ABCDEFGHIJK")]
        for fault in Fault:
            lines.append(fault.value.ljust(width) + "".join(f"{self._entry(fault, death):>9}" for death in deaths))
        return [*lines, *(f"-  {why}" for why in dict.fromkeys(filter(None, map(why_impossible, all_cells()))))]

    def _entry(self, fault: Fault, death: Death) -> str:
        cells = [Cell(fault, death, way) for way in Way]
        return "/".join("-" if why_impossible(cell) else str(self.cells[cell]) for cell in cells)


TALLY = Tally()
