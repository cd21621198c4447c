"""The product with one of the things taken out that it stands on, each time: what the law must notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_lipsync.api import wire
from airflow_provider_lipsync.api.client import LipsyncClient
from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.exceptions import LipsyncPollFault, LipsyncSubmitUncertain
from airflow_provider_lipsync.jobs import delivery, purchase
from airflow_provider_lipsync.jobs.callbacks import deadline_of
from airflow_provider_lipsync.jobs.delivery import delivered_job
from airflow_provider_lipsync.jobs.ledger import Generation, Ledger, Record, State
from airflow_provider_lipsync.jobs.policy import Action, Plan
from airflow_provider_lipsync.operators import buying
from airflow_provider_lipsync.operators.job import JobOperator
from airflow_provider_lipsync.operators.remembering import RememberingTask
from airflow_provider_lipsync.operators.told import ToldTask
from airflow_provider_lipsync.triggers import delivery as awaiting
from airflow_provider_lipsync.triggers import lipsync as waiting
from tests.reliability.plan import Cell, Death, Fault, Way

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True)
class Mutant:
    """A change, and where it shows.

    :param what: is wrong.
    :param change: the product.
    :param cells: where its schedules are drawn from.
    :param broken: how the law names it.
    """

    what: str
    change: Callable[[pytest.MonkeyPatch], None]
    cells: tuple[Cell, ...]
    broken: str


def _forget_intent(patch: pytest.MonkeyPatch) -> None:
    def intend(ledger: Ledger, *, endpoint: str, fingerprint: Mapping[str, str], now: float, **told: Any) -> Record:
        return Record(
            state=State.INTENT,
            endpoint=endpoint,
            generation=ledger.generation,
            submitted_at=now,
            fingerprint=fingerprint,
            webhook_until=told.get("webhook_until"),
        )

    patch.setattr(Ledger, "intend", intend)


def _forget_id(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "bought", lambda *_: None)


def _take_all_for_clears(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Generation, "is_clear_of", lambda *_: True)


def _take_none_for_clears(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Generation, "is_clear_of", lambda *_: False)


def _forget_who_holds(patch: pytest.MonkeyPatch) -> None:
    renew = Ledger.renew

    def renew_others(ledger: Ledger, record: Record) -> Record:
        kept = ledger.read()
        return record if kept is not None and kept.nonce == record.nonce else renew(ledger, record)

    patch.setattr(Ledger, "renew", renew_others)


def _call_lost_answers_refusals(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "uncertain", Ledger.refused)


def _tell_too_early(patch: pytest.MonkeyPatch) -> None:
    hand_on = RememberingTask._hand_on

    def tell_at_once(task: RememberingTask, job: Job) -> Any:
        result = hand_on(task, job)
        if task._ledger:
            task._ledger.ended(State.DELIVERED, job.id)
        return result

    patch.setattr(RememberingTask, "_hand_on", tell_at_once)


def _never_tell(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RememberingTask, "record_delivery", lambda *_: None)


def _call_blindness_failure(patch: pytest.MonkeyPatch) -> None:
    get_job = LipsyncClient.get_job

    def see(client: LipsyncClient, job_id: str, **options: Any) -> Job:
        try:
            return get_job(client, job_id, **options)
        except LipsyncPollFault:
            return Job(id=job_id, status=JobStatus.FAILED, raw_status="failed")

    patch.setattr(LipsyncClient, "get_job", see)


def _send_posts_again(patch: pytest.MonkeyPatch) -> None:
    may = wire.may_resend_post
    patch.setattr(wire, "may_resend_post", lambda error: may(error) or isinstance(error, LipsyncSubmitUncertain))


def _let_doubt_overwrite(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "_is_found", lambda *_: False)


def _wait_for_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ToldTask, "_await_delivery", lambda *_: True)


def _buy_when_back(patch: pytest.MonkeyPatch) -> None:
    execute_again = JobOperator.execute_again

    def buy(task: JobOperator, context: Any, *arguments: Any, **told: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(purchase, "plan_try", lambda *_, **__: Plan(action=Action.BUY))
            return execute_again(task, context, *arguments, **told)

    patch.setattr(JobOperator, "execute_again", buy)


def _take_any_delivery(patch: pytest.MonkeyPatch) -> None:
    def take(value: Any, nonce: str) -> Job | None:
        return delivered_job(value, value["nonce"] if value else nonce)

    for module in (delivery, awaiting, waiting):
        patch.setattr(module, "delivered_job", take)


def _take_own_jobs_for_those_of_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(purchase.Purchase, "_is_own", lambda *_: False)


def _wait_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(buying, "_MOST_LOST", 1)


def _wait_in_vain(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ToldTask, "_brought_until", lambda _, record: deadline_of(record))


def _cells(fault: Fault, *deaths: Death, ways: tuple[Way, ...] = tuple(Way)) -> tuple[Cell, ...]:
    return tuple(Cell(fault, death, way) for death in deaths for way in ways)


_BOUGHT = "was bought although .* is neither delivered, nor failed, nor given up"

MUTANTS = (
    Mutant(
        "the intent is not written",
        _forget_intent,
        _cells(Fault.NONE, Death.BEFORE_ANSWER, Death.BEFORE_ID),
        "may have been paid for, its id is not known, and a POST was sent",
    ),
    Mutant(
        "the id is not written",
        _forget_id,
        _cells(Fault.NONE, Death.BEFORE_HANDOVER, Death.WAITING),
        "it called uncertain what it had to know|was handed on, and its id is not written",
    ),
    Mutant(
        "every try is taken for a clear", _take_all_for_clears, _cells(Fault.INPUTS, Death.WAITING, Death.RACE), _BOUGHT
    ),
    Mutant(
        "no try is taken for a clear",
        _take_none_for_clears,
        _cells(Fault.NONE, Death.NONE, ways=(Way.CLEAR,)),
        "was delivered, and a person cleared to have another, and nothing was bought",
    ),
    Mutant(
        "a try that re-attaches does not write that it did",
        _forget_who_holds,
        _cells(Fault.INPUTS, Death.RACE, Death.BEFORE_SUCCESS, *Death, ways=(Way.CLEAR,)),
        _BOUGHT,
    ),
    Mutant(
        "a lost answer is taken for a refusal",
        _call_lost_answers_refusals,
        _cells(Fault.ACCEPTED_5XX, Death.BEFORE_FAILURE),
        "may have been paid for, its id is not known, and a POST was sent",
    ),
    Mutant(
        "a result counts as delivered before Airflow has it",
        _tell_too_early,
        _cells(Fault.NONE, Death.BEFORE_SUCCESS),
        _BOUGHT,
    ),
    Mutant(
        "nothing counts as delivered",
        _never_tell,
        _cells(Fault.NONE, Death.NONE, ways=(Way.CLEAR,)),
        "was delivered, and a person cleared to have another, and nothing was bought",
    ),
    Mutant(
        "a look that fails is taken for a job that failed",
        _call_blindness_failure,
        _cells(Fault.LOOKS, Death.BEFORE_HANDOVER),
        _BOUGHT,
    ),
    Mutant(
        "our own doubt takes the place of an id that a webhook brought",
        _let_doubt_overwrite,
        _cells(Fault.LOST, Death.BEFORE_HANDOVER, Death.BEFORE_SUCCESS),
        f"it called uncertain what it had to know|a resume sent a POST|{_BOUGHT}",
    ),
    Mutant(
        "nobody waits for the webhook that brings an id",
        _wait_for_nothing,
        _cells(Fault.LOST, Death.BEFORE_HANDOVER),
        "a webhook could still have brought the id of .*, and a person was asked",
    ),
    Mutant(
        "who waited for an id buys, whatever the ledger says",
        _buy_when_back,
        _cells(Fault.LOST, Death.BEFORE_HANDOVER),
        f"may have been paid for, its id is not known, and a POST was sent|{_BOUGHT}",
    ),
    Mutant(
        "a delivery of another purchase is taken",
        _take_any_delivery,
        _cells(Fault.LOST, Death.BEFORE_ANSWER, *Death),
        f"may have been paid for|{_BOUGHT}",
    ),
    Mutant(
        "a job whose id came back and that failed is bought again by its own try",
        _take_own_jobs_for_those_of_others,
        _cells(Fault.LOST, Death.BEFORE_SUCCESS, Death.RACE),
        "was bought by the very try that had bought",
    ),
    Mutant(
        "of two ids that a try may wait for, it waits for the first alone",
        _wait_once,
        _cells(Fault.LOST, Death.BEFORE_ANSWER, Death.BEFORE_POST),
        "a webhook could still have brought the id of .*, and a person was asked",
    ),
    Mutant(
        "an id is waited for that nobody brings",
        _wait_in_vain,
        _cells(Fault.LOST, Death.BEFORE_HANDOVER),
        r"no webhook can bring the id of .* \(any more\), and nobody was asked",
    ),
    Mutant("a POST is sent again after a 5xx", _send_posts_again, _cells(Fault.ACCEPTED_5XX, Death.WAITING), _BOUGHT),
)
