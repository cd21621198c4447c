"""What a user may ask for about earlier jobs and standing videos: the allowed values, checked while a DAG is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from airflow_provider_lipsync.exceptions import LipsyncBadInput

__all__ = ["IfExists", "OnAmbiguousSubmit", "OnChangedInput", "OnClear", "OnNoCredits", "Wishes", "checked_if_exists"]

OnClear = Literal["auto", "resubmit", "reuse"]
OnAmbiguousSubmit = Literal["resubmit"]
OnChangedInput = Literal["fail", "reattach", "resubmit"]
OnNoCredits = Literal["fail", "retry"]
IfExists = Literal["reuse", "replace", "fail"]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user asked for; see the operator.

    :raises ValueError: a value that is none; the message names it and what is allowed.
    """

    on_clear: OnClear = "auto"
    on_ambiguous_submit: OnAmbiguousSubmit | None = None
    on_changed_input: OnChangedInput = "fail"
    on_no_credits: OnNoCredits = "fail"

    def __post_init__(self) -> None:
        allowed = {
            "on_clear": get_args(OnClear),
            "on_ambiguous_submit": (None, *get_args(OnAmbiguousSubmit)),
            "on_changed_input": get_args(OnChangedInput),
            "on_no_credits": get_args(OnNoCredits),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name}: allowed are {', '.join(map(str, values))}; got {getattr(self, name)!r}")


def checked_if_exists(value: object) -> IfExists:
    """Return what to do where something stands under the output path already.

    :raises LipsyncBadInput: it is no choice.
    """
    for choice in get_args(IfExists):
        if value == choice:
            return cast(IfExists, choice)
    raise LipsyncBadInput(f"if_exists: allowed are {', '.join(get_args(IfExists))}; got {value!r}")
