"""Counts the schedules that really ran, by what really happened in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.reliability.plan import Cell, Death, Fault, Way, all_cells, why_impossible

__all__ = ["LEAST", "LEAST_IN_ALL", "TALLY", "Tally"]

LEAST = 20  # schedules in each cell that can happen
LEAST_IN_ALL = 2_000


@dataclass
class Tally:
    """What was counted.

    :param cells: schedules by the cell that happened in them; those with no second try are in none.
    :param drawn: cells that schedules were drawn for.
    """

    cells: Counter[Cell] = field(default_factory=Counter)
    drawn: set[Cell] = field(default_factory=set)
    schedules: int = 0
    submits: int = 0
    seconds: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether every cell was tried, not a part of them alone."""
        return self.drawn == set(all_cells())

    def count(self, cell: Cell | None, *, submits: int, seconds: float) -> None:
        """Count a schedule that was run and judged."""
        self.schedules += 1
        self.submits += submits
        self.seconds += seconds
        if cell is not None:
            self.cells[cell] += 1

    def too_few(self) -> dict[str, int]:
        """Return the cells that can happen and did not often enough."""
        return {
            f"{cell.fault.value} × {cell.death.value} × {cell.way.value}": self.cells[cell]
            for cell in all_cells()
            if why_impossible(cell) is None and self.cells[cell] < LEAST
        }

    def least(self) -> int:
        """Return the count of the rarest cell that can happen."""
        return min(self.cells[cell] for cell in all_cells() if why_impossible(cell) is None)

    def table(self) -> list[str]:
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
