"""A process of a schedule, worker or triggerer: what it asks of the world passes here, and here it dies.

SIGKILL is shown as an exception that nothing may catch. Code that runs all the same while it passes (``finally``, a
retry) finds every way out of the process shut, and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
import httpx

from tests.reliability.airflow_model import State, Ticket
from tests.reliability.plan import Death, Fault, Manner, MemoryFault, Moment
from tests.reliability.story import Answered, Charged, Died, Pushed, Refused, Sent, VendorEnded, Wrote

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.reliability.schedule import Schedule

__all__ = ["Killed", "Process"]

_BETWEEN_INTENT_AND_ID = (Death.BEFORE_POST, Death.BEFORE_ANSWER, Death.BEFORE_ID)
_SPOILED = {"drop_answer", "status", "late_answer", "truncated", "malformed", "html", "slow_drip"}


class Killed(BaseException):
    """SIGKILL, as far as Python can show it."""


class Process:
    """One process.

    :param ticket: of a worker; None for a triggerer.
    """

    def __init__(self, schedule: Schedule, *, kind: str, ticket: Ticket | None = None) -> None:
        self.schedule, self.kind, self.ticket = schedule, kind, ticket
        self.number = schedule.next_number()
        self.alive = True
        self.bought: list[str] = []
        self.task: Any = None
        self.hands_on = False
        self.has_succeeded = False
        self._has_posted = self._cannot_read_back = False
        self._looks = self._reads = 0

    # Dying.

    def check(self) -> None:
        """Let nothing pass any more once it is dead."""
        if not self.alive:
            raise Killed

    def reach(self, point: Death, *, moment: int | None = None) -> None:
        """Come to a point where it may be hit.

        :param moment: which of the two moments of the point this is, 1 or 2; None = it has one alone.
        """
        misfortune = self.schedule.armed
        if misfortune is None or misfortune.point is not point:
            return
        if moment is not None and moment != (2 if misfortune.later else 1):
            return
        self.schedule.hit(point)
        lives_on = misfortune.manner in (Manner.CLEARED_ALIVE, Manner.MARKED_ALIVE) and self.ticket is not None
        self._tell(
            Died,
            point=f"{point.value} ({misfortune.manner.value})",
            lives_on=lives_on,
            leaves_doubt=lives_on or point in _BETWEEN_INTENT_AND_ID,
        )
        self._strike(misfortune.manner)
        if not lives_on:
            self._die()

    def _strike(self, manner: Manner) -> None:
        """Do what a person does meanwhile."""
        if self.ticket is None or manner is Manner.KILLED:
            return
        if manner in (Manner.CLEARED, Manner.CLEARED_ALIVE):
            self.schedule.clear()
        else:
            self.schedule.mark(State.FAILED)
        if self.task is not None and manner is not Manner.CLEARED_ALIVE:
            self.task.on_kill()

    def _die(self) -> NoReturn:
        self.alive = False
        raise Killed

    def _tell(self, kind: Any, /, **told: Any) -> None:
        self.schedule.story.add(kind(process=self.number, **told))

    # HTTP.

    def sends(self, method: str, path: str) -> None:
        """Be about to send a request."""
        self.check()
        if method == "POST":
            self.reach(Death.BEFORE_POST)
            self._has_posted = True
        else:
            self._looks_at(path.rpartition("/")[2])
        self.schedule.has_asked = True
        self._tell(Sent, method=method, path=path.partition("/api/v1")[2])

    def gets(self, method: str, status: int) -> None:
        """Have the head of an answer, nothing of which is read yet."""
        if method == "POST":
            sound = self._note_charges() and status == 200
            self._tell(Answered, status=status, is_sound=sound or status == 429)
            self.schedule.deliveries.come(Moment.ANSWER)
            self.reach(Death.BEFORE_ANSWER)

    def gets_nothing(self, method: str, error: Exception) -> None:
        """See that no answer will come."""
        never_left = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | aiohttp.ClientConnectorError)
        if never_left:
            self.schedule.note_dealt(Fault.UNREACHABLE)
        if method == "POST":
            self._note_charges(are_certain=isinstance(error, httpx.ReadTimeout))
            self._tell(Answered, status=None, never_left=never_left, is_sound=never_left)
            if not never_left:
                self.schedule.deliveries.come(Moment.ANSWER)
                self.reach(Death.BEFORE_ANSWER)

    def _looks_at(self, job_id: str) -> None:
        if self.kind == "trigger" or (self.hands_on and not self.schedule.plan.deferrable):
            self._waits()
        status = self.schedule.vendor.look_at(job_id)
        if status is not None:
            self._tell(VendorEnded, job=job_id, status=status)
            if status == "failed":
                self.schedule.note_dealt(Fault.ENDS_BADLY)

    def _waits(self) -> None:
        """Look, or ask, for what is waited for."""
        self._looks += 1
        if self.kind != "trigger" or self.schedule.airflow.state is State.DEFERRED:
            self.reach(Death.WAITING, moment=min(self._looks, 3))

    def _note_charges(self, *, are_certain: bool = False) -> bool:
        """Read the sandbox's ledger; return whether it has new jobs, and spoiled no answer to them.

        :param are_certain: whether it takes the request that was sent, be it after the client has given it up.
        """
        new = self.schedule.vendor.new_jobs(are_certain=are_certain)
        for entry in new:
            self.bought.append(entry["job_id"])
            self.schedule.jobs.append(entry["job_id"])
            webhook = entry["body"].get("webhook")
            self._tell(Charged, job=entry["job_id"], is_told_of=webhook is not None)
            if webhook is not None:
                self.schedule.deliveries.expect(entry["job_id"], webhook)
        return bool(new) and not any(_SPOILED & set(entry["faults"]) for entry in new)

    # The memory.

    def reads(self, get: Callable[[], Any], *, in_airflow: bool) -> Any:
        """Read what is remembered."""
        self.check()
        self._verify_known(in_airflow)
        self._reads += 1
        if self._reads == 1 and self.kind == "try" and self.schedule.is_unreadable():
            self._refuse("read")
        if self._cannot_read_back:
            self._cannot_read_back = False
            self._refuse("read")
        found = get()
        if self.kind == "resume" and self._reads == 1:
            self.reach(Death.ON_RESUME, moment=2)
        if self.kind == "try" and self._reads == 1:
            self.schedule.deliveries.come(Moment.BEGINNING)
        return found

    def writes(self, text: str, put: Callable[[], Any], *, in_airflow: bool) -> None:
        """Write what is to be remembered."""
        self.check()
        what = self._name(text)
        if what == "intent":
            self.reach(Death.BEFORE_INTENT)
        elif what == "id" and not self.hands_on:
            self.reach(Death.BEFORE_ID)
        self._verify_known(in_airflow)
        fault = self.schedule.memory_fault(what, has_succeeded=self.has_succeeded)
        if fault is MemoryFault.REFUSED:
            self._refuse(what)
        put()
        self._tell(Wrote, text=text)
        if fault is MemoryFault.STORED:
            self._refuse(what)
        self._cannot_read_back = fault is MemoryFault.UNREADABLE

    def _name(self, text: str) -> str:
        """Return what a text is, from what is known of the world alone: it names a paid job, or it is an intent."""
        if any(job in text for job in self.bought):
            return "id"
        if any(job in text for job in self.schedule.jobs):
            return "id of another process"
        return "verdict" if self._has_posted else "intent"

    def _verify_known(self, in_airflow: bool) -> None:
        if in_airflow and self.ticket is not None and not self.schedule.airflow.knows(self.ticket):
            self._refuse("anything: this try is over")

    def _refuse(self, what: str) -> NoReturn:
        self._tell(Refused, what=what)
        raise ConnectionError(f"the memory is away ({what})")

    # XCom.

    def pushes_id(self, job_id: str) -> None:
        """Hand the id on, to XCom."""
        self.check()
        self.hands_on = True
        self.reach(Death.BEFORE_HANDOVER, moment=1)
        self._verify_known(True)
        self._tell(Pushed, job=job_id)

    def reads_delivery(self, key: str) -> Any:
        """Read, in a triggerer, what a webhook has handed on."""
        self.check()
        self._waits()
        return self.schedule.airflow.xcoms.get(key)
