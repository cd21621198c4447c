"""Threads of our own for what blocks on a storage: however slow one is, Airflow's own requests never wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

__all__ = ["for_posters", "for_videos"]

T = TypeVar("T")

_VIDEOS = RunVar[CapacityLimiter]("lipsync_videos")
_POSTERS = RunVar[CapacityLimiter]("lipsync_posters")
_MOST_VIDEOS = 16  # reads at once in a process; between two of them no thread is held
_MOST_POSTERS = 8  # most of them wait for the storage: only two decode at once


async def for_videos(function: Callable[..., T], *arguments: Any) -> T:
    """Run what reads a video or its receipt."""
    return await to_thread.run_sync(function, *arguments, limiter=_limiter(_VIDEOS, _MOST_VIDEOS))


async def for_posters(function: Callable[..., T], *arguments: Any) -> T:
    """Run what makes a poster."""
    return await to_thread.run_sync(function, *arguments, limiter=_limiter(_POSTERS, _MOST_POSTERS))


def _limiter(kept: RunVar[CapacityLimiter], most: int) -> CapacityLimiter:
    """Return the one of this event loop."""
    try:
        return kept.get()
    except LookupError:
        made = CapacityLimiter(most)
        kept.set(made)
        return made
