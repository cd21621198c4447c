"""What is known of one task instance, and which task instances are ours. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_lipsync.jobs.ledger import State
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.values import Card, Entry, Failure, Result

__all__ = ["BUYING", "CARD", "FAILURE", "JOB_ID", "OURS", "RESULT", "TaskFacts"]

CARD, RESULT, JOB_ID = "lipsync_job", "return_value", "job_id"  # XCom keys; the first is the state store's key, too

FAILURE = "lipsync_error"

BUYING = ("LipsyncVideoOperator", "LipsyncImageOperator", "LipsyncImageMultiOperator")
OURS = (*BUYING, "LipsyncJobSensor", "LipsyncToObjectStorageOperator")


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """What is known of one task instance.

    :param operator: name of its class.
    :param task_state: Airflow's; None = not scheduled yet, or cleared.
    :param run_state: of its run.
    :param card: what it bought.
    :param result: what it handed on.
    :param job_id: XCom ``job_id``.
    :param entry: what the ledger in Airflow's task state store knows.
    :param unread: why the ledger's record cannot be read; empty where it can, or where there is none.
    :param failure: why the last try failed; None where it did not, or did not say.
    :param has_store: whether this Airflow has such a store at all.
    """

    key: TaskKey
    operator: str | None
    task_state: str | None
    run_state: str | None = None
    try_number: int = 0
    card: Card | None = None
    result: Result | None = None
    job_id: str | None = None
    entry: Entry | None = None
    unread: str = ""
    failure: Failure | None = None
    has_store: bool = True

    @property
    def is_lipsync(self) -> bool:
        """Whether the task is one of ours: by its class, or, for a subclass, by what it left."""
        return self.operator in OURS or self.card is not None or self.entry is not None

    @property
    def buys(self) -> bool:
        """Whether the task buys jobs, and does not only wait for them or fetch their videos."""
        return self.operator in BUYING or self.card is not None or self.entry is not None

    @property
    def bought_job_id(self) -> str | None:
        """The job of the task's last purchase: the ledger knows best, then what the task told of it."""
        told = self.card.job_id if self.card else self.job_id
        if self.entry is None or self.entry.state is State.REFUSED:
            return told
        return self.entry.job_id or told
