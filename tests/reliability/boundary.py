"""Where a process meets the world: HTTP, the memory, XCom, and a clock that nobody waits for.

What is replaced lies outside of what is tested: what httpx and aiohttp send, the two kinds of memory, the clock.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import aiohttp
import httpx
import pytest
from airflow.sdk.execution_time.comms import XComResult
from yarl import URL

from airflow_provider_lipsync.api.client import AsyncLipsyncClient, LipsyncClient
from airflow_provider_lipsync.jobs import clock, net, watchers
from airflow_provider_lipsync.jobs.clock import Clock
from airflow_provider_lipsync.jobs.ledger import Ledger
from airflow_provider_lipsync.jobs.memory import ObjectMemory
from airflow_provider_lipsync.jobs.purchase import Purchase
from airflow_provider_lipsync.operators import base, buying, told
from airflow_provider_lipsync.operators import job as operator
from airflow_provider_lipsync.triggers import delivery
from tests.reliability.plan import Moment
from tests.reliability.process import Process
from tests.support.tasks import FakeStateStore, FakeTaskInstance

__all__ = ["Boundary", "StoreOf", "TaskInstanceOf"]


class Boundary:
    """Lets one process at a time meet the world."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.now = 1_800_000_000.0
        self._thread = threading.current_thread()

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Stand between the product and the world, until the patch is undone."""
        self._watch_http(patch)
        self._watch_objects(patch)
        self._replace_clock(patch)
        patch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", _Supervisor(self), raising=False)

    def forget(self) -> None:
        """Forget what the processes of a schedule before have learned."""
        net._misses.clear()
        watchers._learned.clear()

    def _present(self) -> Process | None:
        """Return the process that runs now; the sandbox's own thread is none."""
        return self.process if threading.current_thread() is self._thread else None

    def _watch_http(self, patch: pytest.MonkeyPatch) -> None:
        send, asend = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

        def handle_request(transport: Any, request: httpx.Request) -> httpx.Response:
            process = self._present()
            if process is None:
                return send(transport, request)
            process.sends(request.method, request.url.path)
            try:
                response = send(transport, request)
            except Exception as error:
                process.gets_nothing(request.method, error)
                raise
            process.gets(request.method, response.status_code)
            return response

        async def handle_async_request(transport: Any, request: httpx.Request) -> httpx.Response:
            process = self._present()
            if process is None:
                return await asend(transport, request)
            process.sends(request.method, request.url.path)
            try:
                response = await asend(transport, request)
            except Exception as error:
                process.gets_nothing(request.method, error)
                raise
            process.gets(request.method, response.status_code)
            return response

        looks = aiohttp.ClientSession._request

        async def request(session: aiohttp.ClientSession, method: str, url: URL, **arguments: Any) -> Any:
            process = self._present()
            if process is None:
                return await looks(session, method, url, **arguments)
            process.sends(method, url.path)
            try:
                response = await looks(session, method, url, **arguments)
            except Exception as error:
                process.gets_nothing(method, error)
                raise
            process.gets(method, response.status)
            return response

        patch.setattr(aiohttp.ClientSession, "_request", request)
        patch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
        patch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle_async_request)

    def _watch_objects(self, patch: pytest.MonkeyPatch) -> None:
        load, save = ObjectMemory.load, ObjectMemory.save

        def watched_load(memory: ObjectMemory) -> Any:
            process = self._present()
            return process.reads(lambda: load(memory), in_airflow=False) if process else load(memory)

        def watched_save(memory: ObjectMemory, value: dict[str, Any]) -> None:
            process = self._present()
            if process is None:
                save(memory, value)
            else:
                process.writes(json.dumps(value), lambda: save(memory, value), in_airflow=False)

        patch.setattr(ObjectMemory, "load", watched_load)
        patch.setattr(ObjectMemory, "save", watched_save)

    def _replace_clock(self, patch: pytest.MonkeyPatch) -> None:
        async def asleep(seconds: float) -> None:
            self._sleep(seconds)

        replaced = _Replaced(time, time=self._time, sleep=self._sleep)
        for module in (base, buying, operator, told, clock, delivery):
            patch.setattr(module, "time", replaced)
        patch.setattr(clock, "asyncio", _Replaced(asyncio, sleep=asleep))
        patch.setattr(Clock, "now", lambda _: self.now)
        patch.setattr(Clock, "call_at", lambda _, moment, callback: self._call_at(moment, callback))
        for made, name, stand_in in (
            (Purchase, "now", self._time),
            (Ledger, "sleep", self._sleep),
            (LipsyncClient, "sleep", self._sleep),
            (AsyncLipsyncClient, "sleep", asleep),
        ):
            defaults = _keyword_defaults(made)
            assert name in defaults, (made, name)
            patch.setitem(defaults, name, stand_in)

    def _time(self) -> float:
        return self.now

    def _call_at(self, moment: float, callback: Callable[[], None]) -> asyncio.Handle:
        def come() -> None:
            self._sleep(moment - self.now)
            callback()

        return asyncio.get_running_loop().call_soon(come)

    def _sleep(self, seconds: float) -> None:
        if self.process is not None:
            self.process.check()
        self.now += max(0.0, seconds)
        if self.process is not None:
            self.process.schedule.deliveries.come(Moment.WAITING)


class _Supervisor:
    """The triggerer's other process, which a trigger asks for an XCom of its task."""

    def __init__(self, boundary: Boundary) -> None:
        self._boundary = boundary

    async def asend(self, message: Any) -> XComResult:
        assert self._boundary.process is not None
        return XComResult(key=message.key, value=self._boundary.process.reads_delivery(message.key))


class _Replaced:
    """A module with some of its functions replaced."""

    def __init__(self, module: ModuleType, **functions: Callable[..., Any]) -> None:
        self._module = module
        vars(self).update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _keyword_defaults(made: type) -> dict[str, Any]:
    defaults: dict[str, Any] = made.__init__.__kwdefaults__  # type: ignore[misc]
    return defaults


class StoreOf:
    """Airflow's task state store, as one process has it."""

    def __init__(self, process: Process, store: FakeStateStore) -> None:
        self._process, self._store = process, store

    def get(self, key: str, default: Any = None) -> Any:
        return self._process.reads(lambda: self._store.get(key, default), in_airflow=True)

    def set(self, key: str, value: Any, *, retention: timedelta) -> None:
        self._process.writes(
            json.dumps(value), lambda: self._store.set(key, value, retention=retention), in_airflow=True
        )


class TaskInstanceOf(FakeTaskInstance):
    """The task instance, as one process has it."""

    process: Process

    def xcom_push(self, key: str, value: Any) -> None:
        if key == "job_id":
            self.process.pushes_id(value)
        else:  # what is told beside it decides nothing
            self.process.check()
        super().xcom_push(key, value)

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        self.process.check()
        return super().xcom_pull(task_ids=task_ids, key=key, map_indexes=map_indexes)

    def get_task_states(self, **asked: Any) -> Any:
        self.process.check()
        self.recorded = self.process.schedule.airflow.state.value
        return super().get_task_states(**asked)
