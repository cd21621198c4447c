"""How a person gets at the video of a job that was paid for and not handed on: the words. Pure."""

from __future__ import annotations

from airflow_provider_lipsync.jobs.ledger import State
from airflow_provider_lipsync.plugin.task_facts import TaskFacts

__all__ = ["adoption_of", "fetch_it"]


def adoption_of(facts: TaskFacts, job_id: str) -> str:
    """Return all ways to get at a job's video, and what a plain clear does."""
    set_it = f'set resume_job_id="{job_id}" on the operator and clear'
    if facts.entry is None:
        return (
            f"{set_it}; or {fetch_it(job_id)}. A plain clear waits on for it where the connection has a ledger_path; "
            "where nothing is remembered, it refuses to buy, and asks. (If the task's log says that the vendor failed "
            "this job, there is nothing to fetch.)"
        )
    if facts.entry.state is State.INTENT:
        return f"{set_it}; or {fetch_it(job_id)}. A plain clear asks: the ledger could not be told this id"
    return (
        f"clear the task: with the same inputs it waits on for this job, and buys nothing; or {set_it}; or "
        f"{fetch_it(job_id)}"
    )


def fetch_it(job_id: str) -> str:
    """Return the ways that need no change of the task."""
    return f'fetch it by LipsyncJobSensor(job="{job_id}"), or LipsyncToObjectStorageOperator: both are free'
