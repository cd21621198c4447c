"""A schedule before it happens: its cell (fault, death, retry or clear), and everything else that is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = [
    "LOST_ANSWERS",
    "Cell",
    "Death",
    "Decision",
    "Fate",
    "Fault",
    "Manner",
    "MemoryFault",
    "Misfortune",
    "Moment",
    "Plan",
    "Trigger",
    "Way",
    "all_cells",
    "loses_answers",
    "why_impossible",
]


class Fault(StrEnum):
    """What goes wrong besides a death."""

    NONE = "nothing"
    LOST = "submit: answer lost"
    ACCEPTED_5XX = "submit: 5xx, accepted"
    REFUSED_5XX = "submit: 5xx, refused"
    SLOW_DOWN = "submit: 429"
    GARBLED = "submit: answer garbled"
    UNREACHABLE = "no connection"
    LOOKS = "looks fail"
    ENDS_BADLY = "job ends badly"
    NEVER_ENDS = "job outlives deadline"
    INTENT = "intent not writable"
    ID = "id not writable"
    INPUTS = "inputs change"


class Death(StrEnum):
    """Where a process dies, in the order of a try's life."""

    NONE = "none"
    BEFORE_INTENT = "before the intent is written"
    BEFORE_POST = "before the POST leaves"
    BEFORE_ANSWER = "before its answer is read"
    BEFORE_ID = "before the id is written"
    BEFORE_HANDOVER = "before XCom, or before Airflow knows of the deferral"
    WAITING = "while waiting: triggerer, or worker in place"
    ON_RESUME = "in execute_complete"
    RACE = "taken for dead as it comes back (scheduler's race)"
    BEFORE_FAILURE = "after an error, before Airflow knows"
    BEFORE_SUCCESS = "after the return, before Airflow knows"
    BEFORE_CALLBACK = "after the success is known, before the callback"


class Way(StrEnum):
    """How the next try came about."""

    RETRY = "retry"
    CLEAR = "clear"


class Manner(StrEnum):
    """How a process is hit."""

    KILLED = "SIGKILL"
    CLEARED = "cleared while it runs, then SIGKILL"
    MARKED = "marked failed while it runs, then SIGKILL"
    CLEARED_ALIVE = "cleared while it runs, and it goes on"
    MARKED_ALIVE = "marked failed while it runs, and it goes on"


class Trigger(StrEnum):
    """What becomes of a trigger."""

    FIRES = "fires"
    TIMED_OUT = "the triggerer never came back"
    BROKE = "it broke"


class Decision(StrEnum):
    """What a person does about an error that is not retried."""

    LOOK_AGAIN = "clears and changes nothing"
    RESUBMIT = "asks for a resubmit, and clears"
    ADOPT = "names the job of the dashboard, and clears"
    LEAVE = "leaves it"
    REATTACH = "asks to take the job all the same, and clears"
    BACK = "puts the old inputs back, and clears"


class MemoryFault(StrEnum):
    """How a write is not confirmed."""

    NONE = "none"
    REFUSED = "nothing is written"
    STORED = "it is written, but the answer is an error"
    UNREADABLE = "it is written, but cannot be read back"


class Moment(StrEnum):
    """When the vendor's webhook about a job arrives."""

    NEVER = "never"
    ANSWER = "before the answer of its submit is read"
    SOON = "in the first seconds of a deferral"
    WAITING = "while the task waits"
    BETWEEN = "between two tries"
    CLEARED = "after a clear"
    BEGINNING = "while the next try begins"
    LATE = "after the deadline"


@dataclass(frozen=True)
class Cell:
    """What is counted."""

    fault: Fault
    death: Death
    way: Way


@dataclass(frozen=True)
class Misfortune:
    """A death that is to come.

    :param later: at the later of the two moments that a point has.
    """

    point: Death
    manner: Manner = Manner.KILLED
    later: bool = False


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of the webhook about one job.

    :param twice: whether it comes once more, with the next step.
    :param seconds: since the submit, at the least, where it comes while the task waits.
    """

    moment: Moment
    twice: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One schedule.

    :param rules: the sandbox's fault plan.
    :param ends: of each job that is looked at, in turn: at which look it has ended, and as what.
    :param http_timeout: seconds, of the first submit.
    :param unreachable_tries: tries that find no connection.
    :param memory_fault: of the intent or of the id, as the fault says.
    :param memory_fault_times: writes that it hits.
    :param end_refused: whether the memory takes no write after the success.
    :param memory: ``store`` (Airflow 3.3), ``object`` (before, with ``ledger_path``), ``both``, or ``none``.
    :param empties_store: whether Airflow forgets the state of a task that succeeds (``clear_on_success``).
    :param signs: whether the media's URL is signed anew on every try.
    :param later: misfortunes of the tries after the cell's own, one each.
    :param ways: what follows a failure that Airflow would retry, after the cell's own way; then retries.
    :param retries_at_clear: what ``retries`` is when somebody clears; None = as it was.
    :param marks: what a person marks the task as, just before a clear.
    :param others: whether another task of the run is cleared before a step.
    :param changes: for changing inputs: whether a try after a purchase has new ones; then, if none had them yet.
    :param unreadable: whether a try cannot read the memory at first, after the cell has happened.
    :param again: whether a person clears a success, to have another video.
    :param webhooks: whether the connection has the extras of the webhook receiver.
    :param fates: of the webhooks, job by job in the order of their submits; then none comes.
    """

    cell: Cell
    misfortune: Misfortune
    rules: tuple[Mapping[str, Any], ...] = ()
    ends: tuple[tuple[int, str], ...] = ((1, "completed"),)
    http_timeout: float = 30.0
    unreachable_tries: int = 0
    memory_fault: MemoryFault = MemoryFault.NONE
    memory_fault_times: int = 0
    end_refused: bool = False
    memory: str = "store"
    empties_store: bool = False
    tells_clear_number: bool = True
    retries: int = 0
    deferrable: bool = True
    waits: bool = True
    job_timeout: float = 1800.0
    on_clear: str = "auto"
    on_ambiguous_submit: str | None = None
    on_changed_input: str = "fail"
    signs: bool = False
    later: tuple[Misfortune | None, ...] = ()
    follow_up: Death = Death.RACE
    ways: tuple[Way, ...] = ()
    retries_at_clear: tuple[int | None, ...] = ()
    marks: tuple[str | None, ...] = ()
    others: tuple[bool, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    decisions: tuple[Decision, ...] = ()
    changes: tuple[bool, ...] = ()
    unreadable: tuple[bool, ...] = ()
    again: bool = False
    webhooks: bool = False
    fates: tuple[Fate, ...] = ()


_NEVER_FAILS = (Fault.NONE, Fault.ID, Fault.INPUTS)


def why_impossible(cell: Cell) -> str | None:
    """Return why a cell cannot happen, in one sentence; None = it can, and must."""
    if cell.way is Way.RETRY and cell.death is Death.BEFORE_CALLBACK:
        return "the success is recorded by then, and Airflow retries only what failed"
    if cell.way is Way.RETRY and cell.death is Death.NONE and cell.fault in _NEVER_FAILS:
        return "the try succeeds in spite of the fault, and Airflow retries only what failed"
    return None


LOST_ANSWERS = (Fault.LOST, Fault.ACCEPTED_5XX, Fault.GARBLED)


def loses_answers(cell: Cell) -> bool:
    """Whether a job is bought in it of which nobody heard the id."""
    return cell.fault in LOST_ANSWERS or cell.death in (Death.BEFORE_ANSWER, Death.BEFORE_ID)


def all_cells() -> tuple[Cell, ...]:
    """Return every combination."""
    return tuple(Cell(fault, death, way) for fault in Fault for death in Death for way in Way)
