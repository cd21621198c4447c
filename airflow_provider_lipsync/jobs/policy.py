"""What a try does about the job of an earlier one: the table of `docs/reliability.md`, as a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_lipsync.jobs.fingerprint import changed_fields
from airflow_provider_lipsync.jobs.ledger import Generation, Record, State
from airflow_provider_lipsync.jobs.wishes import Wishes

__all__ = ["Action", "Plan", "plan_try"]


class Action(StrEnum):
    """What a try does."""

    BUY = "buy"
    ASK = "ask"  # a submit may have been charged: a person decides
    REATTACH = "reattach"  # wait for the job, or hand on its result; buy only if the vendor says that it failed
    REFUSE = "refuse"  # the inputs changed: as REATTACH where the job failed, else fail


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a try does, and what the log should say of it.

    :param changed: names of the fields whose input is not what it was.
    :param given_up: id of a job that was not delivered, and that nobody will wait for.
    """

    action: Action
    changed: tuple[str, ...] = ()
    given_up: str | None = None


def plan_try(record: Record | None, *, generation: Generation, fingerprint: Mapping[str, str], wishes: Wishes) -> Plan:
    """Return what this try does about what the ledger says.

    :param record: of the last job of this task instance; None = there was none.
    :param generation: of this try.
    :param fingerprint: of what this try would ask for.
    """
    if record is None or record.state in (State.REFUSED, State.FAILED):
        return Plan(action=Action.BUY)
    cleared = generation.is_clear_of(record.generation)
    undelivered = record.job_id if record.state is State.BOUGHT else None
    if cleared and wishes.on_clear == "resubmit":
        return Plan(action=Action.BUY, given_up=undelivered)
    if record.state is State.INTENT:
        return Plan(action=Action.BUY if wishes.on_ambiguous_submit == "resubmit" else Action.ASK)
    changed = changed_fields(record.fingerprint, fingerprint) if record.fingerprint else ()
    if changed and wishes.on_changed_input != "reattach" and (cleared or undelivered):
        buys = cleared or wishes.on_changed_input == "resubmit"
        return Plan(
            action=Action.BUY if buys else Action.REFUSE, changed=changed, given_up=undelivered if buys else None
        )
    if record.state is State.DELIVERED and cleared and wishes.on_clear == "auto":
        return Plan(action=Action.BUY, changed=changed)
    return Plan(action=Action.REATTACH, changed=changed)
