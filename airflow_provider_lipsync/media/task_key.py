"""Who a task instance is, the same for all of its tries: names its ledger, its staged files and its receipts. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["TaskKey"]

_LONGEST_NAME = 60  # characters of each readable part of an object's name


@dataclass(frozen=True, kw_only=True)
class TaskKey:
    """The identity of a task instance: the same for all of its tries."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, ti: Any) -> TaskKey:
        """Return the key of a task instance."""
        return cls(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index)

    def __str__(self) -> str:
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{mapped} of {self.run_id}"

    def name(self) -> str:
        """Return a relative path: readable, and made unmistakable by a hash."""
        parts = (self.dag_id, self.run_id, self.task_id, str(self.map_index))
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        dag_id, run_id, task_id, _ = (
            re.sub(r"[^A-Za-z0-9._+-]", "_", part)[:_LONGEST_NAME].strip(".") for part in parts
        )
        return f"{dag_id or '_'}/{run_id}~{task_id}~{self.map_index}~{digest}"
