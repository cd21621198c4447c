"""State store backends of one's own, as an administrator may write them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from airflow.state import BaseStoreBackend, TaskScope

__all__ = ["Broken", "Elsewhere", "References"]

FOLDER = Path(tempfile.gettempdir()) if "AIRFLOW_HOME" not in os.environ else Path(os.environ["AIRFLOW_HOME"])


class Elsewhere(BaseStoreBackend):
    """Keeps everything in a folder, turned round, so that nobody takes it for the table's."""

    def _path(self, scope: Any, key: str) -> Path:
        assert isinstance(scope, TaskScope)
        name = json.dumps([scope.dag_id, scope.run_id, scope.task_id, scope.map_index, key]).encode().hex()
        return FOLDER / f"{name[-200:]}.txt"

    def get(self, scope: Any, key: str, *, session: Any = None) -> str | None:
        path = self._path(scope, key)
        return path.read_text()[::-1] if path.exists() else None

    def set(self, scope: Any, key: str, value: str, *, expires_at: Any = None, session: Any = None) -> None:
        self._path(scope, key).write_text(value[::-1])

    def delete(self, scope: Any, key: str, *, session: Any = None) -> None: ...

    def clear(self, scope: Any, *, all_map_indices: bool = False, session: Any = None) -> None: ...

    async def aget(self, scope: Any, key: str, *, session: Any = None) -> str | None: ...

    async def aset(self, scope: Any, key: str, value: str, *, expires_at: Any = None, session: Any = None) -> None: ...

    async def adelete(self, scope: Any, key: str, *, session: Any = None) -> None: ...

    async def aclear(self, scope: Any, *, all_map_indices: bool = False, session: Any = None) -> None: ...


class References(Elsewhere):
    """A worker's: the store has a reference, and the value is elsewhere."""

    def serialize_task_state_store_to_ref(self, *, value: Any, key: str, scope: Any) -> str:
        self.set(scope, key, json.dumps(value))
        return str(self._path(scope, key))

    def deserialize_task_state_store_from_ref(self, stored: str) -> Any:
        return json.loads(Path(stored).read_text()[::-1])


class Broken(Elsewhere):
    """Cannot be made here."""

    def __init__(self) -> None:
        raise OSError("no credentials in this process")
