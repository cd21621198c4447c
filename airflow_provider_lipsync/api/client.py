"""LipsyncClient and AsyncLipsyncClient: two thin shells on httpx over one pure core (``wire`` and ``answers``).

Each holds two httpx clients: a pooled one for queries, and one that opens a fresh connection for every submit, since on
a kept-alive connection that the server had closed "never left" cannot be told from "lost".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx

from airflow_provider_lipsync.api.answers import Answer, NoAnswer
from airflow_provider_lipsync.api.flow import adrive, drive
from airflow_provider_lipsync.api.models import Job, SubmitRequest
from airflow_provider_lipsync.api.reading import aforget_location, aread_answer, forget_location, no_answer, read_answer
from airflow_provider_lipsync.api.retry import RetryPolicy
from airflow_provider_lipsync.api.settings import ClientSettings, Timeouts
from airflow_provider_lipsync.api.wire import (
    DEFAULT_BASE_URL,
    Exchange,
    PreparedRequest,
    Send,
    Target,
    Wait,
    query_exchange,
    submit_exchange,
)
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncMisconfigured

__all__ = ["AsyncLipsyncClient", "LipsyncClient"]


HttpClient = TypeVar("HttpClient", httpx.Client, httpx.AsyncClient)


class _Client(Generic[HttpClient]):
    """What the two shells share: settings, the two exchanges, and the two httpx clients."""

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        timeouts: Timeouts | None = None,
        max_connections: int = 10,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.settings = ClientSettings(
            target=Target(base_url=base_url.rstrip("/"), api_key=api_key),
            timeouts=timeouts or Timeouts(),
            max_connections=max_connections,
            retry=retry or RetryPolicy(),
        )
        self._open: list[HttpClient] = []

    def _new_client(self, arguments: dict[str, Any]) -> HttpClient:
        raise NotImplementedError

    @cached_property
    def _querying(self) -> HttpClient:
        return self._opened(keepalive=self.settings.max_connections)

    @cached_property
    def _posting(self) -> HttpClient:
        return self._opened(keepalive=0)

    def _opened(self, *, keepalive: int) -> HttpClient:
        try:
            self._open.append(self._new_client(self.settings.httpx_arguments(keepalive=keepalive)))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise LipsyncMisconfigured(f"no HTTP client can be made (proxy or certificates?): {reason}") from error
        return self._open[-1]

    def _take_open(self) -> list[HttpClient]:
        """Return what is to be closed, and forget it: the next request opens anew."""
        taken, self._open = self._open, []
        for name in ("_querying", "_posting"):
            self.__dict__.pop(name, None)
        return taken

    def _buying(self, request: SubmitRequest) -> Exchange:
        return submit_exchange(self.settings.target, request, self.settings.retry)

    def _looking(self, job_id: str, retry: RetryPolicy | None) -> Exchange:
        return query_exchange(self.settings.target, job_id, retry or self.settings.retry)

    def _sending(self, request: PreparedRequest) -> Any:
        client = self._posting if request.method == "POST" else self._querying
        return client.stream(request.method, request.url, headers=dict(request.headers), content=request.body)


class LipsyncClient(_Client[httpx.Client]):
    """The API, synchronously. Close it, or use it as a context manager.

    :param api_key: the key, ``sk_…``.
    :param base_url: default the vendor's.
    :param timeouts: see :class:`Timeouts`.
    :param max_connections: connections that are open at once at the most.
    :param retry: how often and how patiently a request is sent again.
    :param transport: an httpx transport, for tests; it serves both kinds of request.
    :param sleep: what waits between two attempts (seconds), for tests.
    :raises LipsyncMisconfigured: the base URL or the key cannot be used.
    """

    def __init__(
        self,
        api_key: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        **settings: Any,
    ) -> None:
        super().__init__(api_key, **settings)
        self._transport, self._sleep = transport, sleep

    def submit(self, request: SubmitRequest, *, before_each: Callable[[], None] | None = None) -> Job:
        """Buy a job. The POST leaves at most once, unless it never left or was refused with 429.

        :param before_each: called before each attempt and each wait; what it raises ends the submit.
        :return: the job as accepted (status ``processing``); it is charged.
        :raises LipsyncSubmitUncertain: the job may exist and may have been charged.
        :raises LipsyncError: any other: nothing was bought; see :func:`~.answers.parse_submit`.
        """

        def act(step: Send | Wait) -> Answer | NoAnswer | None:
            if before_each is not None:
                before_each()
            return self._act(step)

        return drive(self._buying(request), act)

    def get_job(self, job_id: str, *, retry: RetryPolicy | None = None) -> Job:
        """Look at a job; this is free.

        :raises LipsyncPollFault: the look did not work; it says nothing about the job.
        :raises LipsyncUnknownJob, LipsyncKeyRefused, LipsyncMisconfigured: the vendor refused to tell.
        """
        return drive(self._looking(job_id, retry), self._act)

    def close(self) -> None:
        """Close every connection."""
        for client in self._take_open():
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _new_client(self, arguments: dict[str, Any]) -> httpx.Client:
        return httpx.Client(transport=self._transport, event_hooks={"response": [forget_location]}, **arguments)

    def _act(self, step: Send | Wait) -> Answer | NoAnswer | None:
        if isinstance(step, Wait):
            self._sleep(step.seconds)
            return None
        try:
            with self._sending(step.request) as came:
                return read_answer(came, seconds=self.settings.timeouts.total)
        except LipsyncError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the request may have left
            return no_answer(error)


class AsyncLipsyncClient(_Client[httpx.AsyncClient]):
    """The API, asynchronously; like :class:`LipsyncClient` in all else.

    :param transport: an httpx transport, for tests; it serves both kinds of request.
    :param sleep: what is awaited between two attempts (seconds), for tests.
    """

    def __init__(
        self,
        api_key: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **settings: Any,
    ) -> None:
        super().__init__(api_key, **settings)
        self._transport, self._sleep = transport, sleep

    async def submit(self, request: SubmitRequest) -> Job:
        """Buy a job; see :meth:`LipsyncClient.submit`."""
        return await adrive(self._buying(request), self._act)

    async def get_job(self, job_id: str, *, retry: RetryPolicy | None = None) -> Job:
        """Look at a job; see :meth:`LipsyncClient.get_job`."""
        return await adrive(self._looking(job_id, retry), self._act)

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._take_open():
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _new_client(self, arguments: dict[str, Any]) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self._transport, event_hooks={"response": [aforget_location]}, **arguments)

    async def _act(self, step: Send | Wait) -> Answer | NoAnswer | None:
        if isinstance(step, Wait):
            await self._sleep(step.seconds)
            return None
        if not self._open:  # not on the event loop: it takes some 30 ms, once a process
            await asyncio.to_thread(lambda: self.settings.ssl_context)
        try:
            async with asyncio.timeout(self.settings.timeouts.total), self._sending(step.request) as came:
                return await aread_answer(came, seconds=self.settings.timeouts.total)
        except LipsyncError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the request may have left
            return no_answer(error)
