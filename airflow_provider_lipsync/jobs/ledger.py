"""What is remembered of a paid job across tries, clears and dead workers: one small record per task instance.

It is written ahead: the intent before the submit, the id right after its answer. So a try that finds an intent without
an id knows that a job may have been bought, and one that finds an id need not buy.
"""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from airflow_provider_lipsync.exceptions import LipsyncLedgerUnavailable
from airflow_provider_lipsync.jobs.budget import Estimate, Spent
from airflow_provider_lipsync.media.places import words

__all__ = ["Generation", "Ledger", "Memory", "Record", "State", "unhurried"]

_ATTEMPTS = 6  # at writing an id that was paid for
_FIRST_PAUSE = 0.25  # seconds, doubled each time: some 8 s in all
_LONGEST_NOTE = 200  # characters
_LONGEST_ID = 128


class State(StrEnum):
    """What became of the job."""

    INTENT = "intent"  # a submit may have left
    BOUGHT = "bought"
    REFUSED = "refused"  # the submit never left, or was refused: nothing was charged
    FAILED = "failed"  # the vendor said so
    DELIVERED = "delivered"  # Airflow recorded the task's success with its result


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Which clear of a task instance a try belongs to: a retry changes neither number.

    :param max_tries: of the task instance; a clear sets it to its try number plus ``retries``, which may be as before.
    :param clear_number: of the run; it moves when any task of the run is cleared. None = Airflow did not tell.
    """

    max_tries: int
    clear_number: int | None = None

    def is_clear_of(self, earlier: Generation) -> bool:
        """Whether somebody cleared the task since: both numbers moved. In doubt it is a retry, which buys less."""
        if None in (self.clear_number, earlier.clear_number):
            return self.max_tries != earlier.max_tries
        return self.max_tries != earlier.max_tries and self.clear_number != earlier.clear_number


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of the last job of a task instance.

    :param submitted_at: seconds since the epoch, taken before the submit.
    :param nonce: names this one purchase.
    :param fingerprint: hashes of what was asked for, by field; empty for a job that was adopted.
    :param job_id: the vendor's id; None until it is known.
    :param cost: estimate of this purchase.
    :param spent: what the purchases before this one cost.
    :param note: why nothing is known or nothing was bought, for the person on call.
    :param webhook_until: until when our own receiver takes a delivery of this purchase, seconds since the epoch; None =
        none was asked for.
    """

    state: State
    endpoint: str
    generation: Generation
    submitted_at: float
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)
    job_id: str | None = None
    cost: Estimate = field(default_factory=Estimate)
    spent: Spent = field(default_factory=Spent)
    note: str = ""
    webhook_until: float | None = None

    def spent_with_it(self) -> Spent:
        """Return what was spent up to now: a job that was refused, or only adopted, cost this task nothing."""
        is_free = self.state is State.REFUSED or not self.fingerprint
        return self.spent if is_free else self.spent.plus(self.cost)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON's types; below 4 KB, without any input in the clear."""
        return {
            "version": 1,
            "state": self.state.value,
            "endpoint": self.endpoint,
            "max_tries": self.generation.max_tries,
            "clear_number": self.generation.clear_number,
            "submitted_at": self.submitted_at,
            "fingerprint": dict(self.fingerprint),
            "nonce": self.nonce,
            "job_id": self.job_id,
            "seconds": self.cost.seconds,
            "credits": self.cost.credits,
            "spent": self.spent.credits,
            "spent_unknown": not self.spent.is_known,
            "note": self.note[:_LONGEST_NOTE],
            "webhook_until": self.webhook_until,
        }

    @classmethod
    def from_json(cls, found: Any) -> Record:
        """Return what :meth:`as_json` wrote.

        :raises ValueError: it is nothing of ours; never to be taken for "nothing was bought".
        """
        try:
            record = cls(
                state=State(found["state"]),
                endpoint=str(found["endpoint"]),
                generation=Generation(max_tries=int(found["max_tries"]), clear_number=found["clear_number"]),
                submitted_at=float(found["submitted_at"]),
                fingerprint={str(name): str(value) for name, value in found["fingerprint"].items()},
                nonce=str(found["nonce"]),
                job_id=None if found["job_id"] is None else str(found["job_id"])[:_LONGEST_ID],
                cost=Estimate(seconds=_whole(found.get("seconds")), credits=_whole(found.get("credits"))),
                spent=Spent(credits=int(found.get("spent", 0)), is_known=not found.get("spent_unknown", False)),
                note=str(found["note"]),
                webhook_until=None if found.get("webhook_until") is None else float(found["webhook_until"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"the record cannot be understood ({type(error).__name__}: {error})") from None
        if record.job_id is None and record.state in (State.BOUGHT, State.FAILED, State.DELIVERED):
            raise ValueError(f"the record is {record.state.value!r} and has no job id")
        return record


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


class Memory(Protocol):
    """Where the record of one task instance is kept."""

    place: str
    """For messages; without any secret."""
    refuses_old_tries: bool
    """Whether a try that hangs while the next one runs cannot write any more."""

    def load(self) -> Any:
        """Return what was saved; None where there is nothing."""

    def save(self, value: dict[str, Any]) -> None:
        """Put it in the place of what was there."""


class Ledger:
    """The record of one task instance, and the writes that a purchase needs.

    :param generation: of this try.
    :param log: the task's.
    :param sleep: waits between two attempts at a write (seconds), for tests.
    """

    def __init__(
        self, memory: Memory, *, generation: Generation, log: Any, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.generation = generation
        self.knows_id = True  # False where the id of the last purchase could not be written
        self._memory, self._log, self._sleep = memory, log, sleep
        self._last: Record | None = None  # what was read or written last

    @property
    def place(self) -> str:
        """Where it is kept, for messages."""
        return self._memory.place

    def fingerprint_of(self, job_id: str) -> Mapping[str, str] | None:
        """Return what a job was bought for, from what was read or written last; None where that is not known."""
        last = self._last
        return (last.fingerprint or None) if last is not None and last.job_id == job_id else None

    def cost_of(self, job_id: str) -> Estimate:
        """Return what a job was estimated at, likewise."""
        last = self._last
        return last.cost if last is not None and last.job_id == job_id else Estimate()

    def nonce_of(self, job_id: str) -> str:
        """Return the name of the purchase of a job that a webhook may tell of, likewise; empty where none may."""
        last = self._last
        return last.nonce if last is not None and last.job_id == job_id and last.webhook_until is not None else ""

    def read(self) -> Record | None:
        """Return what is known; None where nothing was ever bought.

        :raises LipsyncLedgerUnavailable: it cannot be read; nothing may be bought then.
        """
        try:
            found = self._memory.load()
            record = None if found is None else Record.from_json(found)
        except Exception as error:
            raise self._unavailable("read", error) from error
        self._last = record or self._last
        return record

    def intend(
        self,
        *,
        endpoint: str,
        fingerprint: Mapping[str, str],
        now: float,
        cost: Estimate | None = None,
        spent: Spent | None = None,
        webhook_until: float | None = None,
    ) -> Record:
        """Write that a submit is about to leave, and see that it was written.

        :param cost: estimate of it.
        :param spent: before it.
        :param webhook_until: see :class:`Record`.
        :raises LipsyncLedgerUnavailable: it was not; the submit must not leave.
        """
        record = Record(
            state=State.INTENT,
            endpoint=endpoint,
            generation=self.generation,
            submitted_at=now,
            fingerprint=fingerprint,
            cost=cost or Estimate(),
            spent=spent or Spent(),
            webhook_until=webhook_until,
        )
        self.renew(record)
        kept = self.read()
        if kept is None or kept.nonce != record.nonce:
            raise self._unavailable("written", ValueError("what was just written is not there"))
        return record

    def renew(self, record: Record) -> Record:
        """Write a record of this generation.

        :raises LipsyncLedgerUnavailable: it could not be written.
        """
        renewed = replace(record, generation=self.generation)
        try:
            self._memory.save(renewed.as_json())
        except Exception as error:
            raise self._unavailable("written", error) from error
        self._last = renewed
        return renewed

    def bought(self, record: Record, job_id: str) -> None:
        """Write the id of a job that was paid for: patiently, and never in the way of the job.

        What ends the task meanwhile (execution_timeout) waits until the id stands. A record of another purchase, made
        by a later try while this one hung, is not touched.
        """
        known = replace(record, state=State.BOUGHT, job_id=job_id)
        if self._is_taken_over(known):
            self._tell_unwritten(known, "a later try has written its own record")
            return
        self._last = known
        ending = self._patiently(known)
        if ending is not None:
            raise ending

    def refused(self, record: Record, why: str) -> None:
        """Withdraw an intent: nothing was charged. If that cannot be written, the next try takes it as uncertain."""
        self._mark(replace(record, state=State.REFUSED, note=why))

    def uncertain(self, record: Record, why: str) -> None:
        """Keep an intent, and why nothing more is known of it."""
        self._mark(replace(record, note=why))

    def ended(self, state: State, job_id: str) -> None:
        """Write that the job failed or was delivered, if it is still the job of this record.

        Also where the record is gone by then: Airflow's ``[state_store] clear_on_success`` empties the store.
        """
        known = self._last
        try:
            record = self.read() or known
        except LipsyncLedgerUnavailable as error:
            self._log.warning("The ledger could not be told that job %s is %s: %s", job_id, state.value, error.message)
            return
        if record is not None and known is not None and record.nonce == known.nonce:
            record = replace(record, job_id=record.job_id or known.job_id)  # it may not have been writable before
        if record is not None and record.job_id == job_id and record.state is not state:
            self._mark(replace(record, state=state, generation=self.generation))

    def _mark(self, record: Record) -> None:
        if self._is_taken_over(record):
            self._log.warning("The ledger (%s) belongs to a later try by now: nothing was written.", self.place)
            return
        if record.job_id is None and self._is_found(record):
            return
        try:
            self._memory.save(record.as_json())
        except Exception as error:  # noqa: BLE001 - what it says is not worth a failed task; the next try looks anew
            self._log.warning("The ledger (%s) could not be written: %s", self.place, words(error))

    def _patiently(self, record: Record) -> BaseException | None:
        """Write; return what wanted to end the task meanwhile."""
        pause, ending, why = _FIRST_PAUSE, None, ""
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._memory.save(record.as_json())
            except Exception as fault:  # noqa: BLE001 - whatever it was, the id is worth another attempt
                why = words(fault)
            except BaseException as end:  # noqa: BLE001 - raised again by the caller, once the id stands
                ending = ending or end
            else:
                return ending
            if left and ending is None:
                self._sleep(pause)
                pause *= 2
        self._tell_unwritten(record, why)
        return ending

    def _is_taken_over(self, record: Record) -> bool:
        if self._memory.refuses_old_tries:  # and the id is a round trip sooner in its place
            return False
        try:
            standing = self.read()
        except LipsyncLedgerUnavailable:
            return False
        return standing is not None and standing.nonce != record.nonce

    def _is_found(self, record: Record) -> bool:
        """Whether a webhook has brought the id of this purchase meanwhile: that is worth more than our doubt."""
        if record.webhook_until is None:
            return False
        try:
            standing = self.read()
        except LipsyncLedgerUnavailable:
            return False
        return standing is not None and standing.nonce == record.nonce and standing.job_id is not None

    def _tell_unwritten(self, record: Record, why: str) -> None:
        self.knows_id = False
        self._log.error(
            "The id of job %s could not be written to the ledger (%s): %s. Keep it: if this try dies, the next one "
            "needs resume_job_id=%r, or it will not know the job.",
            record.job_id,
            self.place,
            why,
            record.job_id,
        )

    def _unavailable(self, what: str, error: Exception) -> LipsyncLedgerUnavailable:
        return LipsyncLedgerUnavailable(f"the ledger ({self.place}) could not be {what}: {words(error)}")


@contextmanager
def unhurried() -> Iterator[None]:
    """Hold back the alarm of ``execution_timeout`` until the block ends: an id that came must be written down first."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
