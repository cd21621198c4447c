"""One transfer in a process of its own, and what it cost: ``benchmarks.transfer.client ours|copy URL TARGET``."""

from __future__ import annotations

import json
import logging
import mmap
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

__all__ = ["main", "touch_memory"]

_TOUCHED = 2 << 30  # bytes
_PART = 8 * 1024 * 1024  # bytes, as the transfer takes it


def main(kind: str, url: str, target: str) -> dict[str, float]:
    """Bring the video to a path, or to ``s3://<port>`` of a drain."""
    run = {"ours": _ours, "copy": _copy}[kind](url, target)
    touch_memory()
    idle, processor, begun = _resident(), _processor(), time.perf_counter()
    run()
    wall, processor = time.perf_counter() - begun, _processor() - processor
    return {"wall": wall, "cpu": processor, "memory": _peak() - idle}


def _ours(url: str, target: str) -> Callable[[], Any]:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_lipsync.media.store import store_video
    from airflow_provider_lipsync.media.web import Web

    path = ObjectStoragePath(f"s3://aws_drain@bucket/{target[5:]}.mp4" if target.startswith("s3://") else target)
    if target.startswith("s3://"):
        path.fs.connect()
    log = logging.getLogger(__name__)

    def run() -> None:
        with Web(may_be_private=lambda: True) as web:
            store_video(url, path, job_id="job-1", web=web, fresh_url=lambda: None, largest=10**12, log=log)

    return run


def touch_memory() -> None:
    """Let a virtual machine's host back what the page cache will take: whoever touches a page first pays for that."""
    mmap.mmap(-1, _TOUCHED, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


class _Reader:
    """What shutil.copyfileobj wants: httpx's pieces as they come."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int = -1, /) -> bytes:
        return next(self._pieces, b"")


def _copy(url: str, target: str) -> Callable[[], Any]:
    def open_target() -> Any:
        return Path(target).open("wb")

    if target.startswith("s3://"):
        from s3fs import S3FileSystem

        endpoint = f"http://127.0.0.1:{target[5:]}"
        storage = S3FileSystem(
            key="testing",
            secret="testing",  # noqa: S106 - of a drain
            endpoint_url=endpoint,
            client_kwargs={"region_name": "us-east-1"},
        )
        storage.connect()

        def open_target() -> Any:
            return storage.open("bucket/copy.mp4", "wb", block_size=_PART)

    def run() -> None:
        with httpx.Client() as client, client.stream("GET", url) as answer, open_target() as out:
            shutil.copyfileobj(_Reader(answer.iter_bytes()), out)

    return run


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident() -> float:
    """Return the MB in memory now, and let the peak be counted from here."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(main(*sys.argv[1:4]))}\n")
