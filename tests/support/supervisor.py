"""The triggerer's other process, as far as triggers ask it for XComs."""

from __future__ import annotations

import json
from typing import Any

import pytest

__all__ = ["Supervisor"]


class Supervisor:
    """It keeps XComs, by task, map index and key, and notes what it was asked."""

    def __init__(self) -> None:
        self.xcoms: dict[tuple[str, int, str], Any] = {}
        self.asked: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> Supervisor:
        """Take the place of Airflow's."""
        patch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", self, raising=False)
        return self

    async def asend(self, message: Any) -> Any:
        from airflow.sdk.execution_time.comms import XComResult

        where = (message.task_id, message.map_index, message.key)
        self.asked.append(type(message).__name__)
        if type(message).__name__ == "SetXCom":
            self.xcoms[where] = json.loads(json.dumps(message.value))
        elif type(message).__name__ == "DeleteXCom":
            self.xcoms.pop(where, None)
        else:
            return XComResult(key=message.key, value=self.xcoms.get(where))
        return None
