"""Where video is made: one child process per piece of work, so many at a time.

Processes and not threads: drawing holds the interpreter's lock, broken media may crash a decoder, and a process can be
ended at any moment and gives all of its memory back. A child reads its work from a pipe that stays open for as long as
the sandbox lives: when the pipe closes, for whatever reason, the child exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import anyio

from airflow_provider_lipsync.api.models import Resolution
from airflow_provider_lipsync.sandbox.network import MediaError

__all__ = ["SAMPLES", "Studio"]

log = logging.getLogger(__name__)

SAMPLES = ("portrait.png", "duo.png", "voice.wav", "voice-left.wav", "voice-right.wav", "clip.mp4")
_CHILD = (sys.executable, "-m", "airflow_provider_lipsync.sandbox.render")
_MADE_BEFORE: dict[str, bytes] = {}  # samples and canned videos are always the same: once per process is enough
_RENDER_DEADLINE = 1800.0  # seconds: ten minutes of 720p on a slow core


class Studio:
    """Renders videos, and makes the samples and the canned video when somebody first asks for them.

    :param folder: where the files go.
    :param slots: how many videos are rendered at the same time.
    """

    def __init__(self, folder: Path, *, slots: int) -> None:
        self._folder = folder
        self._slots = asyncio.Semaphore(slots)
        self._made: dict[str, asyncio.Task[Path]] = {}

    async def render(self, plan: dict[str, Any]) -> dict[str, float]:
        """Render a job's video.

        :param plan: the fields of :class:`~airflow_provider_lipsync.sandbox.render.plan.Plan`.
        :return: length of each medium in seconds, by field.
        :raises MediaError: a medium cannot be read.
        """
        async with self._slots:
            answer = await _run_child({"task": "render", **plan})
        lengths: dict[str, float] = answer["lengths"]
        return lengths

    async def sample(self, name: str) -> Path:
        """Return the file of one of :data:`SAMPLES`."""
        return await self._make_once(name, {"task": "sample", "name": name})

    def prepare_canned(self, resolution: Resolution) -> None:
        """Begin to make the canned video, so that it is there when it is asked for."""
        self._begin(*_canned(resolution))

    async def canned(self, resolution: Resolution) -> Path:
        """Return the file of the canned video."""
        return await self._make_once(*_canned(resolution))

    async def close(self) -> None:
        """End what is still being made."""
        for task in self._made.values():
            task.cancel()
        await asyncio.gather(*self._made.values(), return_exceptions=True)

    async def _make_once(self, name: str, work: dict[str, Any]) -> Path:
        task = self._begin(name, work)
        return await asyncio.shield(task)  # a client that hangs up must not stop it for the others

    def _begin(self, name: str, work: dict[str, Any]) -> asyncio.Task[Path]:
        task = self._made.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._made[name] = asyncio.create_task(self._make(self._folder / name, work))
        return task

    async def _make(self, path: Path, work: dict[str, Any]) -> Path:
        file = anyio.Path(path)
        if path.name in _MADE_BEFORE:
            await file.write_bytes(_MADE_BEFORE[path.name])
        else:
            await _run_child({**work, "output": str(path)})
            _MADE_BEFORE[path.name] = await file.read_bytes()
        return path


def _canned(resolution: Resolution) -> tuple[str, dict[str, Any]]:
    return f"canned-{resolution}.mp4", {"task": "canned", "resolution": resolution}


async def _run_child(work: dict[str, Any]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *_CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # ctrl-C in a terminal is for the sandbox, which then ends its children itself
    )
    try:
        async with asyncio.timeout(_RENDER_DEADLINE):
            answer = await _ask(process, work)
    except TimeoutError:
        raise MediaError("Rendering took too long") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # closes the pipes too
    return _read_answer(answer)


async def _ask(process: asyncio.subprocess.Process, work: dict[str, Any]) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a child process has no pipes")
    try:
        process.stdin.write(json.dumps(work).encode() + b"\n")
        await process.stdin.drain()
        return await process.stdout.readline()
    except ConnectionError:
        return b""


def _read_answer(line: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        answer = {"crash": "the rendering process ended without an answer"}
    if "error" in answer:
        raise MediaError(answer["error"])
    if "crash" in answer:
        log.error("rendering failed: %s", answer["crash"])
        raise MediaError("Internal error")
    return answer
