"""Drives a generator that yields what to do next, for sync and for async callers, so that no logic stands twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

__all__ = ["adrive", "drive"]

Step = TypeVar("Step")
Reply = TypeVar("Reply")
End = TypeVar("End")


def drive(flow: Generator[Step, Reply | None, End], act: Callable[[Step], Reply]) -> End:
    """Do each step, tell the flow what came of it, and return what the flow returns."""
    reply: Reply | None = None
    while True:
        try:
            step = flow.send(reply)
        except StopIteration as done:
            end: End = done.value
            return end
        reply = act(step)


async def adrive(flow: Generator[Step, Reply | None, End], act: Callable[[Step], Awaitable[Reply]]) -> End:
    """Do each step, asynchronously; see :func:`drive`."""
    reply: Reply | None = None
    while True:
        try:
            step = flow.send(reply)
        except StopIteration as done:
            end: End = done.value
            return end
        reply = await act(step)
