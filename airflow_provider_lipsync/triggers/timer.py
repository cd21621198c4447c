"""LipsyncTimerTrigger: waits for a moment. It asks nobody anything; what comes then is the worker's to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_lipsync.jobs.clock import asleep_until

__all__ = ["LipsyncTimerTrigger"]


class LipsyncTimerTrigger(BaseTrigger):
    """Fires one event, ``{"status": "due", "until"}``, at a moment; at once where it has passed.

    :param until: seconds since the epoch: wall-clock, so that a restart changes nothing.
    """

    def __init__(self, *, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield the one event."""
        await asleep_until(self.until)
        yield TriggerEvent({"status": "due", "until": self.until})  # type: ignore[no-untyped-call]
