"""Threads of our own for what blocks on a storage or a database: Airflow's own requests never wait for one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

__all__ = ["for_deliveries", "for_folders", "for_posters", "for_videos"]

T = TypeVar("T")

_VIDEOS = RunVar[CapacityLimiter]("lipsync_videos")
_POSTERS = RunVar[CapacityLimiter]("lipsync_posters")
_DELIVERIES = RunVar[CapacityLimiter]("lipsync_deliveries")
_FOLDERS = RunVar[CapacityLimiter]("lipsync_folders")
_MOST_VIDEOS = 16  # reads at once in a process; between two of them no thread is held
_MOST_POSTERS = 8  # most of them wait for the storage: only two decode at once
_MOST_DELIVERIES = 4  # webhooks that use the database at once: fewer than the connections that Airflow opens to it
_MOST_FOLDERS = 8  # ledgers in storages that are read at once


async def for_videos(function: Callable[..., T], *arguments: Any) -> T:
    """Run what reads a video or its receipt."""
    return await to_thread.run_sync(function, *arguments, limiter=_limiter(_VIDEOS, _MOST_VIDEOS))


async def for_posters(function: Callable[..., T], *arguments: Any) -> T:
    """Run what makes a poster."""
    return await to_thread.run_sync(function, *arguments, limiter=_limiter(_POSTERS, _MOST_POSTERS))


async def for_deliveries(function: Callable[..., T], *arguments: Any) -> T:
    """Run what a webhook asks of the database; whoever waits for it may leave."""
    limiter = _limiter(_DELIVERIES, _MOST_DELIVERIES)
    return await to_thread.run_sync(function, *arguments, limiter=limiter, abandon_on_cancel=True)


async def for_folders(function: Callable[..., T], *arguments: Any) -> T:
    """Run what reads a ledger in a storage, likewise."""
    limiter = _limiter(_FOLDERS, _MOST_FOLDERS)
    return await to_thread.run_sync(function, *arguments, limiter=limiter, abandon_on_cancel=True)


def _limiter(kept: RunVar[CapacityLimiter], most: int) -> CapacityLimiter:
    """Return the one of this event loop."""
    try:
        return kept.get()
    except LookupError:
        made = CapacityLimiter(most)
        kept.set(made)
        return made
