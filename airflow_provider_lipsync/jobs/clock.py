"""The wall clock of what waits, and timers on it: in one place, so that a test may turn it by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from typing import Protocol

__all__ = ["Clock", "Timer", "asleep_until"]

_LONGEST_TIMER = 60.0  # seconds: a machine that slept, or whose clock was set, is noticed within


async def asleep_until(moment: float) -> None:
    """Sleep until a moment, in seconds since the epoch; a clock that is set meanwhile is noticed."""
    while (left := moment - time.time()) > 0:  # noqa: ASYNC110 - it is a clock that is waited for
        await asyncio.sleep(min(left, _LONGEST_TIMER))


class Timer(Protocol):
    """What can be called off."""

    def cancel(self) -> None: ...


class Clock:
    """Seconds since the epoch, and calls at such a moment."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def call_at(self, moment: float, callback: Callable[[], None]) -> Timer:
        """Call back on the running loop at a moment or a little before it, in a context of no trigger's.

        :param moment: seconds since the epoch. One that is far off is called early: look at the clock again then.
        """
        seconds = min(max(0.0, moment - self.now()), _LONGEST_TIMER)
        return asyncio.get_running_loop().call_later(seconds, callback, context=Context())
