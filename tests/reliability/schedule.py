"""Runs one schedule: try after try against the sandbox, until it is at rest, and tells its story."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.reliability.airflow_model import Airflow, State, Ticket
from tests.reliability.boundary import Boundary, StoreOf, TaskInstanceOf
from tests.reliability.deliveries import Deliveries
from tests.reliability.persons import Persons
from tests.reliability.plan import Cell, Death, Fault, MemoryFault, Misfortune, Moment, Plan, Way
from tests.reliability.process import Killed, Process
from tests.reliability.receiver import EXTRAS
from tests.reliability.story import CalledBack, Cleared, Delivered, Emptied, Ended, Started, Story, Told
from tests.reliability.triggerer import Triggerer
from tests.reliability.vendor import KEY, Vendor

__all__ = ["Schedule"]

_MOST_STEPS = 80  # a job may need some thirty, where a webhook keeps the looks few
_SCHEDULING = 1.0  # seconds until a worker begins
_ASKED_AGAIN = 3  # videos that somebody wants after the first one, while the cell has not happened

Item = TypeVar("Item")


class Schedule:
    """One task instance from its first try to its rest.

    :param closed: base URL that nobody listens at.
    :param folder: for a ledger in object storage, empty.
    """

    def __init__(self, plan: Plan, *, vendor: Vendor, boundary: Boundary, closed: str, folder: str) -> None:
        self.plan, self.vendor, self.boundary = plan, vendor, boundary
        self._closed, self._folder = closed, folder
        self.airflow = Airflow(retries=plan.retries, empties_store=plan.empties_store)
        self.story = Story(
            has_memory=plan.memory != "none",
            brings_ids=plan.webhooks and plan.memory == "store",
            waits=plan.waits,
            job_timeout=plan.job_timeout,
            now=self.now,
        )
        self.jobs: list[str] = []
        self.armed: Misfortune | None = plan.misfortune
        self.way: Way | None = None
        self.has_died = plan.cell.death is Death.NONE
        self._dealt = plan.cell.fault is Fault.NONE
        self.has_asked = False  # anything of the vendor, since somebody looked whether the fault has shown itself
        self.last_number = 0  # of a process
        self._memory_faults_left = plan.memory_fault_times
        self._unreachable_left = plan.unreachable_tries
        self._asked_again = 0
        self._later, self._ways = iter(plan.later), iter(plan.ways)
        self._retries, self._marks = iter(plan.retries_at_clear), iter(plan.marks)
        self._others, self._unreadable = iter(plan.others), iter(plan.unreadable)
        self.deferred_at = 0.0  # on the clock of now()
        self.persons = Persons(self)
        self.deliveries, self._triggerer = Deliveries(self), Triggerer(self)

    # What happened.

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self.boundary.now

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Do something that no process of the schedule does."""
        process, self.boundary.process = self.boundary.process, None
        try:
            yield
        finally:
            self.boundary.process = process

    @property
    def cell(self) -> Cell | None:
        """The cell that really happened; None where there was no second try."""
        if self.way is None:
            return None
        return Cell(
            self.plan.cell.fault if self.is_dealt else Fault.NONE,
            self.plan.cell.death if self.has_died else Death.NONE,
            self.way,
        )

    @property
    def is_dealt(self) -> bool:
        """Whether the fault has shown itself."""
        if not self._dealt and self.plan.rules and self.has_asked:
            self._dealt, self.has_asked = self.vendor.fired() > 0, False
        return self._dealt

    @property
    def is_pending(self) -> bool:
        """Whether something of the cell is still to come."""
        return self.way is None or not self.has_died or not self.is_dealt

    def note_dealt(self, fault: Fault) -> None:
        """Hear that a fault has shown itself."""
        self._dealt = self._dealt or fault is self.plan.cell.fault

    def hit(self, point: Death) -> None:
        """Hear that a misfortune has happened."""
        self.has_died = self.has_died or point is self.plan.cell.death
        self.armed = None

    def next_number(self) -> int:
        self.last_number += 1
        return self.last_number

    # From step to step.

    def run(self) -> Story:
        """Run until the task has its video, or until only a person can decide."""
        self.vendor.begin(self.plan.rules, ends=self.plan.ends)
        for _ in range(_MOST_STEPS):
            if self._step():
                break
        else:
            self.story.rest = "restless"
        self.boundary.process = None
        self.story.submits = self.vendor.ledger()
        return self.story

    def _step(self) -> bool:
        """Do what comes next; return whether it is at rest."""
        if _next(self._others, False):
            self.airflow.clear_other()
        match self.airflow.state:
            case State.NONE | State.QUEUED:
                self._work()
            case State.DEFERRED:
                self.deliveries.come(Moment.SOON)
                if self.airflow.state is State.DEFERRED:
                    self._triggerer.run()
            case State.UP_FOR_RETRY:
                self.deliveries.come(Moment.BETWEEN, Moment.LATE)
                self._retry_or_clear()
            case State.FAILED:
                self.deliveries.come(Moment.BETWEEN, Moment.LATE)
                self.story.rest = self.persons.decide()
            case State.SUCCESS:
                self.deliveries.come_all()
                self.story.rest = self._again()
        return bool(self.story.rest)

    def _retry_or_clear(self) -> None:
        if self._choose_way() is Way.CLEAR:
            self.persons.forget()
            self.clear()
        self._work()

    def come_back(self, event: dict[str, Any]) -> None:
        """Bring a task that is deferred back, by its trigger's event or by a webhook; or take it for dead meanwhile."""
        if self.armed is not None and self.armed.point is Death.RACE:
            self.hit(Death.RACE)
            self._tell(Told, what="taken for dead as it came back")
            self.airflow.race()
        else:
            self.airflow.fire(event)

    def next_way(self) -> Way:
        """Return what follows where a retry and a clear are both possible: the cell's own, then what was drawn."""
        return self.plan.cell.way if self.way is None else next(self._ways, Way.RETRY)

    def _choose_way(self) -> Way:
        if self.way is None and self.has_died:
            return self.plan.cell.way
        if self.way is None and self.airflow.try_number == self.airflow.max_tries:
            return Way.CLEAR  # so that a retry is left for when the cell needs one
        return _next(self._ways, Way.RETRY)

    def _again(self) -> str:
        """Let somebody clear a success, to have another video; or let it be."""
        wanted = self.plan.again and self._asked_again == 0
        if not wanted and not (self.is_pending and self._asked_again < _ASKED_AGAIN):
            return "delivered"
        self._asked_again += 1
        self.persons.forget()
        self.clear()
        return ""

    # People.

    def clear(self) -> None:
        """Clear the task, whatever it does."""
        retries = _next(self._retries, None)
        if self.airflow.state not in (State.RUNNING, State.RESTARTING):
            mark = _next(self._marks, None)
            if mark is not None:
                self.mark(State(mark))
        self._tell(Cleared)
        keeps = self.is_pending and self.plan.cell.way is Way.RETRY
        self.airflow.clear(self.plan.retries if keeps else retries)

    def mark(self, state: State) -> None:
        """Mark the task, whatever it does."""
        self._tell(Told, what=f"marked as {state.value}")
        self.airflow.mark(state)

    # A worker.

    def _work(self) -> None:
        self.boundary.now += _SCHEDULING
        if self.airflow.state is State.NONE:
            self.deliveries.come(Moment.CLEARED)
        ticket = self.airflow.begin()
        if ticket.resume is None:
            self._note_way(ticket)
            self.persons.render_inputs()
        process = Process(self, kind="try" if ticket.resume is None else "resume", ticket=ticket)
        self.connect(process)
        self._start(process, ticket)
        self.boundary.process = process
        try:
            self._live(process, ticket)
        except Killed:
            self.airflow.fail(ticket)
        finally:
            self.boundary.process = None
        self.airflow.gone(tells_success=process.alive)

    def _note_way(self, ticket: Ticket) -> None:
        """Count how this try came about, if it is the one that the cell is about; arm what is to come later."""
        if ticket.try_number == 1 or not self.has_died:
            return
        if self.way is None:
            self.way = Way.CLEAR if ticket.cleared else Way.RETRY
        self.armed = _next(self._later, None)

    def _live(self, process: Process, ticket: Ticket) -> None:
        """Do what Airflow's worker does: run, hand on, record, call back."""
        task = process.task = self.persons.write_task()
        context = self._context(process, ticket)
        try:
            if ticket.resume is None:
                result = task.execute(context)
            else:
                process.reach(Death.ON_RESUME, moment=1)
                result = task.resume_execution(*ticket.resume, context)
        except TaskDeferred as deferred:
            self._tell(Ended, how="deferred")
            process.reach(Death.BEFORE_HANDOVER, moment=2)
            self.airflow.defer(ticket, deferred)
            self.deferred_at = self.now()
        except Exception as error:
            self._fail(process, ticket, error)
        else:
            self._tell(Ended, how="returned", job=result["job_id"])
            self._succeed(process, ticket, context, result)

    def _fail(self, process: Process, ticket: Ticket, error: Exception) -> None:
        name = type(error).__name__
        self._tell(Ended, how=name, text=str(error))
        if name == "LipsyncJobTimeout":
            self.note_dealt(Fault.NEVER_ENDS)
        self.persons.hear(name)
        process.reach(Death.BEFORE_FAILURE)
        self.airflow.fail(ticket, for_good=isinstance(error, AirflowFailException))

    def _succeed(self, process: Process, ticket: Ticket, context: Any, result: Any) -> None:
        process.reach(Death.BEFORE_SUCCESS)
        if self.airflow.succeed(ticket):
            self.airflow.xcoms["return_value"] = result
            self._tell(Delivered, job=result["job_id"])
            if self.plan.empties_store and self.plan.memory == "store":
                self._tell(Emptied)
            process.reach(Death.BEFORE_CALLBACK)
        process.has_succeeded = True
        for callback in process.task.on_success_callback:
            callback(context)
        self._tell(CalledBack, job=result["job_id"], stands=self.airflow.state is State.SUCCESS)

    def _context(self, process: Process, ticket: Ticket) -> Any:
        ti = TaskInstanceOf(try_number=ticket.try_number, max_tries=ticket.max_tries)
        ti.process, ti.task, ti.xcoms = process, process.task, self.airflow.xcoms
        run = self.airflow.dag_run(ticket, tells_clear_number=self.plan.tells_clear_number)
        context = {"ti": ti, "dag_run": run}
        has_store = self.plan.memory in ("store", "both")
        return context | {"task_state_store": StoreOf(process, self.airflow.store)} if has_store else context

    def connect(self, process: Process) -> None:
        """Set the connection, as this process finds it."""
        is_cut_off = process.kind == "try" and self._unreachable_left > 0
        if is_cut_off and self._dealt:
            self._unreachable_left -= 1
            is_cut_off = self._unreachable_left > 0
        extra = self.connection_extra()
        if self.plan.http_timeout < 30 and not self.is_dealt:
            extra["http_timeout"] = self.plan.http_timeout
        host = self._closed if is_cut_off else self.vendor.base_url
        connection = {"conn_type": "lipsync", "host": host, "password": KEY, "extra": extra}
        os.environ["AIRFLOW_CONN_LIPSYNC_DEFAULT"] = json.dumps(connection)

    def connection_extra(self) -> dict[str, Any]:
        """Return the extras that the connection always has."""
        has_folder = self.plan.memory in ("object", "both")
        folder = {"ledger_path": f"file://{self._folder}"} if has_folder else {}
        return folder | (EXTRAS if self.plan.webhooks else {})

    def _start(self, process: Process, ticket: Ticket) -> None:
        self._tell(
            Started,
            kind=process.kind,
            try_number=ticket.try_number,
            max_tries=ticket.max_tries,
            knows_job=ticket.resume is not None and "job_id" in ticket.resume[1],
            cleared=ticket.cleared,
            inputs=self.persons.inputs,
            on_clear=self.plan.on_clear,
            on_ambiguous_submit=self.persons.on_ambiguous_submit,
            on_changed_input=self.persons.on_changed_input,
            resume_job_id=self.persons.resume_job_id,
        )

    def memory_fault(self, what: str, *, has_succeeded: bool) -> MemoryFault:
        """Return what is wrong with a write."""
        if has_succeeded and self.plan.end_refused:
            return MemoryFault.REFUSED
        hits = {Fault.INTENT: ("intent",), Fault.ID: ("id", "id of another process")}
        if what not in hits.get(self.plan.cell.fault, ()) or self._memory_faults_left == 0:
            return MemoryFault.NONE
        self._memory_faults_left -= 1
        self.note_dealt(self.plan.cell.fault)
        return self.plan.memory_fault

    def is_unreadable(self) -> bool:
        """Whether a try that begins cannot read the memory."""
        return not self.is_pending and _next(self._unreadable, False)

    def _tell(self, kind: Any, /, **told: Any) -> None:
        self.story.add(kind(process=self.last_number, **told))


def _next(items: Iterator[Item], usual: Any) -> Any:
    return next(items, usual)
