"""The plan of a running sandbox: which rule hits which request, and how often it did; no clock, no HTTP."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Iterable
from typing import Any

from airflow_provider_lipsync.api.models import Endpoint
from airflow_provider_lipsync.sandbox.faults import ANSWER_FAULTS, WEBHOOK_FAULTS, Fault, On, Rule

__all__ = ["FaultPlan"]

log = logging.getLogger(__name__)

_JOB_FAULTS = frozenset(Fault) - ANSWER_FAULTS


class FaultPlan:
    """Rules in an order that counts: where two would hit the same answer, the first one does.

    :param rules: the plan from the start, which :meth:`reset` puts back.
    :param seed: makes rates reproducible; None = by real chance.
    """

    def __init__(self, rules: Iterable[Rule] = (), seed: int | None = None) -> None:
        self._first = (tuple(rules), seed)
        self.reset()

    def reset(self) -> None:
        """Put the plan from the start back, with nothing counted."""
        self.replace(*self._first)

    def replace(self, rules: Iterable[Rule], seed: int | None = None) -> None:
        """Take another plan, with nothing counted."""
        self.seed = seed
        self._lines = [_Line(rule, _chance(seed, number)) for number, rule in enumerate(rules)]

    def deal_submit(self, endpoint: Endpoint) -> Rule | None:
        """Count a valid submit, and return what hits its answer."""
        return self._deal_answer((On.SUBMIT, On(endpoint.value)), None)

    def deal_look(self, on: On, job_id: str) -> Rule | None:
        """Count a query or a download of a job, and return what hits its answer."""
        return self._deal_answer((on,), job_id)

    def deal_job(self, endpoint: Endpoint, *, has_webhook: bool) -> dict[Fault, Rule]:
        """Count an accepted submit, and return what will hit its job and its webhook."""
        if not self._lines:
            return {}
        faults = _JOB_FAULTS if has_webhook else _JOB_FAULTS - WEBHOOK_FAULTS
        dealt: dict[Fault, Rule] = {}
        for line in self._hits(faults, (On.SUBMIT, On(endpoint.value)), None):
            if line.rule.fault not in dealt:
                dealt[line.rule.fault] = line.fire()
        return dealt

    def as_dict(self) -> dict[str, Any]:
        """Return the plan, with what each rule matched and hit so far."""
        return {"seed": self.seed, "faults": [line.as_dict() for line in self._lines]}

    def _deal_answer(self, places: Collection[On], job_id: str | None) -> Rule | None:
        if not self._lines:
            return None
        hits = self._hits(ANSWER_FAULTS, places, job_id)
        return hits[0].fire() if hits else None

    def _hits(self, faults: Collection[Fault], places: Collection[On], job_id: str | None) -> list[_Line]:
        matching = [
            line
            for line in self._lines
            if line.rule.fault in faults and line.rule.on in places and line.rule.job_id in (None, job_id)
        ]
        return [line for line in matching if line.count_match()]


class _Line:
    """A rule, and how often it matched and hit."""

    def __init__(self, rule: Rule, chance: random.Random) -> None:
        self.rule = rule
        self._chance = chance
        self._matched = self._fired = 0

    def count_match(self) -> bool:
        """Count a request, and return whether the rule would hit it."""
        self._matched += 1
        rule = self.rule
        if rule.rate is not None:
            return self._chance.random() < rule.rate
        if rule.sequence is not None:
            return self._matched in rule.sequence
        return rule.times is None or self._matched <= rule.times

    def fire(self) -> Rule:
        """Count a hit, and return the rule."""
        self._fired += 1
        log.info("fault %s on %s", self.rule.fault, self.rule.on)
        return self.rule

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as JSON has it, and the two counts."""
        return {**self.rule.as_dict(), "matched": self._matched, "fired": self._fired}


def _chance(seed: int | None, number: int) -> random.Random:
    """Return a die for each rule alone, so that what hits one rule's third request hangs on no other rule."""
    return random.Random(None if seed is None else f"{seed}/{number}")  # noqa: S311 - nothing secret hangs on it
