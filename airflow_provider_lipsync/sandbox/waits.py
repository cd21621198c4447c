"""Waiting in the middle of an answer: until the time is up, the client is gone, or the sandbox stops or is reset."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

__all__ = ["Waits", "until_disconnect"]


class Waits:
    """All waits of a sandbox, so that they can be ended together."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    async def wait(self, seconds: float, receive: Receive) -> bool:
        """Wait, and return whether the whole time went by.

        :param receive: of the request, its body read before; it tells when the client hangs up.
        """
        ends = [asyncio.create_task(self._over.wait()), asyncio.create_task(until_disconnect(receive))]
        try:
            done, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        return not done

    def interrupt(self) -> None:
        """End every wait that is under way."""
        self._over.set()
        self._over = asyncio.Event()


async def until_disconnect(receive: Receive) -> None:
    """Return once the connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
