"""What polling costs with no Airflow around it: one client for all jobs, one task for each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from benchmarks.waiting.jobs import Job
from benchmarks.waiting.kinds import Load

__all__ = ["loop_over"]

_Get = Callable[[str], Awaitable[bytes]]


async def loop_over(
    client: str, port: int, load: Load, warm_up: Job, begin: Callable[[], Awaitable[Sequence[Job]]]
) -> int:
    """Wait for jobs by plain polling at an interval; return how many ended.

    :param client: ``aiohttp`` or ``httpx``.
    :param warm_up: a job that is waited for first.
    :param begin: returns the jobs when it is time.
    """
    return await {"aiohttp": _by_aiohttp, "httpx": _by_httpx}[client](
        lambda get: _wait_for_all(get, port, load, warm_up, begin)
    )


async def _by_aiohttp(use: Callable[[_Get], Awaitable[int]]) -> int:
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def get(url: str) -> bytes:
            async with session.get(url) as answer:
                return await answer.read()

        return await use(get)


async def _by_httpx(use: Callable[[_Get], Awaitable[int]]) -> int:
    import httpx

    async with httpx.AsyncClient(
        timeout=60.0
    ) as client:  # a thousand at once wait longer for its pool than the usual 5

        async def get(url: str) -> bytes:
            return (await client.get(url)).content

        return await use(get)


async def _wait_for_all(
    get: _Get, port: int, load: Load, warm_up: Job, begin: Callable[[], Awaitable[Sequence[Job]]]
) -> int:
    async def wait_for(job: Job) -> bool:
        while True:
            found: dict[str, Any] = json.loads(await get(f"https://127.0.0.1:{port}/api/v1/jobs/{job.uuid}"))
            if found["status"] != "processing":
                return bool(found["status"] == "completed")
            await asyncio.sleep(load.poll)

    await wait_for(warm_up)
    return sum(await asyncio.gather(*[wait_for(job) for job in await begin()]))
