"""Where cases run: the vendors in a process of their own, a fresh process for each case, an empty Airflow home."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.waiting.case import Case
from benchmarks.waiting.certificate import Certificate, make_certificate
from benchmarks.waiting.kinds import BARE, KINDS

__all__ = ["CaseBroke", "Figures", "Stage", "is_installed", "open_stage"]

_LONGEST = 900.0  # seconds that a case may take
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
Figures = dict[str, float]


class CaseBroke(Exception):
    """A case did not come to its end, or not every job did."""


@dataclass(frozen=True)
class Stage:
    """The vendors, running.

    :param port: of the vendors.
    :param control: of their counts.
    :param environment: of every process.
    """

    port: int
    control: int
    environment: dict[str, str]

    def run(self, case: Case) -> Figures:
        """Run a case.

        :raises CaseBroke: the message has its last words.
        """
        case = replace(case, port=self.port, control=self.control)
        more = {} if case.kind in BARE else KINDS[case.kind].environment(self.port, case.load)
        command = [sys.executable, "-m", "benchmarks.waiting.case", case.as_json()]
        done = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, text=True, env=self.environment | more, timeout=_LONGEST
        )
        if done.returncode:
            raise CaseBroke(f"{case.kind}, {case.jobs} jobs: {done.stdout[-2000:]} {done.stderr[-4000:]}")
        found: Figures = json.loads(done.stdout.splitlines()[-1])
        return found


def is_installed(kind: str) -> bool:
    """Whether a kind can be measured here."""
    package = kind if kind in BARE else KINDS[kind].trigger.rpartition(".")[0]
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start the vendors, and end them."""
    with tempfile.TemporaryDirectory(prefix="lipsync-bench-") as folder:
        certificate = make_certificate(Path(folder))
        command = [sys.executable, "-m", "benchmarks.waiting.vendor", *map(str, certificate.shown())]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as vendors:  # noqa: S603
            assert vendors.stdout is not None
            try:
                port, control = map(int, vendors.stdout.readline().split())
                yield Stage(port, control, _environment(folder, certificate))
            finally:
                vendors.terminate()


def _environment(folder: str, certificate: Certificate) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}
    kept = {name: value for name, value in kept.items() if not name.startswith(("AIRFLOW_", "AIRFLOW__"))}
    return kept | {
        "AIRFLOW_HOME": f"{folder}/airflow",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "_AIRFLOW_PROCESS_CONTEXT": "client",  # as the triggerer's runner sets it
        **certificate.environment(),
    }
