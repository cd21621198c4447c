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
from typing import Any, Self

import httpx

from airflow_provider_lipsync.api.answers import Answer, NoAnswer
from airflow_provider_lipsync.api.models import Job, SubmitRequest
from airflow_provider_lipsync.api.reading import aread_answer, no_answer, read_answer
from airflow_provider_lipsync.api.retry import RetryPolicy
from airflow_provider_lipsync.api.settings import ClientSettings, Timeouts
from airflow_provider_lipsync.api.wire import (
    DEFAULT_BASE_URL,
    Exchange,
    PreparedRequest,
    Send,
    Target,
    query_exchange,
    submit_exchange,
)

__all__ = ["AsyncLipsyncClient", "LipsyncClient"]


class _Client:
    """What the two shells share: settings, and the two exchanges."""

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

    def _buying(self, request: SubmitRequest) -> Exchange:
        return submit_exchange(self.settings.target, request, self.settings.retry)

    def _looking(self, job_id: str, retry: RetryPolicy | None) -> Exchange:
        return query_exchange(self.settings.target, job_id, retry or self.settings.retry)


class LipsyncClient(_Client):
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
        self._open: list[httpx.Client] = []

    def submit(self, request: SubmitRequest) -> Job:
        """Buy a job. The POST leaves at most once, unless it never left or was refused with 429.

        :return: the job as accepted (status ``processing``); it is charged.
        :raises LipsyncSubmitUncertain: the job may exist and may have been charged.
        :raises LipsyncError: any other: nothing was bought; see :func:`~.answers.parse_submit`.
        """
        return self._drive(self._buying(request), lambda: self._posting)

    def get_job(self, job_id: str, *, retry: RetryPolicy | None = None) -> Job:
        """Look at a job; this is free.

        :raises LipsyncPollFault: the look did not work; it says nothing about the job.
        :raises LipsyncUnknownJob, LipsyncKeyRefused, LipsyncMisconfigured: the vendor refused to tell.
        """
        return self._drive(self._looking(job_id, retry), lambda: self._querying)

    def close(self) -> None:
        """Close every connection."""
        while self._open:
            self._open.pop().close()
        self.__dict__.pop("_querying", None)
        self.__dict__.pop("_posting", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _querying(self) -> httpx.Client:
        return self._new_client(keepalive=self.settings.max_connections)

    @cached_property
    def _posting(self) -> httpx.Client:
        return self._new_client(keepalive=0)

    def _new_client(self, *, keepalive: int) -> httpx.Client:
        arguments = self.settings.httpx_arguments(keepalive=keepalive)
        client = httpx.Client(transport=self._transport, verify=self.settings.ssl_context, **arguments)
        self._open.append(client)
        return client

    def _drive(self, exchange: Exchange, client: Callable[[], httpx.Client]) -> Job:
        reply: Answer | NoAnswer | None = None
        while True:
            try:
                step = exchange.send(reply)
            except StopIteration as done:
                job: Job = done.value
                return job
            if isinstance(step, Send):
                reply = self._send(client(), step.request)
            else:
                reply = None
                self._sleep(step.seconds)

    def _send(self, client: httpx.Client, request: PreparedRequest) -> Answer | NoAnswer:
        sending = client.stream(request.method, request.url, headers=dict(request.headers), content=request.body)
        try:
            with sending as came:
                return read_answer(came, seconds=self.settings.timeouts.total)
        except httpx.TransportError as error:
            return no_answer(error)


class AsyncLipsyncClient(_Client):
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
        self._open: list[httpx.AsyncClient] = []

    async def submit(self, request: SubmitRequest) -> Job:
        """Buy a job; see :meth:`LipsyncClient.submit`."""
        return await self._drive(self._buying(request), lambda: self._posting)

    async def get_job(self, job_id: str, *, retry: RetryPolicy | None = None) -> Job:
        """Look at a job; see :meth:`LipsyncClient.get_job`."""
        return await self._drive(self._looking(job_id, retry), lambda: self._querying)

    async def aclose(self) -> None:
        """Close every connection."""
        while self._open:
            await self._open.pop().aclose()
        self.__dict__.pop("_querying", None)
        self.__dict__.pop("_posting", None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @cached_property
    def _querying(self) -> httpx.AsyncClient:
        return self._new_client(keepalive=self.settings.max_connections)

    @cached_property
    def _posting(self) -> httpx.AsyncClient:
        return self._new_client(keepalive=0)

    def _new_client(self, *, keepalive: int) -> httpx.AsyncClient:
        arguments = self.settings.httpx_arguments(keepalive=keepalive)
        client = httpx.AsyncClient(transport=self._transport, verify=self.settings.ssl_context, **arguments)
        self._open.append(client)
        return client

    async def _drive(self, exchange: Exchange, client: Callable[[], httpx.AsyncClient]) -> Job:
        reply: Answer | NoAnswer | None = None
        while True:
            try:
                step = exchange.send(reply)
            except StopIteration as done:
                job: Job = done.value
                return job
            if isinstance(step, Send):
                reply = await self._send(client(), step.request)
            else:
                reply = None
                await self._sleep(step.seconds)

    async def _send(self, client: httpx.AsyncClient, request: PreparedRequest) -> Answer | NoAnswer:
        sending = client.stream(request.method, request.url, headers=dict(request.headers), content=request.body)
        try:
            async with sending as came:
                return await aread_answer(came, seconds=self.settings.timeouts.total)
        except httpx.TransportError as error:
            return no_answer(error)
