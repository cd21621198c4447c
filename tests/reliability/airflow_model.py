"""A small model of Airflow: the tries of one task instance, what outlives them, and who may still write what.

Taken from Airflow 3.3's source: a clear sets ``max_tries`` to the try number plus ``retries`` as they are then; every
clear in the run moves ``clear_number``; every new try has another identity, and a process of an old one is turned away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason

from tests.support.tasks import FakeStateStore, FakeTaskInstance

__all__ = ["Airflow", "State", "Ticket"]


class State(StrEnum):
    """Of the task instance, in Airflow's words; ``none`` is what it calls None."""

    NONE = "none"
    QUEUED = "queued"  # to come back from its trigger
    RUNNING = "running"
    RESTARTING = "restarting"  # cleared while it ran
    DEFERRED = "deferred"
    UP_FOR_RETRY = "up_for_retry"
    FAILED = "failed"
    SUCCESS = "success"


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a worker is told when it starts.

    :param identity: of this try; it is turned away once Airflow has another.
    :param should_retry: what becomes of this try if it fails.
    :param cleared: whether a person cleared the task since the last try.
    :param resume: method and arguments to come back with; None = a new try.
    """

    identity: int
    try_number: int
    max_tries: int
    clear_number: int
    should_retry: bool
    cleared: bool
    resume: tuple[str, dict[str, Any]] | None = None


@dataclass
class Airflow:
    """One task instance, alone in its run but for one other task.

    :param retries: of the DAG as it is written now.
    :param empties_store: ``[state_store] clear_on_success``.
    """

    retries: int = 0
    empties_store: bool = False
    max_tries: int = 0
    try_number: int = 0
    clear_number: int = 0
    identity: int = 0
    state: State = State.NONE
    cleared: bool = False
    store: FakeStateStore = field(default_factory=FakeStateStore)
    xcoms: dict[str, Any] = field(default_factory=dict)
    deferred: Any = None
    resume: tuple[str, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        self.max_tries = self.retries

    # What the scheduler and the workers do.

    def begin(self) -> Ticket:
        """Start a process: of a new try, or of one that comes back from its trigger."""
        resume = self.resume if self.state is State.QUEUED else None
        cleared = False
        if resume is None:
            assert self.state in (State.NONE, State.UP_FOR_RETRY), self.state
            self.try_number, self.xcoms = self.try_number + 1, {}
            cleared, self.cleared = self.cleared, False
        self.state, self.resume, self.deferred = State.RUNNING, None, None
        return Ticket(
            identity=self.identity,
            try_number=self.try_number,
            max_tries=self.max_tries,
            clear_number=self.clear_number,
            should_retry=self._may_retry(),
            cleared=cleared,
            resume=resume,
        )

    def knows(self, ticket: Ticket) -> bool:
        """Whether a process is that of the present try; the state store and XCom turn all others away."""
        return ticket.identity == self.identity

    def takes_end(self, ticket: Ticket) -> bool:
        """Whether a process may say how it ended."""
        return self.knows(ticket) and self.state is State.RUNNING

    def succeed(self, ticket: Ticket) -> bool:
        """Record a success; False = it was refused."""
        if not self.takes_end(ticket):
            return False
        self.state = State.SUCCESS
        if self.empties_store:
            self.store.rows.clear()
        return True

    def defer(self, ticket: Ticket, deferred: Any) -> None:
        """Record a deferral, unless it is refused."""
        if self.takes_end(ticket):
            self.state, self.deferred = State.DEFERRED, deferred

    def fail(self, ticket: Ticket, *, for_good: bool = False) -> None:
        """Record a failure: what a process said, or that it is gone."""
        if self.takes_end(ticket):
            self._end_of_try(may_retry=ticket.should_retry and not for_good)

    def gone(self, *, tells_success: bool) -> None:
        """See that the process of a task that was cleared while it ran is gone, and let the next try come.

        :param tells_success: what the executor reports; ``max_tries`` is lifted only then.
        """
        if self.state is State.RESTARTING:
            if tells_success:
                self.max_tries = self.try_number + self.retries
            self._new_try(State.NONE)

    def fire(self, event: dict[str, Any]) -> None:
        """Take the event of a trigger."""
        arguments = {**(self.deferred.kwargs or {}), "event": event}
        self.state, self.resume = State.QUEUED, (self.deferred.method_name, arguments)

    def lose_trigger(self, *, timed_out: bool) -> None:
        """Give a trigger up: its time is over, or it broke; what it was deferred with is lost."""
        reason = TriggerFailureReason.TRIGGER_TIMEOUT if timed_out else TriggerFailureReason.TRIGGER_FAILURE
        arguments: dict[str, Any] = {"error": reason} | ({} if timed_out else {"traceback": ["KeyError: 'x'\n"]})
        self.state, self.resume = State.QUEUED, (TRIGGER_FAIL_REPR, arguments)

    def race(self) -> None:
        """Take a task that comes back from its trigger for dead, as the scheduler does if it comes back too soon."""
        self._end_of_try(may_retry=self._may_retry())

    # What people do.

    def clear(self, retries: int | None = None) -> None:
        """Clear this task.

        :param retries: of the DAG from now on; None = as they were.
        """
        self.retries = self.retries if retries is None else retries
        self.clear_number += 1
        self.cleared = True
        if self.state is State.RUNNING:
            self.state = State.RESTARTING
            self.identity += 1
            return
        self.max_tries = self.try_number + self.retries
        self._new_try(State.NONE)

    def clear_other(self) -> None:
        """Clear another task of the run."""
        self.clear_number += 1

    def mark(self, state: State) -> None:
        """Mark this task as failed or as a success."""
        self.state, self.resume, self.deferred = state, None, None

    # Its insides.

    def _may_retry(self) -> bool:
        return self.max_tries != 0 and self.try_number <= self.max_tries

    def _end_of_try(self, *, may_retry: bool) -> None:
        self.state, self.resume, self.deferred = State.FAILED, None, None
        if may_retry:
            self._new_try(State.UP_FOR_RETRY)

    def _new_try(self, state: State) -> None:
        self.state, self.resume, self.deferred = state, None, None
        self.identity += 1

    def task_instance(self, ticket: Ticket) -> FakeTaskInstance:
        """Return the task instance of a process' context."""
        ti = FakeTaskInstance(try_number=ticket.try_number, max_tries=ticket.max_tries)
        ti.xcoms = self.xcoms
        return ti

    def dag_run(self, ticket: Ticket, *, tells_clear_number: bool) -> SimpleNamespace:
        """Return the run of a process' context."""
        return SimpleNamespace(clear_number=ticket.clear_number) if tells_clear_number else SimpleNamespace()
