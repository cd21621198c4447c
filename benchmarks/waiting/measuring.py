"""What is measured of this process: its CPU, its memory, and how long its event loop stood still."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

__all__ = ["Meter", "allow_open_files", "processor_seconds", "resident_kilobytes"]

_TICK = 0.01  # seconds
_SAMPLED_EVERY = 20  # ticks


def allow_open_files() -> None:
    """Let this process open as many files as it may: some keep a connection for each job."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def processor_seconds() -> float:
    """Return the CPU that this process has used, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_kilobytes() -> float:
    """Return what this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024


class Meter:
    """Ticks on the running loop: how late a tick comes is how long the loop stood still."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.idle = resident_kilobytes()
        self._processor = processor_seconds()
        self._began = self._last = time.perf_counter()
        self._ticks, self._worst, self._most = 0, 0.0, self.idle
        self._timer = self._loop.call_later(_TICK, self._tick)

    def stop(self) -> dict[str, float]:
        """Return what was measured since the start."""
        used = processor_seconds() - self._processor
        self._note(time.perf_counter())
        self._timer.cancel()
        most = max(self._most, resident_kilobytes())
        return {
            "cpu": used,
            "wall": time.perf_counter() - self._began,
            "memory": most - self.idle,
            "block": self._worst,
        }

    def _tick(self) -> None:
        self._note(time.perf_counter())
        self._ticks += 1
        if self._ticks % _SAMPLED_EVERY == 0:
            self._most = max(self._most, resident_kilobytes())
        self._timer = self._loop.call_later(_TICK, self._tick)

    def _note(self, now: float) -> None:
        self._worst = max(self._worst, now - self._last - _TICK)
        self._last = now
