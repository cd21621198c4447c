"""The watchers of this process: one for each connection and event loop, opened by the first who waits, closed by the
last. What was learned of the jobs' durations outlives them.
"""

from __future__ import annotations

import asyncio
from contextvars import Context

from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.clock import Clock
from airflow_provider_lipsync.jobs.line import Line
from airflow_provider_lipsync.jobs.pace import Durations
from airflow_provider_lipsync.jobs.waiters import HasLog, Waiter
from airflow_provider_lipsync.jobs.waiting import Waiting
from airflow_provider_lipsync.jobs.watcher import Watcher

__all__ = ["Watching", "watching"]

_MOST_KINDS = 64  # of which durations are kept; more are not learned from

_Key = tuple[asyncio.AbstractEventLoop, str]
_Marks = tuple[float, float]
_open: dict[_Key, Watching] = {}
_learned: dict[tuple[str, str, _Marks], Durations] = {}


class Watching:
    """The watcher of a connection on an event loop, and how many use it: the last one out closes it.

    :param key: the loop, and the id of the connection.
    """

    __slots__ = ("_key", "_users", "watcher")

    def __init__(self, key: _Key) -> None:
        self._key, self._users = key, 0
        self.watcher = _new_watcher(key[1])

    def enter(self, waiting: Waiting, *, owner: HasLog) -> Waiter:
        """Wait for a job: see :meth:`Watcher.enter`.

        No ``async with``: the bound method that it holds would be one more object of each that waits, for every full
        garbage collection.
        """
        self._users += 1
        return self.watcher.enter(waiting, owner=owner)

    async def leave(self, waiter: Waiter) -> None:
        """Wait no more; close the watcher if nobody does."""
        self.watcher.leave(waiter)
        if self._key[0].is_closed():  # its trigger is collected later, perhaps while another loop runs
            _forget_closed_loops()
            return
        self._users -= 1
        if not self._users:
            del _open[self._key]
            closing = asyncio.get_running_loop().create_task(self.watcher.aclose(), context=Context())
            await asyncio.shield(closing)  # one that is cancelled once more leaves it to end by itself


def watching(conn_id: str) -> Watching:
    """Return the watcher of a connection, to be entered at once."""
    key = (asyncio.get_running_loop(), conn_id)
    found = _open.get(key)
    if found is None:
        _forget_closed_loops()
        found = _open[key] = Watching(key)
    return found


def _new_watcher(conn_id: str) -> Watcher:
    clock = Clock()

    def learned(settings: ConnectionSettings, waiting: Waiting) -> Durations | None:
        is_asked = settings.adaptive_polling or waiting.webhook
        return _durations(conn_id, waiting.kind, settings) if is_asked else None

    return Watcher(Line(conn_id, clock=clock), learned=learned, clock=clock)


def _durations(conn_id: str, kind: str, settings: ConnectionSettings) -> Durations:
    key = (conn_id, kind, settings.typical_seconds)
    known = _learned.get(key)
    if known is None:
        low, high = settings.typical_seconds
        known = Durations(low=low, high=high)
        if len(_learned) < _MOST_KINDS and kind:
            _learned[key] = known
    return known


def _forget_closed_loops() -> None:
    """A loop that was closed around its triggers could not close its watchers."""
    for key in [key for key in _open if key[0].is_closed()]:
        del _open[key]
