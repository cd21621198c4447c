"""The fault plan as the command line gives it: rules in a short form, or a file; every error names its option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_provider_lipsync.sandbox.faults import parse_plan

__all__ = ["read_plan", "read_rule"]

_TEXTS = ("error", "job_id", "status_word")  # taken as they are; all others are JSON


def read_plan(path: str | None, rules: list[str], seed: int | None) -> tuple[list[Any], int | None]:
    """Return the rules of a file, then those in the short form, and the seed.

    :param path: of a JSON file; None = there is none.
    :param rules: ``[ON:]FAULT[,NAME=VALUE]...`` each.
    :param seed: None = that of the file.
    :raises ValueError: something in them is wrong, or the file cannot be read.
    """
    filed, filed_seed = ([], None) if path is None else _read_file(path)
    return [*filed, *map(read_rule, rules)], filed_seed if seed is None else seed


def read_rule(text: str) -> dict[str, Any]:
    """Return the rule that a short form stands for, as JSON has it.

    :param text: ``[ON:]FAULT[,NAME=VALUE]...``, e.g. ``query:status,status=503,sequence=1+3``.
    :raises ValueError: it stands for none.
    """
    head, *pairs = (part.strip() for part in text.split(","))
    on, colon, fault = head.rpartition(":")
    rule: dict[str, Any] = {"fault": fault, **({"on": on} if colon else {})}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name in rule:
            raise ValueError(f"--fault {text!r}: {pair!r} must be NAME=VALUE, each name once")
        rule[name] = _read_value(name, value)
    try:
        parse_plan([rule])
    except ValueError as error:
        raise ValueError(f"--fault {text!r}: {str(error).removeprefix('faults[0].')}") from None
    return rule


def _read_value(name: str, value: str) -> Any:
    if name == "sequence":
        return [_read_json(number) for number in value.split("+")]
    return value if name in _TEXTS else _read_json(value)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_file(path: str) -> tuple[list[Any], int | None]:
    try:
        plan = json.loads(Path(path).read_text(encoding="utf-8"))
        parse_plan(plan)
    except OSError as error:
        raise ValueError(f"--fault-plan {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--fault-plan {path}: {error}") from None
    return (plan.get("faults", []), plan.get("seed")) if isinstance(plan, dict) else (plan, None)
