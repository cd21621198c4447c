"""The life of a job: fetch, render, wait until its time has come, finish, tell the webhook."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx

from airflow_provider_lipsync.sandbox.network import MediaError, deliver, download
from airflow_provider_lipsync.sandbox.settings import Settings
from airflow_provider_lipsync.sandbox.store import Record
from airflow_provider_lipsync.sandbox.studio import Studio

__all__ = ["Workshop"]

log = logging.getLogger(__name__)

_WEBHOOK_DELAY = (
    0.05  # seconds: a canned job is done at once, but its webhook must not overtake the answer to the submit
)
_DOWNLOADS = 16  # jobs that fetch at the same time


class Workshop:
    """Runs every accepted job as a task of its own.

    :param folder: where fetched media and finished videos go.
    :param client: what fetches media and delivers webhooks.
    """

    def __init__(self, settings: Settings, studio: Studio, folder: Path, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._studio = studio
        self._folder = folder
        self._client = client
        self._downloads = asyncio.Semaphore(_DOWNLOADS)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, record: Record) -> None:
        """Begin a job; a canned one that takes no time is completed when this returns."""
        if self._settings.canned:
            self._studio.prepare_canned(record.submit.resolution)
        seconds = random.uniform(*self._settings.job_range)  # noqa: S311 - nothing secret hangs on it
        if self._settings.canned and seconds == 0:
            self._complete_canned(record)
            self._spawn(self._notify(record))
        else:
            self._spawn(self._live(record, seconds))

    async def clear(self) -> None:
        """Stop every job and remove its files."""
        folders = list(self._folder.iterdir())  # now: jobs that begin while this waits keep theirs
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for folder in folders:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _spawn(self, life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(life)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, record: Record, seconds: float) -> None:
        due = asyncio.get_running_loop().time() + seconds
        error, video = "", None
        if not self._settings.canned:
            try:
                video = await self._make_video(record)
            except MediaError as failure:
                error = str(failure)
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        self._finish(record, video, error)
        await self._notify(record)

    async def _make_video(self, record: Record) -> Path:
        folder = self._folder / record.id
        await asyncio.to_thread(folder.mkdir)
        files = {name: folder / name for name in record.submit.media}
        async with self._downloads:
            for name, url in record.submit.media.items():
                await download(self._client, name, url, files[name])
        video = folder / "output.mp4"
        plan = {
            "endpoint": record.submit.endpoint,
            "media": {name: str(path) for name, path in files.items()},
            "resolution": record.submit.resolution,
            "order": record.submit.order,
            "output": str(video),
        }
        record.charge(await self._studio.render(plan))
        for path in files.values():
            path.unlink(missing_ok=True)
        return video

    def _finish(self, record: Record, video: Path | None, error: str) -> None:
        if error:
            if record.seconds_charged is None:
                record.charge({})
            record.fail(error)
            log.info("job %s: failed: %s", record.id, error)
        elif video is None:
            self._complete_canned(record)
        else:
            record.complete(video)
            log.info("job %s: completed, %s s charged", record.id, record.seconds_charged)

    def _complete_canned(self, record: Record) -> None:
        record.charge({})  # nothing was fetched, so no length is known
        record.complete(None)
        log.info("job %s: completed with the canned video", record.id)

    async def _notify(self, record: Record) -> None:
        if record.submit.webhook is None:
            return
        await asyncio.sleep(_WEBHOOK_DELAY)
        record.deliveries.append(await deliver(self._client, record.submit.webhook, record.job()))
