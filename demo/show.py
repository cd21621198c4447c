"""What the demo shows while it runs: a line per step, and on a terminal a last line that lives."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Show"]

_TICK = 0.2  # seconds between two pictures of the living line
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Show:
    """``step`` says what is being done; the next ``step`` or ``done`` makes a finished line of it.

    :param stream: where to; where that is no terminal, there are plain lines only.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lives = self._stream.isatty()
        self._began = time.monotonic()
        self._text = ""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="demo-show", daemon=True)

    def __enter__(self) -> Self:
        if self._lives:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle()
        self._over.set()
        if self._lives:
            self._ticker.join()

    def now(self, text: str) -> None:
        """Say what goes on now; on no terminal only where that has changed."""
        with self._lock:
            if self._lives:
                self._text = text
                self._draw()
            elif text != self._text:
                self._text = text
                self._print(f"{self._clock()}  … {text}")

    def done(self, text: str) -> None:
        """Say what has been done."""
        with self._lock:
            self._wipe()
            self._text = ""
            self._print(f"{self._clock()}  ✓ {text}")

    def settle(self) -> None:
        """Let the last line be, as nothing goes on any more."""
        with self._lock:
            self._wipe()
            self._text = ""

    def say(self, text: str = "") -> None:
        """Print something that is no step."""
        with self._lock:
            self._wipe()
            self._print(text)

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self._began

    def _clock(self) -> str:
        return f"{self.seconds:5.0f} s"

    def _tick(self) -> None:
        while not self._over.wait(_TICK):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        if self._text and not self._over.is_set():
            spin = _SPINNER[int(self.seconds / _TICK) % len(_SPINNER)]
            line = f"{self._clock()}  {spin} {self._text}"
            self._stream.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            self._stream.flush()

    def _wipe(self) -> None:
        if self._lives:
            self._stream.write("\r\x1b[K")

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
