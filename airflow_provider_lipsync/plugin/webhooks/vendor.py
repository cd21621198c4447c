"""The look that confirms a delivery: with the connection's key, by one client per connection and process."""

from __future__ import annotations

import asyncio

from airflow_provider_lipsync.api.client import AsyncLipsyncClient
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncUnreachable
from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.waiting import ONE_ATTEMPT

__all__ = ["Vendors"]

_LOOK_SECONDS = 10.0  # whoever delivers waits for our answer; a look that takes longer is had again, later


class Vendors:
    """Looks at jobs; to be used on one event loop."""

    def __init__(self) -> None:
        self._clients: dict[str, tuple[ConnectionSettings, AsyncLipsyncClient]] = {}

    async def look(self, conn_id: str, settings: ConnectionSettings, job_id: str) -> Job | LipsyncError:
        """Return a job, or why it could not be seen: a value, since this says nothing about the job."""
        try:
            client = await self._client(conn_id, settings)
            async with asyncio.timeout(_LOOK_SECONDS):
                return await client.get_job(job_id, retry=ONE_ATTEMPT)
        except LipsyncError as error:
            return error
        except TimeoutError:
            return LipsyncUnreachable("the look took too long")

    async def aclose(self) -> None:
        """Close every connection."""
        while self._clients:
            _, (_, client) = self._clients.popitem()
            await client.aclose()

    async def _client(self, conn_id: str, settings: ConnectionSettings) -> AsyncLipsyncClient:
        made_from, client = self._clients.get(conn_id, (None, None))
        if client is not None and made_from == settings:
            return client
        made = AsyncLipsyncClient(settings.target.api_key, **settings.client_arguments())
        self._clients[conn_id] = (settings, made)
        if client is not None:
            await client.aclose()
        return made
