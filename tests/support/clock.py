"""A clock that is turned by hand: a timer's moment comes as soon as everybody waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_lipsync.jobs.clock import Clock

__all__ = ["TurnedClock"]


class TurnedClock:
    """Replaces the wall clock of what waits in the triggerer; ``moments`` are those that were waited for."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.began = self.time = now
        self.moments: list[float] = []

    def install(self, patch: pytest.MonkeyPatch) -> TurnedClock:
        patch.setattr(Clock, "now", lambda _: self.time)
        patch.setattr(Clock, "call_at", lambda _, moment, callback: self.call_at(moment, callback))
        return self

    def call_at(self, moment: float, callback: Callable[[], None]) -> Any:
        self.moments.append(moment)

        def come() -> None:
            self.time = max(self.time, moment)
            callback()

        return asyncio.get_running_loop().call_soon(come)
