"""What will happen to one job, as it was decided when it was submitted; no clock, no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lipsync.sandbox.faults import Fault, Rule

__all__ = ["JobFaults"]

_FRESH_TOKEN = "2"  # noqa: S105 - of the URL that a job names once its first one was refused; no secret


class JobFaults:
    """The faults of one job, and how far they have come.

    :param rules: what hits it, by the fault; nothing = a job like any other.
    """

    def __init__(self, rules: Mapping[Fault, Rule] | None = None) -> None:
        self._rules = dict(rules or {})
        self._refused = False  # whether a fetch of the first URL was turned down
        self._fresh = False  # whether a URL was handed out since

    @property
    def names(self) -> list[str]:
        """The faults, for the ledger."""
        return [fault.value for fault in self._rules]

    @property
    def never_ends(self) -> bool:
        """Whether it is processing until somebody finishes it."""
        return Fault.NEVER_ENDS in self._rules

    @property
    def error(self) -> str:
        """What it fails with; empty = it does not."""
        return str(self._options(Fault.FAILS).get("error", ""))

    @property
    def has_output(self) -> bool:
        """Whether it names a URL once it is completed."""
        return Fault.NO_OUTPUT not in self._rules

    @property
    def webhook_times(self) -> int:
        """How often its webhook is sent."""
        if Fault.WEBHOOK_LOST in self._rules:
            return 0
        return 2 if Fault.WEBHOOK_DOUBLED in self._rules else 1

    @property
    def webhook_seconds(self) -> float:
        """How much later than usual its webhook is sent, in seconds."""
        return float(self._options(Fault.WEBHOOK_LATE).get("seconds", 0))

    @property
    def has_early_webhook(self) -> bool:
        """Whether its webhook is sent before a query sees it finished."""
        return Fault.WEBHOOK_EARLY in self._rules and self.webhook_times > 0

    @property
    def hidden_seconds(self) -> float:
        """How long queries say processing after an early webhook was sent, in seconds."""
        return float(self._options(Fault.WEBHOOK_EARLY).get("seconds", 0))

    def is_gone(self, look: int) -> bool:
        """Whether a query finds no job.

        :param look: which query of the job this is, 1 = the first.
        """
        vanishes = self._rules.get(Fault.VANISHES)
        return vanishes is not None and _is_within(look - vanishes.options["after_looks"], vanishes.options["looks"])

    def status_word(self, look: int) -> str | None:
        """Return the word that a query gives for the status; None = the real one."""
        unknown = self._rules.get(Fault.UNKNOWN_STATUS)
        if unknown is None or not _is_within(look, unknown.options["looks"]):
            return None
        return str(unknown.options["status_word"])

    def hand_out_query(self) -> str:
        """Return the query string of the video's URL, as a look at the job hands it out now."""
        self._fresh = self._fresh or (self._refused and not self._options(Fault.OUTPUT_EXPIRES)["for_good"])
        return self.query

    @property
    def query(self) -> str:
        """The query string of the video's URL, as it was handed out last."""
        return f"?token={_FRESH_TOKEN}" if self._fresh else ""

    def refuse_fetch(self, token: str | None, *, age: float, fetches: int) -> int | None:
        """Return the status that a fetch of the video is turned down with; None = it is served.

        :param token: of the URL that is fetched; None = it has none.
        :param age: seconds since the job was completed.
        :param fetches: how often the video was fetched so far.
        """
        options = self._options(Fault.OUTPUT_EXPIRES)
        if not options or (self._fresh and token == _FRESH_TOKEN) or not _has_expired(options, age, fetches):
            return None
        self._refused = True
        return int(options["status"])

    def _options(self, fault: Fault) -> Mapping[str, Any]:
        return self._rules[fault].options if fault in self._rules else {}


def _is_within(number: int, count: int | None) -> bool:
    return number >= 1 and (count is None or number <= count)


def _has_expired(options: Mapping[str, Any], age: float, fetches: int) -> bool:
    if options["after_seconds"] is not None:
        return bool(age >= options["after_seconds"])
    return bool(fetches >= (options["after_fetches"] or 0))
