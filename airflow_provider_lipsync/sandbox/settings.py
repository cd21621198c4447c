"""How a sandbox behaves, as one frozen value: loads nothing but the standard library."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_lipsync.sandbox.faults import Rule, parse_plan

__all__ = ["DEFAULT_JOB_SECONDS", "DEFAULT_KEY", "Settings"]

DEFAULT_KEY = "sk_sandbox_key"
DEFAULT_JOB_SECONDS = (30.0, 120.0)  # stated by the vendor as typical


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the command line sets, and :class:`~airflow_provider_lipsync.sandbox.server.SandboxServer` too.

    :param keys: API keys that are let in; jobs belong to the key that submitted them.
    :param canned: serve one small canned video for every job, without fetching any media.
    :param speed: how many times faster than the vendor: job times are divided by it.
    :param job_seconds: shortest and longest time that a job takes, before the speed factor; None = the vendor's
        typical 30-120 s, or no time at all where the video is canned.
    :param renderers: how many videos are rendered at the same time; None = one per core.
    :param faults: the plan of what goes wrong, a rule each, as JSON has them; see ``docs/sandbox.md``.
    :param fault_seed: makes the rates of the plan reproducible; None = by real chance.
    :raises ValueError: a value makes no sense.
    """

    keys: tuple[str, ...] = (DEFAULT_KEY,)
    canned: bool = False
    speed: float = 1.0
    job_seconds: tuple[float, float] | None = None
    renderers: int | None = None
    faults: Sequence[Any] = ()
    fault_seed: int | None = None

    def __post_init__(self) -> None:
        if not self.keys or not all(
            key and key.isascii() and key.isprintable() and " " not in key for key in self.keys
        ):
            raise ValueError("keys: at least one is needed, each of visible ASCII characters")
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise ValueError(f"speed: must be a number above 0, got {self.speed!r}")
        low, high = self.job_range
        if not (math.isfinite(high) and 0 <= low <= high):
            raise ValueError(f"job_seconds: must be 0 <= low <= high, got {(low, high)!r}")
        if self.renderers is not None and self.renderers < 1:
            raise ValueError(f"renderers: must be at least 1, got {self.renderers!r}")
        self.read_plan()

    @property
    def job_range(self) -> tuple[float, float]:
        """Shortest and longest job time in seconds, the speed factor applied."""
        low, high = self.job_seconds or ((0.0, 0.0) if self.canned else DEFAULT_JOB_SECONDS)
        return low / self.speed, high / self.speed

    @property
    def render_slots(self) -> int:
        """How many videos may be rendered at the same time."""
        return self.renderers or os.cpu_count() or 1

    def read_plan(self) -> tuple[tuple[Rule, ...], int | None]:
        """Return the rules of what goes wrong, and their seed."""
        return parse_plan({"faults": self.faults, "seed": self.fault_seed})

    def key_id(self, key: str) -> str | None:
        """Return the name that stands for a key in ledger and log (``key-1`` for the first); None = not let in."""
        return f"key-{self.keys.index(key) + 1}" if key in self.keys else None

    def redact(self, text: str) -> str:
        """Return the text with every key in it replaced by the key's name."""
        for number, key in enumerate(self.keys, start=1):
            text = text.replace(key, f"[key-{number}]")
        return text
