"""What the schedules share: one sandbox, the boundary around the product, and a table of counts at the end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobTrigger
from tests.reliability.boundary import Boundary
from tests.reliability.plan import Plan
from tests.reliability.schedule import Schedule
from tests.reliability.tally import TALLY
from tests.reliability.vendor import Vendor, start_sandbox

Run = Callable[[Plan], Schedule]

_IN_MEMORY = Path("/dev/shm")  # where there is one, renaming a file takes no time


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Run a plan, and return the schedule with its story."""
    with (
        start_sandbox() as base_url,
        closing(Vendor(base_url)) as vendor,
        TemporaryDirectory(prefix="lipsync-ledger-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder,
        socket.socket() as closed,
        pytest.MonkeyPatch.context() as patch,
    ):
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        patch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", "")  # is set by each process, and so put back in the end
        _make_quick(patch)
        boundary = Boundary()
        boundary.install(patch)

        def run_plan(plan: Plan) -> Schedule:
            rmtree(Path(folder, "show"), ignore_errors=True)
            boundary.forget()
            schedule = Schedule(plan, vendor=vendor, boundary=boundary, closed=nowhere, folder=folder)
            schedule.run()
            return schedule

        yield run_plan


def _make_quick(patch: pytest.MonkeyPatch) -> None:
    """Leave out what takes time and is not looked at here: log lines, and waiting for the disk."""
    nothing = logging.getLogger("tests.reliability.nothing")
    nothing.disabled = True
    patch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    patch.setattr(LipsyncImageOperator, "log", nothing)
    patch.setattr(LipsyncJobTrigger, "log", nothing)
    patch.setattr("os.fsync", lambda _: None)
    one = httpx.create_ssl_context(verify=False)  # nothing here speaks TLS, and every client would make its own
    patch.setattr("httpx._transports.default.create_ssl_context", lambda **_: one)


_TOLD = pytest.StashKey[list[str]]()  # what another process of pytest-xdist counted


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a process of pytest-xdist: hand the counts to the one that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["schedules"] = TALLY.report()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In the process that reports: take what one of pytest-xdist counted."""
    node.config.stash.setdefault(_TOLD, []).extend(getattr(node, "workeroutput", {}).get("schedules", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report the counts per cell."""
    if lines := TALLY.report() or terminalreporter.config.stash.get(_TOLD, []):
        terminalreporter.section("schedules: fault × death × retry/clear")
    for line in lines:
        terminalreporter.write_line(line)
