"""The law, judged from a story alone: what the sandbox charged, what Airflow recorded, which texts the memory took.

Nothing of the provider is asked, and nothing of it imported.

Per task instance, once a job was bought, no other is bought until its video was delivered or the vendor said that it
failed, unless the user asked otherwise. No job whose id was recorded is lost; every other is reported as uncertain,
once no webhook can bring its id any more: until its deadline one is waited for. An id that one brought is recorded.
"""

from __future__ import annotations

from typing import NoReturn

from tests.reliability.paid_job import PaidJob
from tests.reliability.story import (
    Answered,
    Brought,
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
        self._jobs: dict[str, PaidJob] = {}
        self._started: dict[int, tuple[int, Started]] = {}
        self._clears: list[int] = []
        self._begun: dict[int, float] = {}  # when processes told the memory last that a submit is about to leave
        self._sent: set[int] = set()
        self._handed_on: set[int] = set()  # processes that handed an id on
        self._unknown: dict[int, list[PaidJob]] = {}  # of what processes did not know the id when they began
        self._refusals: dict[int, int] = {}
        self._must_doubt: dict[int, list[PaidJob]] = {}
        self._must_buy: dict[int, tuple[PaidJob, str]] = {}
        self._has_doubt = not story.has_memory
        self._turned_away: set[int] = set()  # tries whose last POST was refused with 429, or never left
        self._waiting: set[int] = set()  # tries that are deferred until a webhook brings an id

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
            case Brought():
                self._bring(event)
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
            if job.is_owed and job.is_recorded and not job.came_late and job.id not in without_video:
                self._break(f"{job.id} was recorded, and is lost")
            if job.is_lost and not job.is_reported:
                self._break(f"{job.id} was paid for, and nobody was told")

    # What a process may do.

    def _may_buy(self, process: Started) -> bool:
        """Whether it may send a POST: a new try, or one that comes back without a job: since the vendor turned its last
        POST away, or from the wait for an id, which may be of a job that has failed.
        """
        waited = process.try_number in self._waiting and not process.knows_job
        has_no_job = process.try_number in self._turned_away or waited
        return process.kind == "try" or (process.kind == "resume" and has_no_job)

    def _begin(self, process: Started) -> None:
        """Note what this try owes: to say that it does not know, or to buy what a person wants again."""
        for job in self._jobs.values():
            job.came_late = False
            if process.resume_job_id not in (None, job.id) and job.is_owed:
                job.settled = "another was named by a person"
        if process.resume_job_id is not None:
            named = self._jobs[process.resume_job_id]
            named.settled, named.is_adopted = "", True
            return
        lost = self._unknown[process.process] = [job for job in self._jobs.values() if job.is_lost]
        self._must_doubt[process.process] = [job for job in lost if not self._wish(process, job)]
        self._note_wanted(process)

    def _note_wanted(self, process: Started) -> None:
        """After a failure another must be bought; a clear of what was delivered, or with other inputs, wants one, too.

        Where it cannot be told from a retry, by ``max_tries``, it need not be taken for a clear.
        """
        for job in self._jobs.values():
            if job.settled or not job.is_recorded:
                continue
            if job.status == "failed" and job.bought_in != process.try_number:
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
            if not job.is_recorded:
                self._break(f"{job.id} may have been paid for, its id is not known, and a POST was sent")
        self._sent.add(event.process)
        self._settle_by_wish(process)

    def _settle_by_wish(self, process: Started) -> None:
        for job in self._jobs.values():
            if not job.settled:
                job.settled = self._wish(process, job)

    def _wish(self, process: Started, job: PaidJob) -> str:
        """Return the wish of the user by which another may be bought while this job is still owed; empty = none."""
        cleared = any(clear > job.held_since for clear in self._clears)
        changed = process.inputs != job.inputs
        if cleared and process.on_clear == "resubmit":
            return "on_clear=resubmit"
        is_unknown = not job.is_recorded or job in self._unknown.get(process.process, ())
        if process.on_ambiguous_submit == "resubmit" and is_unknown:
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
            if job.bought_in == process.try_number:
                self._break(f"{event.job} was bought by the very try that had bought {job.id}")
            job.settled = job.settled or "another was bought"
        self._jobs[event.job] = PaidJob(
            id=event.job,
            inputs=process.inputs,
            holder=process,
            held_since=place,
            begun_at=self._begun.get(event.process, event.at),
            bought_at=event.at,
            buyer=event.process,
            bought_in=process.try_number,
            is_told_of=event.is_told_of and self._story.brings_ids,
        )

    def _may_be_bought_again(self, process: Started, job: PaidJob) -> bool:
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
            self._begun[event.process] = event.at
            self._settle_by_wish(process)  # it begins to buy

    def _bring(self, event: Brought) -> None:
        """Note that a webhook brought an id: from now on it is known, as if its buyer had written it."""
        job = self._jobs[event.job]
        job.is_recorded, job.came_late = True, job.is_reported
        self._has_doubt = not self._story.has_memory

    def _push(self, event: Pushed) -> None:
        job = self._jobs[event.job]
        self._handed_on.add(event.process)
        job.held_since, job.holder = self._started[event.process]
        if job.is_recorded or not self._story.has_memory:
            return
        if self._refusals.get(event.process, 0) < _ID_WRITES:
            self._break(f"{job.id} was handed on, and its id is not written")

    def _die(self, event: Died) -> None:
        bought = [job for job in self._jobs.values() if job.buyer == event.process]
        is_known = bought and all(job.is_recorded for job in bought)
        self._has_doubt = self._has_doubt or (event.leaves_doubt and not is_known)
        if not event.lives_on:
            self._must_doubt.pop(event.process, None)
            self._must_buy.pop(event.process, None)

    def _end(self, event: Ended) -> None:
        doubted, wanted = self._must_doubt.pop(event.process, []), self._must_buy.pop(event.process, None)
        doubted = [job for job in doubted if not job.is_recorded]
        if event.how == "deferred" and self._waits(event, doubted):
            return
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

    def _waits(self, event: Ended, doubted: list[PaidJob]) -> bool:
        """Note whether a process that ended deferred waits for a webhook that brings an id, as it may for a time."""
        own = [job for job in self._jobs.values() if job.buyer == event.process and job.is_lost]
        lost = doubted or (own if event.process not in self._handed_on else [])
        waits = bool(lost) and all(self._may_be_told(job, event.at) for job in lost)
        if doubted and not waits:
            self._break(f"no webhook can bring the id of {doubted[0].id} (any more), and nobody was asked")
        (self._waiting.add if waits else self._waiting.discard)(self._started[event.process][1].try_number)
        return waits

    def _may_be_told(self, job: PaidJob, at: float) -> bool:
        return job.is_told_of and at < job.bought_at + self._story.job_timeout

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

    def _asks_for(self, process: Started, job: PaidJob) -> bool:
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
        must_wait = self._started[event.process][1].on_ambiguous_submit is None and not self._refusals.get(
            event.process
        )
        for job in self._jobs.values():
            if not job.is_lost:
                continue
            if must_wait and job.is_told_of and event.at < job.begun_at + self._story.job_timeout:
                self._break(f"a webhook could still have brought the id of {job.id}, and a person was asked")
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
