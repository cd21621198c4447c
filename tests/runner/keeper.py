"""Runs one command and ends it, with every process it ever started, as soon as its owner closes the pipe or dies.

A script of its own (`python keeper.py COMMAND...`) that imports nothing of this project. Airflow's tasks leave their
process group and shell commands leave even their session, so neither is enough to find them again; on Linux the keeper
is a child subreaper instead: whoever loses its parent becomes the keeper's child. The command writes to the keeper's
stderr; its process id is printed on stdout.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def become_subreaper() -> None:
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap(command: int) -> None:
    """Collect the dead, so that a process that ended is gone at once and not a zombie."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == command:
                sys.stderr.write(f"[keeper] process {pid} ended: {os.waitstatus_to_exitcode(status)}\n")
                sys.stderr.flush()


def end_family() -> None:
    """Kill until nobody is left: a process may fork while the list is being read."""
    while family := psutil.Process().children(recursive=True):
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        time.sleep(0.01)


def main(command: list[str]) -> None:
    become_subreaper()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
    threading.Thread(target=reap, args=(process.pid,), daemon=True).start()
    sys.stdout.write(f"{process.pid}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    end_family()
    os._exit(0)  # the reaper is the only other thread; `process` was reaped by it, which Popen need not learn


if __name__ == "__main__":
    main(sys.argv[1:])
