"""Processes that a test starts, stops and kills one by one, none of which outlives the test: see `keeper.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

KEEPER = Path(__file__).with_name("keeper.py")


class Process:
    """A command under a keeper; its output is appended to `log`."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", str(KEEPER), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=env,
                cwd=cwd,
                start_new_session=True,  # the terminal's ctrl-C is for the owner alone
            )
        self.pid = self._read_pid()
        # psutil remembers the start time, so a signal never reaches a stranger that got the same pid.
        self._main = _process(self.pid)

    def _read_pid(self) -> int:
        with self._keeper.stdout as stdout:
            line = stdout.readline()
        if not line:
            self.end()
            raise RuntimeError(f"the keeper did not start: {tail(self.log)}")
        return int(line)

    @property
    def alive(self) -> bool:
        return self._main is not None and self._main.is_running() and self._main.status() != psutil.STATUS_ZOMBIE

    def family(self) -> list[psutil.Process]:
        """Everything alive that descends from the command, and the command itself."""
        try:
            return psutil.Process(self._keeper.pid).children(recursive=True) if self._keeper.poll() is None else []
        except psutil.NoSuchProcess:
            return []

    def kill_main(self) -> None:
        """SIGKILL for the command's process alone; its children live on, as orphans."""
        self._signal("kill")
        self.wait(10)

    def terminate(self) -> None:
        """SIGTERM, and do not wait."""
        self._signal("terminate")

    def wait(self, seconds: float) -> bool:
        """Wait until the command's process is gone; say whether it is."""
        _, alive = psutil.wait_procs([self._main] if self._main else [], timeout=seconds)
        return not alive

    def end(self) -> None:
        """SIGKILL for the whole family. Returns when all are gone."""
        with suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait(30)

    def _signal(self, method: str) -> None:
        with suppress(psutil.NoSuchProcess):
            if self._main is not None:
                getattr(self._main, method)()


def kill_descendant(pid: int, processes: Sequence[Process]) -> None:
    """SIGKILL for one process, which must descend from one of `processes`. Its parent may be slow to notice."""
    for member in (member for process in processes for member in process.family()):
        if member.pid == pid:
            member.kill()
            return
    raise ProcessLookupError(f"{pid} is none of the processes that were started here")


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, headed by its name."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return f"--- {log.name}\n" + "\n".join(text.splitlines()[-lines:])


def clean_environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """What a component may know of this process: where programs are, and nothing else."""
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if key in os.environ}
    fixed = {"HOME": str(home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
    return kept | fixed | dict(extra)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
