"""The whole error tree; imports nothing of Airflow.

::

    LipsyncError
    ├── LipsyncMisconfigured      the connection or its base URL is wrong
    ├── LipsyncBadInput           400, 422, or refused here before anything was sent
    │   └── LipsyncTooLarge       413
    ├── LipsyncKeyRefused         401, 403
    ├── LipsyncNoCredits          402
    ├── LipsyncOverBudget         it would cost more than was allowed, or nobody knows what; refused here
    ├── LipsyncUnknownJob         404 for a job
    ├── LipsyncPollFault          a look at a job that did not work: says nothing about the job
    │   ├── LipsyncRateLimited    429, at a submit too
    │   ├── LipsyncVendorFault    5xx, 408
    │   ├── LipsyncUnreachable    no connection, or no answer in time
    │   └── LipsyncUnreadableAnswer
    ├── LipsyncSubmitUncertain    the job may exist and may have been charged
    ├── LipsyncMediaUnavailable   a storage of inputs or outputs cannot be reached before the submit
    ├── LipsyncLedgerUnavailable  what earlier tries did cannot be read, or the intent to buy cannot be written
    ├── LipsyncInputChanged       a retry has other inputs than the job that was bought and not yet delivered
    ├── LipsyncJobFailed          the vendor says that the job failed
    ├── LipsyncJobTimeout         not seen finished before its deadline
    └── LipsyncTransferFailed     the finished video could not be stored
        └── LipsyncOutputExists   something else stands where the video is to stand

The first line of every message has one form, for the person on call:
``job <id> · charged: yes|no|unknown · video: none|at the vendor|stored · next: <what to do>``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

__all__ = [
    "Charged",
    "LipsyncBadInput",
    "LipsyncError",
    "LipsyncInputChanged",
    "LipsyncJobFailed",
    "LipsyncJobTimeout",
    "LipsyncKeyRefused",
    "LipsyncLedgerUnavailable",
    "LipsyncMediaUnavailable",
    "LipsyncMisconfigured",
    "LipsyncNoCredits",
    "LipsyncOutputExists",
    "LipsyncOverBudget",
    "LipsyncPollFault",
    "LipsyncRateLimited",
    "LipsyncSubmitUncertain",
    "LipsyncTooLarge",
    "LipsyncTransferFailed",
    "LipsyncUnknownJob",
    "LipsyncUnreachable",
    "LipsyncUnreadableAnswer",
    "LipsyncVendorFault",
    "Video",
]


class Charged(StrEnum):
    """Whether credits were taken."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Video(StrEnum):
    """Where the finished video is."""

    NONE = "none"
    AT_VENDOR = "at the vendor"
    STORED = "stored"


class LipsyncError(Exception):
    """Anything that this provider reports.

    :param message: what happened, in a sentence.
    :param status: HTTP status of the answer; None where there was none.
    :param job_id: the vendor's id; None where no job is known.
    :param vendor_message: the vendor's own words, bounded and without the API key.
    :param retry_after: seconds that the vendor asked to wait; None where it did not.
    :param charged: whether credits were taken; None = the usual for this kind of error.
    :param video: where the finished video is; None = the usual for this kind of error.
    :param next_step: what the person on call should do; None = the usual for this kind of error.
    """

    default_charged: ClassVar[Charged] = Charged.UNKNOWN
    default_next: ClassVar[str] = "read the message below"

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        job_id: str | None = None,
        vendor_message: str = "",
        retry_after: float | None = None,
        charged: Charged | None = None,
        video: Video | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.job_id = job_id
        self.vendor_message = vendor_message
        self.retry_after = retry_after
        self.charged = charged or self.default_charged
        self.video = video or Video.NONE
        self.next_step = next_step or self.default_next

    def __str__(self) -> str:
        job = self.job_id or ("none" if self.charged is Charged.NO else "unknown")
        lines = [f"job {job} · charged: {self.charged} · video: {self.video} · next: {self.next_step}"]
        lines += [self.message] if self.message else []
        lines += [f"The vendor said: {self.vendor_message}"] if self.vendor_message else []
        return "\n".join(lines)

    def details(self) -> dict[str, object]:
        """Return the keyword arguments that make the same error again, in this class or a subclass of it."""
        names = ("status", "job_id", "vendor_message", "retry_after", "charged", "video", "next_step")
        return {name: getattr(self, name) for name in names}


class LipsyncMisconfigured(LipsyncError):
    """The connection is wrong: no key, a base URL that is none, an address that redirects or knows no such endpoint."""

    default_charged = Charged.NO
    default_next = "correct the Airflow connection, then clear the task"


class LipsyncBadInput(LipsyncError, ValueError):
    """The input was refused, by the vendor (400, 422) or here, before anything was sent."""

    default_charged = Charged.NO
    default_next = "correct the input that is named below, then clear the task"


class LipsyncTooLarge(LipsyncBadInput):
    """The request was refused because it, or its media, are too large (413)."""

    default_next = "make the media smaller or shorter, then clear the task"


class LipsyncMediaUnavailable(LipsyncError):
    """A storage cannot be reached now: of an input, of its copy, or of the output. Nothing was sent."""

    default_charged = Charged.NO
    default_next = "none if it passes: trying again is safe; else mend the storage that is named below"


class LipsyncKeyRefused(LipsyncError):
    """The API key was refused (401, 403)."""

    default_charged = Charged.NO
    default_next = "check the API key in the Airflow connection, then clear the task"


class LipsyncNoCredits(LipsyncError):
    """The account has too few API credits (402)."""

    default_charged = Charged.NO
    default_next = "buy API credits (they are not the same as user credits), then clear the task"


class LipsyncOverBudget(LipsyncError):
    """The job would cost more credits than were allowed, or it is not known how many. Nothing was sent."""

    default_charged = Charged.NO
    default_next = "shorten the media, or raise the limit that is named below, then clear the task"


class LipsyncUnknownJob(LipsyncError):
    """The vendor does not know the job (404)."""

    default_next = "check the job id, and that it was bought with this connection's API key"


class LipsyncPollFault(LipsyncError):
    """A look at a job did not work. It says nothing about the job, which goes on."""

    default_next = "none: looking again is free"


class LipsyncRateLimited(LipsyncPollFault):
    """The vendor asks to slow down (429). Nothing was done and nothing was charged for the refused request."""

    default_next = "let it be tried again later, or lower the number of parallel tasks (a pool)"


class LipsyncVendorFault(LipsyncPollFault):
    """The vendor's server failed (5xx, 408)."""


class LipsyncUnreachable(LipsyncPollFault):
    """No connection to the vendor, or no answer in time."""

    default_next = "check the network and the connection's host; trying again is safe"


class LipsyncUnreadableAnswer(LipsyncPollFault):
    """The answer to a query was not what the API documents."""


class LipsyncSubmitUncertain(LipsyncError):
    """A submit may have been accepted and charged, but its answer was lost. It must not be sent again blindly."""

    default_next = "look for the job in the vendor's dashboard before anything is submitted again"


class LipsyncLedgerUnavailable(LipsyncError):
    """The ledger could not be read or written before a submit. Nothing was sent: without memory, nothing is bought."""

    default_charged = Charged.NO
    default_next = "mend the ledger that is named below; trying again is safe"


class LipsyncInputChanged(LipsyncError):
    """The inputs of a retry are not those of the job that an earlier try bought and nobody has had yet."""

    default_charged = Charged.YES


class LipsyncJobFailed(LipsyncError):
    """The vendor says that the job failed, or calls it completed without giving a video."""

    default_charged = Charged.YES
    default_next = "mend what the vendor names, then clear the task (that buys a new job)"


class LipsyncJobTimeout(LipsyncError):
    """The job was not seen finished before its deadline. It has no cancel: it runs on, and is charged to its end."""

    default_charged = Charged.YES
    default_next = "clear the task to wait on for this job, or fetch it by LipsyncJobSensor(job=id); both are free"


class LipsyncTransferFailed(LipsyncError):
    """The finished video could not be brought into the given storage. It is still at the vendor."""

    default_charged = Charged.YES
    default_next = "mend what is named below, then clear this task: storing a video again costs nothing"


class LipsyncOutputExists(LipsyncTransferFailed):
    """Something else stands under the output path. It was not touched."""

    default_next = 'choose another output_path, or if_exists="replace", then clear this task'
