"""What the receiver still does for a purchase when the request was answered; bounded, and lost with the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Later", "Turns"]

_MOST = 2000  # purchases; beyond it there is only polling


class Later:
    """One task at the most for each purchase: the newest knows most."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, nonce: str, work: Coroutine[Any, Any, None]) -> None:
        """Let something be done for a purchase, instead of what was to be done for it."""
        before = self._tasks.get(nonce)
        if before is None and len(self._tasks) >= _MOST:
            work.close()
            return
        if before is not None and before is not asyncio.current_task():
            before.cancel()
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[nonce] = task
        task.add_done_callback(lambda done: self._forget(nonce, done))

    def __len__(self) -> int:
        return len(self._tasks)

    def _forget(self, nonce: str, done: asyncio.Task[None]) -> None:
        if self._tasks.get(nonce) is done:
            del self._tasks[nonce]


class Turns:
    """Lets one at a time work for a purchase: of two deliveries at once, the second finds what the first has done."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, nonce: str) -> AsyncIterator[None]:
        """Wait for one's turn."""
        lock, waiting = self._locks.get(nonce, (asyncio.Lock(), 0))
        self._locks[nonce] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks.pop(nonce)
            if waiting > 1:
                self._locks[nonce] = (lock, waiting - 1)
