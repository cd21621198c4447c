"""What can be made to go wrong, and a rule that says when: parsed from JSON, strictly; pure.

Three kinds: faults of an answer (to a submit, a query, or a download), of a job, and of a webhook. Those of a job and
of its webhook are decided when it is submitted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_lipsync.api.models import Endpoint

__all__ = ["ANSWER_FAULTS", "OPTIONS", "WEBHOOK_FAULTS", "Fault", "On", "Rule", "parse_plan"]

_VENDORS_WORDS = ("processing", "completed", "failed")
_YEAR = 365 * 86400  # seconds: no fault needs longer, and every clock can count that far
_SHOWN_CHARACTERS = 80  # of a refused value


class Fault(StrEnum):
    """Everything that a plan can make go wrong."""

    DROP_ANSWER = "drop_answer"
    STATUS = "status"
    LATE_ANSWER = "late_answer"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    HTML = "html"
    SLOW_DRIP = "slow_drip"
    NEVER_ENDS = "never_ends"
    FAILS = "fails"
    UNKNOWN_STATUS = "unknown_status"
    NO_OUTPUT = "no_output"
    VANISHES = "vanishes"
    OUTPUT_EXPIRES = "output_expires"
    WEBHOOK_LOST = "webhook_lost"
    WEBHOOK_DOUBLED = "webhook_doubled"
    WEBHOOK_LATE = "webhook_late"
    WEBHOOK_EARLY = "webhook_early"


class On(StrEnum):
    """Which requests a rule looks at."""

    SUBMIT = "submit"
    VIDEO = Endpoint.VIDEO.value
    IMAGE = Endpoint.IMAGE.value
    IMAGE_MULTI = Endpoint.IMAGE_MULTI.value
    QUERY = "query"
    OUTPUT = "output"

    @property
    def is_submit(self) -> bool:
        """Whether it is one of the POSTs, or all of them."""
        return self not in (On.QUERY, On.OUTPUT)


ANSWER_FAULTS = frozenset(list(Fault)[:7])
WEBHOOK_FAULTS = frozenset(fault for fault in Fault if fault.startswith("webhook_"))
_JSON_FAULTS = frozenset({Fault.MALFORMED})  # the answer to a download is no JSON


@dataclass(frozen=True)
class _Kind:
    allowed: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class _Option:
    kind: _Kind
    default: Any = None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_SECONDS = _Kind("a number of seconds from 0 to a year", lambda value: _is_number(value) and 0 <= value <= _YEAR)
_WHOLE_SECONDS = _Kind(
    "an integer of seconds from 0 to a year", lambda value: _is_integer(value) and 0 <= value <= _YEAR
)
_SECONDS_AHEAD = _Kind("an integer of seconds, within a year", lambda value: _is_integer(value) and abs(value) <= _YEAR)
_COUNT = _Kind("an integer from 0", lambda value: _is_integer(value) and value >= 0)
_LOOKS = _Kind(
    "an integer from 1, or null = for ever", lambda value: value is None or (_is_integer(value) and value >= 1)
)
_YES_NO = _Kind("true or false", lambda value: isinstance(value, bool))
_TEXT = _Kind("a string that is not empty", lambda value: isinstance(value, str) and value != "")
_ERROR_STATUS = _Kind("an integer from 400 to 599", lambda value: _is_integer(value) and 400 <= value <= 599)
_ANY_STATUS = _Kind(
    "200, or an integer from 400 to 599", lambda value: _is_integer(value) and (value == 200 or 400 <= value <= 599)
)
_GONE_STATUS = _Kind("403, 404 or 410", lambda value: _is_integer(value) and value in (403, 404, 410))
_WORD = _Kind(
    "a string that is no status of the vendor's", lambda value: _TEXT.holds(value) and value not in _VENDORS_WORDS
)

OPTIONS: Mapping[Fault, Mapping[str, _Option]] = {
    Fault.DROP_ANSWER: {},
    Fault.STATUS: {
        "status": _Option(_ERROR_STATUS, 503),
        "accepted": _Option(_YES_NO, False),
        "retry_after": _Option(_WHOLE_SECONDS),
        "retry_after_date": _Option(_SECONDS_AHEAD),
    },
    Fault.LATE_ANSWER: {"seconds": _Option(_SECONDS, 60)},
    Fault.TRUNCATED: {"bytes": _Option(_COUNT)},
    Fault.MALFORMED: {},
    Fault.HTML: {"status": _Option(_ANY_STATUS, 200), "accepted": _Option(_YES_NO, True)},
    Fault.SLOW_DRIP: {"seconds_per_byte": _Option(_SECONDS, 0.5)},
    Fault.NEVER_ENDS: {},
    Fault.FAILS: {"error": _Option(_TEXT, "Internal error")},
    Fault.UNKNOWN_STATUS: {"status_word": _Option(_WORD, "queued"), "looks": _Option(_LOOKS)},
    Fault.NO_OUTPUT: {},
    Fault.VANISHES: {"after_looks": _Option(_COUNT, 0), "looks": _Option(_LOOKS)},
    Fault.OUTPUT_EXPIRES: {
        "after_seconds": _Option(_SECONDS),
        "after_fetches": _Option(_COUNT),
        "status": _Option(_GONE_STATUS, 403),
        "for_good": _Option(_YES_NO, False),
    },
    Fault.WEBHOOK_LOST: {},
    Fault.WEBHOOK_DOUBLED: {},
    Fault.WEBHOOK_LATE: {"seconds": _Option(_SECONDS, 60)},
    Fault.WEBHOOK_EARLY: {"seconds": _Option(_SECONDS, 0)},
}
_WHEN: Mapping[str, _Option] = {
    "rate": _Option(_Kind("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)),
    "sequence": _Option(
        _Kind(
            "an array of integers from 1",
            lambda value: (
                isinstance(value, list | tuple)
                and len(value) > 0
                and all(_is_integer(item) and item >= 1 for item in value)
            ),
        )
    ),
    "times": _Option(_Kind("an integer from 1", lambda value: _is_integer(value) and value >= 1)),
}
_WHICH = {"job_id": _Option(_TEXT)}
_ONE_OF = (tuple(_WHEN), ("retry_after", "retry_after_date"), ("after_seconds", "after_fetches"))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of a plan.

    :param fault: what goes wrong.
    :param on: which requests it looks at.
    :param rate: how many of them it hits, from 0 to 1; None = not by chance.
    :param sequence: which of them it hits, 1 = the first; None = not by number.
    :param times: how many it hits, the first ones; None = not by count. Where all three are None, it hits every one.
    :param job_id: the job that it looks at; None = every one.
    :param options: the fault's own fields, the defaults filled in.
    """

    fault: Fault
    on: On
    rate: float | None = None
    sequence: tuple[int, ...] | None = None
    times: int | None = None
    job_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accepts(self) -> bool:
        """Whether a submit that it hits is accepted and charged."""
        return bool(self.options.get("accepted", True))

    @property
    def begins(self) -> bool:
        """Whether at least the beginning of the right answer is sent."""
        return self.fault in (Fault.LATE_ANSWER, Fault.TRUNCATED, Fault.SLOW_DRIP)

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as JSON has it."""
        known = {
            "rate": self.rate,
            "sequence": None if self.sequence is None else list(self.sequence),
            "times": self.times,
            "job_id": self.job_id,
            **self.options,
        }
        given = {name: value for name, value in known.items() if value is not None}
        return {"fault": self.fault.value, "on": self.on.value, **given}


def parse_plan(plan: object) -> tuple[tuple[Rule, ...], int | None]:
    """Return the rules of a plan and its seed.

    :param plan: an array of rules, or an object with ``faults`` (that array) and ``seed``, as JSON has them.
    :raises ValueError: something in it is wrong; the message names the field and what is allowed.
    """
    parts: Mapping[str, Any] = plan if isinstance(plan, Mapping) else {"faults": plan}
    for name in parts:
        _one_of("the plan", name, ["faults", "seed"])
    rules, seed = parts.get("faults", []), parts.get("seed")
    if not isinstance(rules, list | tuple):
        raise _wrong("faults", rules, "an array of rules")
    if seed is not None and not _is_integer(seed):
        raise _wrong("seed", seed, "an integer, or null")
    return tuple(_parse_rule(f"faults[{number}]", rule) for number, rule in enumerate(rules)), seed


def _parse_rule(path: str, rule: object) -> Rule:
    if not isinstance(rule, Mapping):
        raise _wrong(path, rule, "an object")
    if "fault" not in rule:
        raise ValueError(f"{path}.fault: required, but missing; must be one of {', '.join(Fault)}")
    fault = Fault(_one_of(f"{path}.fault", rule["fault"], list(Fault)))
    on = On(_one_of(f"{path}.on", rule.get("on", On.SUBMIT.value), _places(fault), f" for {fault}"))
    known = _fields(fault, on)
    _verify_names(path, rule, fault, on, known)
    given = {name: rule[name] for name in known if rule.get(name) is not None}
    for name, value in given.items():
        _verify(f"{path}.{name}", value, known[name].kind)
    _verify_alone(path, given)
    return Rule(
        fault=fault,
        on=on,
        rate=given.get("rate"),
        sequence=tuple(given["sequence"]) if "sequence" in given else None,
        times=given.get("times"),
        job_id=given.get("job_id"),
        options={name: given.get(name, known[name].default) for name in OPTIONS[fault] if name in known},
    )


def _places(fault: Fault) -> list[On]:
    if fault not in ANSWER_FAULTS:
        return [on for on in On if on.is_submit]
    return [on for on in On if not (on is On.OUTPUT and fault in _JSON_FAULTS)]


def _fields(fault: Fault, on: On) -> dict[str, _Option]:
    own = {name: option for name, option in OPTIONS[fault].items() if on.is_submit or name != "accepted"}
    return {**_WHEN, **({} if on.is_submit else _WHICH), **own}


def _verify_names(path: str, rule: Mapping[Any, Any], fault: Fault, on: On, known: Mapping[str, _Option]) -> None:
    allowed = ["fault", "on", *known]
    for name in rule:
        if name not in allowed:
            raise ValueError(f"{path}.{_shown(name)}: no field of {fault} on {on}; there are {', '.join(allowed)}")


def _verify_alone(path: str, given: Mapping[str, Any]) -> None:
    for names in _ONE_OF:
        both = [name for name in names if name in given]
        if len(both) > 1:
            raise ValueError(f"{path}.{both[1]}: not together with {both[0]}; one of {', '.join(names)} at the most")


def _verify(path: str, value: object, kind: _Kind) -> None:
    if not kind.holds(value):
        raise _wrong(path, value, kind.allowed)


def _one_of(path: str, value: object, allowed: list[Any], why: str = "") -> str:
    if not isinstance(value, str) or value not in allowed:
        raise _wrong(path, value, f"one of {', '.join(allowed)}{why}")
    return value


def _wrong(path: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{path}: must be {allowed}, got {_shown(value)}")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) and value.isidentifier() else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
