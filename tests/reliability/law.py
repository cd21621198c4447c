"""The law, judged from a story alone: what the sandbox charged, what Airflow recorded, which texts the memory took.

Nothing of the provider is asked, and nothing of it imported.

Per task instance, once a job was bought, no other is bought until its video was delivered or the vendor said that it
failed, unless the user asked otherwise. No job whose id was recorded is lost; every other is reported as uncertain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from tests.reliability.story import (
    Answered,
    CalledBack,
    Charged,
    Cleared,
    Delivered,
    Died,
    Emptied,
    Ended,
    Happened,
    Pushed,
    Refused,
    Sent,
    Started,
    Story,
    VendorEnded,
    Wrote,
)

__all__ = ["Broken", "judge"]

_UNCERTAIN = "LipsyncSubmitUncertain"
_ID_WRITES = 4  # that an outage of the memory must last, before an id may stay unwritten


class Broken(AssertionError):
    """The law was broken; the message says how, and tells the whole story."""


@dataclass
class _Job:
    """A paid job.

    :param inputs: what it was asked for.
    :param holder: the process that last held it: its buyer, or whoever wrote or handed on its id since.
    :param held_since: when that process began.
    :param is_told: whether the memory was told, while it took writes, that it is delivered.
    :param settled: why nobody need have it any more; empty = somebody must.
    """

    id: str
    inputs: str
    holder: Started
    held_since: int
    is_adopted: bool = False
    is_recorded: bool = False
    is_reported: bool = False
    is_delivered: bool = False
    is_told: bool = False
    delivered_at: int = -1
    status: str = "processing"
    settled: str = ""

    @property
    def is_owed(self) -> bool:
        """Whether its video must still come."""
        return not (self.settled or self.is_delivered or self.status == "failed")


def judge(story: Story) -> None:
    """Judge a schedule.

    :raises Broken: the law was broken.
    """
    judge = _Judge(story)
    for place, event in enumerate(story.events):
        judge.hear(place, event)
    judge.close()


class _Judge:
    def __init__(self, story: Story) -> None:
        self._story = story
        self._jobs: dict[str, _Job] = {}
        self._started: dict[int, tuple[int, Started]] = {}
        self._clears: list[int] = []
        self._sent: set[int] = set()
        self._refusals: dict[int, int] = {}
        self._must_doubt: dict[int, list[_Job]] = {}
        self._must_buy: dict[int, tuple[_Job, str]] = {}
        self._has_doubt = not story.has_memory
        self._turned_away: set[int] = set()  # tries whose last POST was refused with 429, or never left

    def hear(self, place: int, event: Happened) -> None:
        match event:
            case Started():
                self._started[event.process] = (place, event)
                if self._may_buy(event):
                    self._begin(event)
            case Sent(method="POST"):
                self._send(event)
            case Answered():
                self._has_doubt = self._has_doubt or not (event.is_sound or event.never_left)
                if event.status == 429 or event.never_left:
                    self._turned_away.add(self._started[event.process][1].try_number)
            case Charged():
                self._charge(event)
            case VendorEnded():
                self._jobs[event.job].status = event.status
            case Wrote():
                self._write(event)
            case Refused():
                self._has_doubt = True
                self._refusals[event.process] = self._refusals.get(event.process, 0) + 1
            case Pushed():
                self._push(event)
            case Died():
                self._die(event)
            case Ended():
                self._end(event)
            case Delivered():
                self._deliver(place, event)
            case CalledBack():
                self._call_back(event)
            case Emptied():
                for job in self._jobs.values():
                    job.is_recorded = False
            case Cleared():
                self._clears.append(place)
            case _:
                pass

    def close(self) -> None:
        """Judge how it came to rest."""
        if self._story.rest not in ("delivered", "left to a person", "no video"):
            self._break(f"it did not come to rest ({self._story.rest})")
        if [entry["job_id"] for entry in self._story.submits] != list(self._jobs):
            self._break("the sandbox charged jobs that no process was seen to buy")
        without_video = [entry["job_id"] for entry in self._story.submits if "no_output" in entry["faults"]]
        for job in self._jobs.values():
            if job.is_owed and job.is_recorded and job.id not in without_video:
                self._break(f"{job.id} was recorded, and is lost")
            if job.is_owed and not job.is_recorded and not job.is_reported:
                self._break(f"{job.id} was paid for, and nobody was told")

    # What a process may do.

    def _may_buy(self, process: Started) -> bool:
        """Whether it may send a POST: a new try, or one that comes back since the vendor turned its last POST away."""
        return process.kind == "try" or (process.kind == "resume" and process.try_number in self._turned_away)

    def _begin(self, process: Started) -> None:
        """Note what this try owes: to say that it does not know, or to buy what a person wants again."""
        for job in self._jobs.values():
            if process.resume_job_id not in (None, job.id) and job.is_owed:
                job.settled = "another was named by a person"
        if process.resume_job_id is not None:
            named = self._jobs[process.resume_job_id]
            named.settled, named.is_adopted = "", True
            return
        owed = [job for job in self._jobs.values() if job.is_owed and not job.is_recorded]
        self._must_doubt[process.process] = [job for job in owed if not self._wish(process, job)]
        self._note_wanted(process)

    def _note_wanted(self, process: Started) -> None:
        """After a failure another must be bought; a clear of what was delivered, or with other inputs, wants one, too.

        Where it cannot be told from a retry, by ``max_tries``, it need not be taken for a clear.
        """
        for job in self._jobs.values():
            if job.settled or not job.is_recorded:
                continue
            if job.status == "failed":
                self._must_buy[process.process] = (job, "has failed")
            if not process.cleared or process.max_tries == job.holder.max_tries:
                continue
            if job.is_told and process.on_clear != "reuse":
                self._must_buy[process.process] = (job, "was delivered, and a person cleared to have another")
            if job.is_owed and process.inputs != job.inputs and process.on_changed_input != "reattach":
                self._must_buy[process.process] = (job, "is not what a person cleared for")

    def _send(self, event: Sent) -> None:
        process = self._started[event.process][1]
        if not self._may_buy(process):
            self._break(f"a {process.kind} sent a POST")
        self._turned_away.discard(process.try_number)
        if process.resume_job_id is not None:
            self._break("a job was given, and a POST was sent")
        for job in self._must_doubt.get(event.process, ()):
            self._break(f"{job.id} may have been paid for, its id is not known, and a POST was sent")
        self._sent.add(event.process)
        self._settle_by_wish(process)

    def _settle_by_wish(self, process: Started) -> None:
        for job in self._jobs.values():
            if not job.settled:
                job.settled = self._wish(process, job)

    def _wish(self, process: Started, job: _Job) -> str:
        """Return the wish of the user by which another may be bought while this job is still owed; empty = none."""
        cleared = any(clear > job.held_since for clear in self._clears)
        changed = process.inputs != job.inputs
        if cleared and process.on_clear == "resubmit":
            return "on_clear=resubmit"
        if process.on_ambiguous_submit == "resubmit" and not job.is_recorded:
            return "on_ambiguous_submit=resubmit"
        if changed and process.on_changed_input == "resubmit":
            return "on_changed_input=resubmit"
        if changed and cleared and process.on_changed_input != "reattach":
            return "a clear with other inputs"
        return ""

    def _charge(self, event: Charged) -> None:
        place, process = self._started[event.process]
        for job in self._jobs.values():
            if not (job.settled or job.status == "failed" or self._may_be_bought_again(process, job)):
                self._break(f"{event.job} was bought although {job.id} is neither delivered, nor failed, nor given up")
            job.settled = job.settled or "another was bought"
        self._jobs[event.job] = _Job(id=event.job, inputs=process.inputs, holder=process, held_since=place)

    def _may_be_bought_again(self, process: Started, job: _Job) -> bool:
        """Whether a person had its video, and cleared to have another."""
        cleared = any(clear > job.delivered_at for clear in self._clears)
        return job.is_delivered and cleared and (process.on_clear != "reuse" or not job.is_recorded)

    # What a process remembers and says.

    def _write(self, event: Wrote) -> None:
        place, process = self._started[event.process]
        named = [job for job in self._jobs.values() if job.id in event.text]
        for job in named:
            job.is_recorded, job.holder, job.held_since = True, process, place
            self._has_doubt = not self._story.has_memory
        if not named and self._may_buy(process) and event.process not in self._sent:
            self._settle_by_wish(process)  # it begins to buy

    def _push(self, event: Pushed) -> None:
        job = self._jobs[event.job]
        job.held_since, job.holder = self._started[event.process]
        if job.is_recorded or not self._story.has_memory:
            return
        if self._refusals.get(event.process, 0) < _ID_WRITES:
            self._break(f"{job.id} was handed on, and its id is not written")

    def _die(self, event: Died) -> None:
        self._has_doubt = self._has_doubt or event.leaves_doubt
        if not event.lives_on:
            self._must_doubt.pop(event.process, None)
            self._must_buy.pop(event.process, None)

    def _end(self, event: Ended) -> None:
        doubted, wanted = self._must_doubt.pop(event.process, []), self._must_buy.pop(event.process, None)
        if doubted and event.how not in (_UNCERTAIN, "LipsyncLedgerUnavailable"):
            self._break(f"{doubted[0].id} may have been paid for, its id is not known, and nobody was asked")
        if event.how == _UNCERTAIN:
            self._doubt(event)
        for job in self._jobs.values():
            job.is_reported = job.is_reported or job.id in event.text
        took_another_way = event.how in ("returned", "deferred", "LipsyncInputChanged", "LipsyncJobFailed")
        if wanted and took_another_way and event.process not in self._sent:
            self._break(f"{wanted[0].id} {wanted[1]}, and nothing was bought")
        if event.how == "returned":
            self._return(event)

    def _return(self, event: Ended) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            self._break(f"it returned {event.job}, which nobody bought")
        elif job.settled or (self._story.waits and job.status != "completed"):
            self._break(f"it returned {job.id}, which is {job.settled or job.status}")
        elif not (job.is_delivered or self._asks_for(self._started[event.process][1], job)):
            self._break(f"it returned {job.id}, which is not what it asks for")
        elif not job.is_recorded and self._must_record(event.process):
            self._break(f"it returned {job.id}, whose id is still not written")

    def _asks_for(self, process: Started, job: _Job) -> bool:
        """Whether a job is what a process would have bought, or a person said that it will do."""
        return job.is_adopted or process.inputs == job.inputs or process.on_changed_input == "reattach"

    def _must_record(self, process: int) -> bool:
        """Whether a process could write an id that was not written before: it knew it, and the memory took writes."""
        return self._started[process][1].knows_job and self._story.has_memory and not self._refusals.get(process)

    def _doubt(self, event: Ended) -> None:
        if not self._has_doubt:
            self._break("it called uncertain what it had to know")
        if not event.text.startswith("job unknown · charged: unknown · "):
            self._break(f"its first line does not say what is uncertain: {event.text}")
        for job in self._jobs.values():
            if job.is_owed and not job.is_recorded:
                job.is_reported = True

    def _deliver(self, place: int, event: Delivered) -> None:
        job = self._jobs[event.job]
        job.is_delivered, job.delivered_at = True, place

    def _call_back(self, event: CalledBack) -> None:
        job = self._jobs[event.job]
        can_tell = self._story.has_memory and job.is_recorded and not self._refusals.get(event.process)
        job.is_told = can_tell and event.stands

    def _break(self, how: str) -> NoReturn:
        raise Broken(f"{how}\n{self._story}")
