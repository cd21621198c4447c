"""Thousands of schedules: whatever fails, dies, is retried or cleared, nothing is paid for that nobody asked for."""

from __future__ import annotations

import pytest

from tests.reliability.conftest import Run
from tests.reliability.holding import hold
from tests.reliability.law import Broken
from tests.reliability.mutants import MUTANTS, Mutant
from tests.reliability.plan import Cell, all_cells, why_impossible
from tests.reliability.tally import LEAST, LEAST_IN_ALL, TALLY, Tally

_TRIED = LEAST + 3  # a few do not meet what they were drawn for
_TRIED_IF_IMPOSSIBLE = 10


def _name(cell: Cell) -> str:
    return f"{cell.fault.value} x {cell.death.value} x {cell.way.value}"


@pytest.mark.parametrize("cell", all_cells(), ids=_name)
def test_the_law_holds(cell: Cell, run: Run) -> None:
    hold(cell, run, schedules=_TRIED_IF_IMPOSSIBLE if why_impossible(cell) else _TRIED, tally=TALLY)


def test_every_cell_that_can_happen_happened_often_enough() -> None:
    if not TALLY.is_whole:
        pytest.skip("only a part of the cells was run")
    assert TALLY.too_few() == {}
    assert TALLY.schedules >= LEAST_IN_ALL


def test_what_is_called_impossible_never_happened() -> None:
    if not TALLY.is_whole:
        pytest.skip("only a part of the cells was run")
    assert {_name(cell): TALLY.cells[cell] for cell in all_cells() if why_impossible(cell) and TALLY.cells[cell]} == {}


def test_ids_that_were_lost_came_back_often_enough_at_every_moment() -> None:
    if not TALLY.is_whole:
        pytest.skip("only a part of the cells was run")
    assert TALLY.too_rarely_brought() == {}
    assert 0.35 < TALLY.asked[True] / TALLY.asked.total() < 0.65


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_law_notices_if(mutant: Mutant, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.change(monkeypatch)
    with pytest.raises(Broken, match=mutant.broken):
        _hold_all(mutant.cells, run)


def _hold_all(cells: tuple[Cell, ...], run: Run) -> None:
    for cell in cells:
        hold(cell, run, schedules=LEAST, tally=Tally(), shrinks=False)
