"""Draws whether the vendor tells of the jobs of a schedule, and when: so that its cell still happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.reliability.plan import LOST_ANSWERS, Cell, Death, Fate, Fault, Moment, loses_answers

__all__ = ["webhooks"]

Draw = Callable[[st.SearchStrategy[Any]], Any]
Strategy = st.SearchStrategy[Any]

_WHERE_IDS_ARE_LOST = st.sampled_from([True, False])
_ELSEWHERE = st.sampled_from([False, False, False, False, True])
_ANY = (*Moment, Moment.SOON, Moment.BEGINNING)
# Such a webhook ends no job before a try has failed, or has given it up.
_BEHIND = (Moment.NEVER, Moment.BETWEEN, Moment.CLEARED, Moment.BEGINNING, Moment.LATE)
_BRINGS_IDS = "store"  # the memory that is known to the receiver well enough


def webhooks(draw: Draw, cell: Cell, drawn: Mapping[str, Any], *, must_fail: bool, asks: bool) -> dict[str, Any]:
    """Draw the switch, the fates, and what goes with them.

    :param drawn: of the plan, without them.
    :param must_fail: whether a try has to end by the fault alone.
    :param asks: whether the only thing that can fail is a try that does not know what was bought.
    """
    if not draw(_WHERE_IDS_ARE_LOST if loses_answers(cell) else _ELSEWHERE):
        return {}
    if asks:
        return {"webhooks": True}
    first = _BEHIND if must_fail or cell.fault is Fault.NEVER_ENDS else _ANY
    told = {"webhooks": True, "fates": draw(_fates(first))}
    if loses_answers(cell):
        told["memory"] = draw(st.sampled_from([_BRINGS_IDS, drawn["memory"]]))
    if cell.death is Death.BEFORE_ID and drawn["on_clear"] == "reuse":
        told["on_clear"] = "auto"  # else the first job that comes back is handed on for good, and no other is bought
    if cell.fault in LOST_ANSWERS and "http_timeout" not in drawn:
        told |= _twice(draw, drawn)
    return told


def _twice(draw: Draw, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Draw whether the answer to another submit is lost, too, and whether the first job fails: then it is bought by the
    very try that waited for it.
    """
    [rule], (looks, status) = drawn["rules"], drawn["ends"][0]
    return {
        "rules": ({**rule, "times": draw(st.integers(1, 2))},),
        "ends": ((looks, draw(st.sampled_from([status, "failed"]))), *drawn["ends"][1:]),
    }


@cache
def _fates(first: tuple[Moment, ...]) -> Strategy:
    """The first job's webhook is the one that a cell is about; the one after it may come at any moment behind a try."""
    return st.tuples(_fate(first), _fate(_BEHIND))


@cache
def _fate(moments: tuple[Moment, ...]) -> Strategy:
    return st.builds(
        Fate,
        moment=st.sampled_from(moments),
        twice=st.sampled_from([False, False, True]),
        seconds=st.sampled_from([0.0, 15.0, 400.0]),
    )
