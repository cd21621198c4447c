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
        self._runs: dict[str, _Run] = {}  # of the jobs that are processing, by their ids

    async def start(self, record: Record) -> None:
        """Begin a job; a canned one that takes no time is finished when this returns, its early webhook sent."""
        if self._settings.canned:
            self._studio.prepare_canned(record.submit.resolution)
        seconds = random.uniform(*self._settings.job_range)  # noqa: S311 - nothing secret hangs on it
        run = self._runs[record.id] = _Run()
        if not self._settings.canned or seconds > 0 or record.job_faults.never_ends:
            run.task = self._spawn(self._live(record, run, None if record.job_faults.never_ends else seconds))
        elif record.job_faults.has_early_webhook:
            await self._end(record, run, None, record.job_faults.error)
        else:
            self._settle(record, run, None, record.job_faults.error)
            self._spawn(self._notify(record))

    async def finish(self, record: Record, error: str) -> bool:
        """End a job that is processing, and return once queries tell so.

        :param error: what it fails with, at once; empty = it is completed, as soon as its video is rendered.
        :return: False = it is finished, or is being finished already.
        """
        run = self._runs.get(record.id)
        if run is None or run.is_ending.is_set():
            return False
        run.is_ending.set()
        if error and run.task is not None:
            run.task.cancel()
            self._spawn(self._end(record, run, None, error))
        await run.is_over.wait()
        return record.is_over

    async def clear(self) -> None:
        """Stop every job and remove its files."""
        folders = list(self._folder.iterdir())  # now: jobs that begin while this waits keep theirs
        for run in self._runs.values():
            run.is_over.set()
        self._runs.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for folder in folders:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _live(self, record: Record, run: _Run, seconds: float | None) -> None:
        due = None if seconds is None else asyncio.get_running_loop().time() + seconds
        error, video = "", None
        if not self._settings.canned and not record.job_faults.error:
            try:
                video = await self._make_video(record)
            except MediaError as failure:
                error = str(failure)
        is_told = await run.wait_until(due)
        await self._end(record, run, video, error or ("" if is_told else record.job_faults.error))

    async def _end(self, record: Record, run: _Run, video: Path | None, error: str) -> None:
        run.is_ending.set()
        if record.job_faults.has_early_webhook:
            record.is_hidden = True
            self._finish(record, video, error)
            await self._deliver(record)
            self._spawn(self._reveal(record, run))
        else:
            self._settle(record, run, video, error)
            await self._notify(record)

    def _settle(self, record: Record, run: _Run, video: Path | None, error: str) -> None:
        self._finish(record, video, error)
        self._forget(record, run)

    async def _reveal(self, record: Record, run: _Run) -> None:
        await asyncio.sleep(record.job_faults.hidden_seconds)
        record.is_hidden = False
        self._forget(record, run)

    def _forget(self, record: Record, run: _Run) -> None:
        self._runs.pop(record.id, None)
        run.is_over.set()

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
            "seed": record.submit.seed,
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
        if record.submit.webhook is not None:
            await asyncio.sleep(max(_WEBHOOK_DELAY, record.job_faults.webhook_seconds))
            await self._deliver(record)

    async def _deliver(self, record: Record) -> None:
        for _ in range(record.job_faults.webhook_times):
            if record.submit.webhook is not None:
                record.deliveries.append(await deliver(self._client, record.submit.webhook, record.job()))


class _Run:
    """A job that is processing: how it is told to end, and how others hear that it has ended."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.is_ending = asyncio.Event()
        self.is_over = asyncio.Event()

    async def wait_until(self, due: float | None) -> bool:
        """Return once the time has come, or the job was told to end; whether it was.

        :param due: on the loop's clock, in seconds; None = never.
        """
        try:
            async with asyncio.timeout_at(due):
                await self.is_ending.wait()
        except TimeoutError:
            return False
        return True
