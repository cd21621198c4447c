"""What happened in one schedule, event by event: all that the law is judged by. Imports nothing of the provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

__all__ = [
    "Answered",
    "Brought",
    "CalledBack",
    "Charged",
    "Cleared",
    "Delivered",
    "Died",
    "Emptied",
    "Ended",
    "Happened",
    "Pushed",
    "Refused",
    "Sent",
    "Started",
    "Story",
    "Told",
    "VendorEnded",
    "Wrote",
]


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One event.

    :param process: number of the process that it happened in, or that ran last; 0 = outside of all.
    :param at: on the clock of the schedule, in seconds.
    """

    process: int
    at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Started(Happened):
    """A process began.

    :param kind: ``try``, ``resume`` (the same try comes back from its trigger), or ``trigger``.
    :param knows_job: whether a process that comes back is told which job the try was deferred for.
    :param cleared: whether a person cleared the task since the last try; False for a retry.
    :param inputs: names what is asked for; a signature that changes is not part of it.
    :param resume_job_id: the job that a person told this process to take.
    """

    kind: str
    try_number: int = 0
    max_tries: int = 0
    knows_job: bool = False
    cleared: bool = False
    inputs: str = ""
    on_clear: str = "auto"
    on_ambiguous_submit: str | None = None
    on_changed_input: str = "fail"
    resume_job_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sent(Happened):
    """A request left."""

    method: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Answered(Happened):
    """An answer to a POST came back, or never will.

    :param status: None = there was none.
    :param never_left: whether no connection was made.
    :param is_sound: whether it is what the vendor meant to say.
    """

    status: int | None
    never_left: bool = False
    is_sound: bool = True


@dataclass(frozen=True, kw_only=True)
class Charged(Happened):
    """The sandbox's ledger has another paid job.

    :param is_told_of: whether its submit named a webhook.
    """

    job: str
    is_told_of: bool = False


@dataclass(frozen=True, kw_only=True)
class VendorEnded(Happened):
    """The vendor finished a job: ``completed`` or ``failed``."""

    job: str
    status: str


@dataclass(frozen=True, kw_only=True)
class Wrote(Happened):
    """The memory took a text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Brought(Happened):
    """A webhook came whose purchase had no id in the memory, and its receiver wrote it there.

    :param when: in words.
    """

    job: str
    when: str = ""


@dataclass(frozen=True, kw_only=True)
class Refused(Happened):
    """The memory did not confirm a write, or a read."""

    what: str


@dataclass(frozen=True, kw_only=True)
class Pushed(Happened):
    """The job's id was handed on through XCom."""

    job: str


@dataclass(frozen=True, kw_only=True)
class Died(Happened):
    """A misfortune hit a process.

    :param lives_on: whether it goes on; Airflow takes nothing of it any more.
    :param leaves_doubt: whether it can have bought a job whose id nobody has.
    """

    point: str
    lives_on: bool = False
    leaves_doubt: bool = False


@dataclass(frozen=True, kw_only=True)
class Ended(Happened):
    """A process ended by itself.

    :param how: ``returned``, ``deferred``, ``fired``, or the name of the class that it raised.
    :param text: of the error.
    :param job: of the result.
    """

    how: str
    text: str = ""
    job: str = ""


@dataclass(frozen=True, kw_only=True)
class Delivered(Happened):
    """Airflow recorded the task's success, with this job's result."""

    job: str


@dataclass(frozen=True, kw_only=True)
class CalledBack(Happened):
    """The callbacks of a success ran to their end.

    :param stands: whether Airflow still has the task down as a success.
    """

    job: str
    stands: bool = True


@dataclass(frozen=True, kw_only=True)
class Emptied(Happened):
    """Airflow forgot all that the memory held, since the task had succeeded."""


@dataclass(frozen=True, kw_only=True)
class Cleared(Happened):
    """A person cleared this task."""


@dataclass(frozen=True, kw_only=True)
class Told(Happened):
    """Anything else that a reader of a failing schedule wants to know."""

    what: str


Kind = TypeVar("Kind", bound=Happened)


@dataclass
class Story:
    """The events of one schedule.

    :param has_memory: whether there was a ledger at all.
    :param brings_ids: whether a webhook can bring an id to it that was lost.
    :param waits: whether a try returns only once its job is completed.
    :param job_timeout: seconds from a submit until its job is not waited for any more.
    :param rest: how it ended: ``delivered``, ``left to a person``, ``no video``, or ``restless``.
    :param submits: the sandbox's ledger, at the end.
    """

    has_memory: bool = True
    brings_ids: bool = False
    waits: bool = True
    job_timeout: float = 1800.0
    now: Callable[[], float] = float  # the schedule's clock, in seconds
    events: list[Happened] = field(default_factory=list)
    rest: str = ""
    submits: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: Happened) -> None:
        self.events.append(replace(event, at=self.now()))

    def all(self, kind: type[Kind], *, process: int | None = None) -> Iterator[Kind]:
        """Give the events of a kind, in order."""
        for event in self.events:
            if isinstance(event, kind) and process in (None, event.process):
                yield event

    def __str__(self) -> str:
        names = {entry["job_id"]: f"job{number}" for number, entry in enumerate(self.submits, start=1)}
        began = self.events[0].at if self.events else 0.0
        lines = [_line(event, began) for event in self.events]
        text = "\n".join([*lines, f"rest: {self.rest}"])
        for job_id, name in names.items():
            text = text.replace(job_id, name)
        return text


def _line(event: Happened, began: float) -> str:
    told = [
        f"{item.name}={value!r}"
        for item in fields(event)
        if item.name not in ("process", "at") and (value := getattr(event, item.name)) != item.default
    ]
    return f"  {event.at - began:7.1f} [{event.process}] {type(event).__name__} {' '.join(told)}".rstrip()
