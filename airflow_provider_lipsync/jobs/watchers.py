"""The watchers of this process: one for each connection and event loop, opened by the first who waits, closed by the
last. What was learned of the jobs' durations outlives them.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from types import TracebackType

from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.clock import Clock
from airflow_provider_lipsync.jobs.line import Line
from airflow_provider_lipsync.jobs.pace import Durations
from airflow_provider_lipsync.jobs.waiting import Waiting
from airflow_provider_lipsync.jobs.watcher import Watcher

__all__ = ["Watching"]

_MOST_KINDS = 64  # of which durations are kept; more are not learned from

_Marks = tuple[float, float]
_open: dict[tuple[asyncio.AbstractEventLoop, str], _Open] = {}
_learned: dict[tuple[str, str, _Marks], Durations] = {}


class _Open:
    """A watcher and how many use it."""

    __slots__ = ("users", "watcher")

    def __init__(self, watcher: Watcher) -> None:
        self.watcher, self.users = watcher, 0


class Watching:
    """The watcher of a connection, for as long as somebody waits: ``async with Watching(conn_id) as watcher``."""

    __slots__ = ("_key",)

    def __init__(self, conn_id: str) -> None:
        self._key = (asyncio.get_running_loop(), conn_id)

    async def __aenter__(self) -> Watcher:
        opened = _open.get(self._key)
        if opened is None:
            _forget_closed_loops()
            opened = _open[self._key] = _Open(_new_watcher(self._key[1]))
        opened.users += 1
        return opened.watcher

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._key[0].is_closed():  # its trigger is collected later, perhaps while another loop runs
            _forget_closed_loops()
            return
        opened = _open[self._key]
        opened.users -= 1
        if not opened.users:
            del _open[self._key]
            closing = asyncio.get_running_loop().create_task(opened.watcher.aclose(), context=Context())
            await asyncio.shield(closing)  # one that is cancelled once more leaves it to end by itself


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
