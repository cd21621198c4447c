"""Draws the plan of a schedule for a cell: the cell says what must happen, hypothesis says all the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.reliability.drawing_webhooks import webhooks
from tests.reliability.plan import (
    Cell,
    Death,
    Decision,
    Fault,
    Manner,
    MemoryFault,
    Misfortune,
    Plan,
    Trigger,
    Way,
)

__all__ = ["plans"]

Item = TypeVar("Item")
Draw = Callable[[st.SearchStrategy[Item]], Item]
Strategy = st.SearchStrategy[Any]

_UNCERTAIN = (Fault.LOST, Fault.ACCEPTED_5XX, Fault.REFUSED_5XX, Fault.GARBLED)
_NEED_WAITING = (Fault.LOOKS, Fault.ENDS_BADLY, Fault.NEVER_ENDS)
_NEED_DEFERRAL = (Death.ON_RESUME, Death.RACE)
_ENDED_WELL = (Death.BEFORE_SUCCESS, Death.BEFORE_CALLBACK)


@st.composite
def plans(draw: Draw[Any], cell: Cell) -> Plan:
    """Draw a schedule in which a cell happens."""
    shape = _shape(draw, cell)
    free = {name: draw(strategy) for name, strategy in _FREE.items()} | {"ends": _ends(draw, shape)}
    drawn = free | _details(draw, cell, shape) | shape | _wishes(draw, cell)
    told = webhooks(draw, cell, drawn, must_fail=_must_fail(cell), asks=_fails_by_doubt(cell))
    return Plan(cell=cell, misfortune=_misfortune(draw, cell, shape), **(drawn | told))


def _rarely(seldom: Any, usual: Any) -> Strategy:
    return st.sampled_from([usual, usual, usual, usual, seldom])


def _few(items: Strategy) -> Strategy:
    return st.lists(items, max_size=3).map(tuple)


# What a cell seldom says anything about.
_FREE: dict[str, Strategy] = {
    "end_refused": _rarely(True, False),
    "empties_store": _rarely(True, False),
    "tells_clear_number": _rarely(False, True),
    "signs": st.booleans(),
    "later": _few(
        st.one_of(
            st.none(),
            st.builds(
                Misfortune,
                st.sampled_from([point for point in Death if point is not Death.NONE]),
                st.sampled_from(Manner),
                st.booleans(),
            ),
        )
    ),
    "follow_up": st.sampled_from([Death.RACE, Death.ON_RESUME]),
    "ways": _few(st.sampled_from(Way)),
    "retries_at_clear": _few(st.sampled_from([None, 0, 1, 2])),
    "marks": _few(st.sampled_from([None, None, "failed", "success"])),
    "others": _few(st.booleans()),
    "triggers": _few(st.sampled_from([Trigger.FIRES, Trigger.FIRES, Trigger.TIMED_OUT, Trigger.BROKE])),
    "decisions": _few(st.sampled_from(Decision)),
    "changes": st.lists(st.booleans(), max_size=2).map(tuple),
    "unreadable": _few(_rarely(True, False)),
    "again": _rarely(True, False),
}
_YES_OR_NO = st.booleans()
_MEMORY = st.sampled_from(["store", "store", "store", "object", "both", "none"])
_LEDGER = st.sampled_from(["store", "store", "object", "both"])
_WAITS = _rarely(False, True)
_MANNERS = st.sampled_from([Manner.KILLED, Manner.CLEARED, Manner.MARKED])
_ON_CLEAR = st.sampled_from(["auto", "auto", "auto", "resubmit", "reuse"])
_ON_CLEAR_IN_DOUBT = st.sampled_from(["auto", "reuse"])
_ON_AMBIGUOUS_SUBMIT = _rarely("resubmit", None)
_ON_CHANGED_INPUT = st.sampled_from(["fail", "fail", "fail", "reattach", "resubmit"])
_FEW_LOOKS = st.integers(1, 4)


def _fails_by_doubt(cell: Cell) -> bool:
    """Whether the one try that can fail is that after a success: it does not know what was bought."""
    return cell.death is Death.BEFORE_FAILURE and cell.fault in (Fault.NONE, Fault.INPUTS, Fault.ID)


def _must_fail(cell: Cell) -> bool:
    """Whether a try has to end by the fault alone."""
    return cell.death is Death.BEFORE_FAILURE or (cell.death is Death.NONE and cell.way is Way.RETRY)


def _must_be_held(cell: Cell) -> bool:
    """Whether the task may not be deferred: one that is submits again later, and does not fail."""
    return cell.fault is Fault.SLOW_DOWN and _must_fail(cell)


@cache
def _retries(least: int) -> Strategy:
    return st.integers(least, 2)


def _shape(draw: Draw[Any], cell: Cell) -> dict[str, Any]:
    """Draw how the task is written, as far as the cell leaves it free."""
    must_wait = cell.fault in _NEED_WAITING or cell.death in (*_NEED_DEFERRAL, Death.WAITING)
    must_remember = cell.fault in (Fault.INTENT, Fault.ID) or cell.death in (Death.BEFORE_INTENT, Death.BEFORE_ID)
    memory = _LEDGER if must_remember else _MEMORY
    if _fails_by_doubt(cell) and not must_remember:
        memory = st.just("none")
    return {
        "memory": draw(memory),
        "retries": draw(_retries(1 if cell.way is Way.RETRY else 0)),
        "deferrable": cell.death in _NEED_DEFERRAL or (draw(_YES_OR_NO) and not _must_be_held(cell)),
        "waits": must_wait or draw(_WAITS),
    }


def _misfortune(draw: Draw[Any], cell: Cell, shape: dict[str, Any]) -> Misfortune:
    is_in_a_worker = not (cell.death is Death.WAITING and shape["deferrable"])
    may_be_struck = cell.way is Way.CLEAR and cell.death not in (Death.NONE, Death.RACE) and is_in_a_worker
    return Misfortune(
        cell.death,
        draw(_MANNERS) if may_be_struck else Manner.KILLED,
        later=_has_later_moment(cell, shape) and draw(_YES_OR_NO),
    )


def _has_later_moment(cell: Cell, shape: dict[str, Any]) -> bool:
    """Whether the second moment of a point comes, too."""
    match cell.death:
        case Death.BEFORE_HANDOVER:
            return bool(shape["deferrable"] and shape["waits"])
        case Death.ON_RESUME:
            return bool(shape["memory"] != "none")
        case _:
            return cell.death is Death.WAITING


def _wishes(draw: Draw[Any], cell: Cell) -> dict[str, Any]:
    wants_twice = cell.fault in _UNCERTAIN and cell.death is Death.NONE and cell.way is Way.RETRY
    asks = _fails_by_doubt(cell)
    on_ambiguous_submit = st.just("resubmit") if wants_twice else st.none() if asks else _ON_AMBIGUOUS_SUBMIT
    return {
        "on_clear": draw(_ON_CLEAR_IN_DOUBT if asks else _ON_CLEAR),
        "on_ambiguous_submit": draw(on_ambiguous_submit),
        "on_changed_input": draw(_ON_CHANGED_INPUT),
    }


def _ends(draw: Draw[Any], shape: dict[str, Any]) -> tuple[tuple[int, str], ...]:
    """Draw when jobs end: at the first look, or (so that there is something to wait for) later."""
    return tuple((draw(_FEW_LOOKS) if shape["waits"] else 1, "completed") for _ in range(2))


def _details(draw: Draw[Any], cell: Cell, shape: dict[str, Any]) -> dict[str, Any]:
    """Draw how exactly the fault shows itself, and what it needs of the jobs."""
    found: dict[str, Any] = dict(draw(_of_fault(cell)))
    if cell.death in (Death.WAITING, *_NEED_DEFERRAL, Death.BEFORE_HANDOVER) and shape["waits"]:
        ends = found.get("ends") or _ends(draw, shape)
        found["ends"] = tuple((max(looks, 3), status) for looks, status in ends)
    return found


@cache
def _of_fault(cell: Cell) -> Strategy:
    """What a fault is, in detail; where nothing else makes a try fail, it does."""
    must_fail = _must_fail(cell)
    match cell.fault:
        case Fault.LOST:
            return _rarely(_late(), _rule(fault="drop_answer", times=1))
        case Fault.ACCEPTED_5XX | Fault.REFUSED_5XX:
            accepted = cell.fault is Fault.ACCEPTED_5XX
            statuses = st.sampled_from([500, 502, 503, 504])
            return statuses.map(lambda status: _rule(fault="status", status=status, accepted=accepted, times=1))
        case Fault.SLOW_DOWN:
            return st.sampled_from(_SLOW_DOWNS if must_fail else _SLOW_DOWNS + _SHORT_SLOW_DOWNS)
        case Fault.GARBLED:
            return st.sampled_from(_GARBLED if must_fail else [*_GARBLED, _rule(fault="truncated", bytes=55, times=1)])
        case Fault.UNREACHABLE:
            return st.integers(1, 2).map(lambda tries: {"unreachable_tries": tries})
        case Fault.LOOKS:
            return st.sampled_from(_BLIND) if must_fail else st.one_of(_passing_looks(), st.sampled_from(_BLIND))
        case Fault.ENDS_BADLY:
            return _FAILED if cell.death in _ENDED_WELL else st.one_of(_FAILED, _FAILED, _WITHOUT_VIDEO)
        case Fault.NEVER_ENDS:
            return st.integers(11, 16).map(
                lambda looks: {"job_timeout": 30.0, "ends": (*((looks, "completed"),) * 3, (2, "completed"))}
            )
        case Fault.INTENT:
            return _memory_faults([MemoryFault.REFUSED, MemoryFault.STORED, MemoryFault.UNREADABLE], [1, 2])
        case Fault.ID if must_fail:  # the try after a success does: it finds an intent
            return _memory_faults([MemoryFault.REFUSED], [30])
        case Fault.ID:  # a pause that the operator outlasts, or an outage that it does not
            return _memory_faults([MemoryFault.REFUSED, MemoryFault.REFUSED, MemoryFault.STORED], [1, 2, 3, 6, 7, 20])
        case Fault.INPUTS:
            return st.one_of(st.just({}), _HELD_AND_THEN_CHANGED)
        case _:
            return st.just({})


def _rule(**rule: Any) -> dict[str, Any]:
    return {"rules": (rule,)}


def _late() -> dict[str, Any]:
    return _rule(fault="late_answer", seconds=60, times=1) | {"http_timeout": 0.04}


_SLOW_DOWNS = [
    _rule(fault="status", status=429, retry_after=999, times=1),
    _rule(fault="status", status=429, times=4),
    _rule(fault="status", status=429, times=6),
]
_SHORT_SLOW_DOWNS = [
    _rule(fault="status", status=429, retry_after=2, times=1),
    _rule(fault="status", status=429, retry_after_date=5, times=2),
]
_GARBLED = [
    _rule(fault="truncated", bytes=0, times=1),
    _rule(fault="truncated", bytes=20, times=1),
    _rule(fault="malformed", times=1),
    _rule(fault="html", status=200, accepted=True, times=1),
    _rule(fault="html", status=502, accepted=True, times=1),
]
# Looks that fail until the try does.
_BLIND = [
    _rule(fault="status", on="query", status=401, times=5),
    _rule(fault="vanishes", looks=12, times=1),
]
_FAILED = st.builds(
    lambda looks, failed, then: {"ends": (*((looks, "failed"),) * failed, (then, "completed"))},
    _FEW_LOOKS,
    st.integers(2, 3),
    st.integers(1, 3),
)
_WITHOUT_VIDEO = _FEW_LOOKS.map(lambda looks: _rule(fault="no_output", times=3) | {"ends": ((looks, "completed"),)})
# The try after a clear re-attaches and is hit, too; the retry that follows is the first with other inputs.
_HELD = (Death.BEFORE_SUCCESS, Death.BEFORE_SUCCESS, Death.BEFORE_SUCCESS, Death.WAITING, Death.RACE)
_HELD_AND_THEN_CHANGED = st.sampled_from([Death.BEFORE_HANDOVER, *_HELD]).map(
    lambda point: {
        "changes": (False, True),
        "later": (Misfortune(point),),
        "ways": (Way.RETRY,),
        "retries_at_clear": (),
        "unreadable": (),
    }
)


def _passing_looks() -> Strategy:
    """Looks that fail a few times."""
    answers = st.builds(
        lambda answer, times: _rule(on="query", times=times, **answer),
        st.sampled_from(
            [
                {"fault": "status", "status": 503},
                {"fault": "status", "status": 429, "retry_after": 3},
                {"fault": "status", "status": 403},
                {"fault": "drop_answer"},
                {"fault": "malformed"},
                {"fault": "truncated"},
                {"fault": "html", "status": 502},
            ]
        ),
        _FEW_LOOKS,
    )
    jobs = st.builds(
        lambda fault, looks: _rule(fault=fault, looks=looks),
        st.sampled_from(["vanishes", "unknown_status"]),
        _FEW_LOOKS,
    )
    return st.one_of(answers, answers, jobs)


def _memory_faults(kinds: list[MemoryFault], times: list[int]) -> Strategy:
    return st.builds(
        lambda kind, number: {"memory_fault": kind, "memory_fault_times": number},
        st.sampled_from(kinds),
        st.sampled_from(times),
    )
