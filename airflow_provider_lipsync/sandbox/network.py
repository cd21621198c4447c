"""What the sandbox itself sends: downloads of media, deliveries of webhooks; no query string is in any message."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from airflow_provider_lipsync.sandbox.store import Delivery, now

__all__ = ["MediaError", "build_client", "deliver", "download"]

log = logging.getLogger(__name__)

MAX_MEDIA_BYTES = 512 * 1024 * 1024  # not stated by the vendor; a source video of minutes fits
MEDIA_DEADLINE = 300.0  # seconds for one whole medium, so that a slow drip ends
_MEDIA_TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=MEDIA_DEADLINE)
_WEBHOOK_DEADLINE = 10.0  # seconds for the whole delivery: the answer says nothing but 200
_DIRECT = ("localhost", "127.0.0.1", "[::1]")  # a proxy of the environment cannot reach this machine's loopback


class MediaError(Exception):
    """A job that fails on its media; the text is the job's ``error``."""


def build_client() -> httpx.AsyncClient:
    """Return the client for everything that leaves the sandbox, each request on a connection of its own."""
    certificates = httpx.create_ssl_context()  # once: reading them takes longer than all else here
    return httpx.AsyncClient(
        verify=certificates,
        mounts={f"all://{host}": httpx.AsyncHTTPTransport(verify=certificates) for host in _DIRECT},
        limits=httpx.Limits(max_connections=64, max_keepalive_connections=0),
        max_redirects=5,
        timeout=_MEDIA_TIMEOUT,
        headers={"User-Agent": "lipsync-sandbox"},
    )


async def download(client: httpx.AsyncClient, name: str, url: str, target: Path) -> None:
    """Fetch one medium into a file.

    :param name: the field that the URL came in, for the message of a failure.
    :raises MediaError: it could not be fetched whole.
    """
    try:
        async with asyncio.timeout(MEDIA_DEADLINE):
            await _stream(client, name, url, target)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        log.info("%s could not be downloaded from %s: %s", name, _place(url), type(error).__name__)
        raise MediaError(f"Could not download {name}") from None


async def deliver(client: httpx.AsyncClient, url: str, job: dict[str, Any]) -> Delivery:
    """POST a finished job to its webhook, once, and return what came of it."""
    at = now()
    try:
        async with asyncio.timeout(_WEBHOOK_DEADLINE):
            response = await client.post(url, json=job, follow_redirects=False, timeout=_WEBHOOK_DEADLINE)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        log.warning("job %s: webhook to %s not delivered: %s", job["id"], _place(url), type(error).__name__)
        return Delivery(at=at, error=type(error).__name__)
    log.info("job %s: webhook to %s answered %d", job["id"], _place(url), response.status_code)
    return Delivery(at=at, status=response.status_code)


async def _stream(client: httpx.AsyncClient, name: str, url: str, target: Path) -> None:
    size = 0
    async with client.stream("GET", url, follow_redirects=True) as response:
        if response.status_code != httpx.codes.OK:
            raise MediaError(f"Could not download {name}: HTTP {response.status_code}")
        with target.open("wb") as file:
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > MAX_MEDIA_BYTES:
                    raise MediaError(f"Could not download {name}: larger than {MAX_MEDIA_BYTES // 2**20} MB")
                file.write(chunk)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"
