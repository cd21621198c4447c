"""The receiver as it is mounted: from a request to an answer. Whatever is wrong gets one and the same."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_lipsync.metrics import count
from airflow_provider_lipsync.plugin.webhooks.delivering import Deliveries, Outcome
from airflow_provider_lipsync.plugin.webhooks.limits import Limits, Tally
from airflow_provider_lipsync.plugin.webhooks.request import RefusedError, callback_of, job_id_of
from airflow_provider_lipsync.plugin.webhooks.secrets import Secrets

__all__ = ["Receiver"]

log = logging.getLogger(__name__)

RENEWED_EVERY = 60.0  # seconds
_FIRST_LOOK_UP = 10.0  # seconds that a delivery waits for the connections when the server has only just started
_AFTER_FAILURE = 5  # seconds, as an answer tells them

_Message = MutableMapping[str, Any]


class Receiver:
    """An ASGI app behind a route whose path parameter ``token`` names the purchase; to be used on one event loop.

    :param secrets: of the connections that are allowed.
    """

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets
        self._deliveries = Deliveries(secrets.settings)
        self._limits = Limits()
        self._refusals = Tally(log, "Requests that are no webhooks of ours, refused: %s.")
        self._looked_up = asyncio.Event()

    async def run(self) -> None:
        """Keep what is known of the connections fresh, for ever."""
        try:
            while True:
                await self.renew()
                await asyncio.sleep(RENEWED_EVERY)
        finally:
            await self._deliveries.aclose()

    async def renew(self) -> None:
        """Look the connections up anew, and tell what was counted since."""
        try:
            await to_thread.run_sync(self.secrets.renew, abandon_on_cancel=True)
        except Exception:
            log.exception("The connections whose webhooks are received could not be looked up.")
        self._looked_up.set()
        for tally in (self._refusals, self._deliveries.troubles):
            tally.tell()

    async def __call__(
        self, scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        """Answer a request.

        :raises starlette.exceptions.HTTPException: 404, as where there is no receiver at all.
        """
        try:
            response = await self._answered(Request(scope, receive))
        except RefusedError as refusal:
            self._refusals.note(refusal.reason)
            count("webhooks", conn_id="", tags={"outcome": Outcome.REFUSED.value})
            raise HTTPException(404) from None
        await response(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        await self._first_look_up()
        callback = callback_of(request, secrets=self.secrets.believed(), now=time.time())
        job_id = await job_id_of(request)
        wait = self._limits.take(callback.nonce)
        if wait:
            count("webhooks", conn_id=callback.conn_id, tags={"outcome": Outcome.FAILED.value})
            return _later(429, "Too many.", math.ceil(wait))
        outcome = await self._deliveries.take(callback, job_id)
        return (
            _later(503, "Not now.", _AFTER_FAILURE) if outcome is Outcome.FAILED else JSONResponse({"received": True})
        )

    async def _first_look_up(self) -> None:
        if self._looked_up.is_set():
            return
        try:
            async with asyncio.timeout(_FIRST_LOOK_UP):
                await self._looked_up.wait()
        except TimeoutError:
            return  # nobody is believed


def _later(status: int, detail: str, seconds: int) -> Response:
    return JSONResponse({"detail": detail}, status, headers={"Retry-After": str(seconds)})
