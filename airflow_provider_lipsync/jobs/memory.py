"""Where a ledger is kept: Airflow's task state store (3.3 and later), or a folder in any object storage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.api.texts import without_userinfo
from airflow_provider_lipsync.exceptions import LipsyncMisconfigured
from airflow_provider_lipsync.jobs.ledger import Memory
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.media.whole import LOCAL, whole_file

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["FollowingMemory", "ObjectMemory", "StateStoreMemory", "memory_of"]

_KEY = "lipsync_job"
_RETENTION = timedelta(days=90)  # a clear may come long after the run; Airflow's own default is 30 days


class StateStoreMemory:
    """Airflow's own: one row per task instance, shared by all of its tries."""

    place = f"Airflow's task state store, key {_KEY}"
    refuses_old_tries = True  # each try has an id of its own, which Airflow forgets when the next one begins

    def __init__(self, store: Any) -> None:
        self._store = store

    def load(self) -> Any:
        """Return what was saved; None where there is nothing."""
        return self._store.get(_KEY)

    def save(self, value: dict[str, Any]) -> None:
        """Put it in the place of what was there, for another 90 days."""
        self._store.set(_KEY, value, retention=_RETENTION)


class ObjectMemory:
    """One small object per task instance, under the connection's ``ledger_path``; nobody removes it.

    :raises LipsyncMisconfigured: the path cannot be used.
    """

    refuses_old_tries = False

    def __init__(self, folder: str, key: TaskKey) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        name = f"{key.name()}.json"
        self.place = f"ledger_path, {without_userinfo(folder.rstrip('/'))}/{name}"
        try:
            self._folder: ObjectStoragePath = ObjectStoragePath(folder.rstrip("/"))
            self._path: ObjectStoragePath = self._folder / name
            _ = self._path.fs  # made when it is first asked for
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise LipsyncMisconfigured(f"the extra ledger_path cannot be used: {reason}") from error

    def load(self) -> Any:
        """Return what was saved; None where there is nothing."""
        self._check_mounted()
        try:
            content: bytes = self._path.fs.cat_file(self._path.path)  # never by a listing, which may be a cached one
        except FileNotFoundError:
            return None
        return json.loads(content)

    def save(self, value: dict[str, Any]) -> None:
        """Put it in the place of what was there, whole or not at all."""
        self._check_mounted()
        content = json.dumps(value).encode()
        if self._path.protocol in LOCAL:
            with whole_file(Path(self._path.path)) as file:
                file.write(content)
        else:
            self._path.fs.pipe_file(self._path.path, content)

    def _check_mounted(self) -> None:
        """A folder on a disk must be there: one that is not mounted looks as if nothing had ever been bought."""
        if self._path.protocol in LOCAL and not Path(self._folder.path).is_dir():
            raise NotADirectoryError(f"there is no folder {self._folder.path} (make it, or mount it)")


class FollowingMemory:
    """A folder that was given when Airflow's own store was in use already: what it does not know, the store may."""

    refuses_old_tries = False

    def __init__(self, folder: ObjectMemory, before: StateStoreMemory) -> None:
        self.place = folder.place
        self._folder, self._before = folder, before

    def load(self) -> Any:
        """Return what was saved; None where there is nothing."""
        found = self._folder.load()
        return self._before.load() if found is None else found

    def save(self, value: dict[str, Any]) -> None:
        """Put it in the place of what was there."""
        self._folder.save(value)


def memory_of(context: Mapping[str, Any], *, ledger_path: str | None) -> Memory | None:
    """Return where this task instance is remembered; None where this Airflow has no memory and none was given.

    :param context: of the task.
    :param ledger_path: the connection's; it goes before Airflow's own store, which is still read.
    :raises LipsyncMisconfigured: the path cannot be used.
    """
    store = context.get("task_state_store")
    if ledger_path:
        folder = ObjectMemory(ledger_path, TaskKey.of(context["ti"]))
        return folder if store is None else FollowingMemory(folder, StateStoreMemory(store))
    return None if store is None else StateStoreMemory(store)
