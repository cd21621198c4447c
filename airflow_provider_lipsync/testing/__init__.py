"""pytest fixtures for tests of your own DAGs, on the sandbox: no network, no credit. pytest loads this by itself.

Imports nothing of Airflow and no library: it is loaded in every pytest session where this package is installed, before
your ``conftest.py`` has set ``AIRFLOW_HOME``. See ``docs/testing.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_lipsync.testing.dags import DagRunner
    from airflow_provider_lipsync.testing.sandbox import TestSandbox

__all__ = ["lipsync_run", "lipsync_sandbox", "pytest_configure"]

_MARKER = (
    'lipsync(rendering=False, conn_id="lipsync_default", extra=None, **options): how the sandbox of lipsync_sandbox '
    "behaves; options are those of SandboxServer: speed, job_seconds, faults, fault_seed"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def lipsync_sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestSandbox]:
    """A sandbox on a free loopback port, with ``lipsync_default`` connected to it through the environment.

    Every job is done at once, with one canned video; ``@pytest.mark.lipsync(rendering=True, speed=20)`` renders.

    :raises ImportError: the extra ``sandbox`` is not installed.
    """
    from airflow_provider_lipsync.testing.sandbox import open_sandbox

    given: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("lipsync"))):  # the nearest one counts
        given |= marker.kwargs
    with open_sandbox(monkeypatch, **given) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _lipsync_dag_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagRunner]:
    from airflow_provider_lipsync.testing.dags import DagRunner

    with DagRunner(tmp_path_factory) as runner:
        yield runner


@pytest.fixture
def lipsync_run(_lipsync_dag_runner: DagRunner) -> DagRunner:
    """Run a DAG of a file to its end: ``lipsync_run("dags/weekly.py", "weekly", conf={...})``.

    It runs in a process of its own with an Airflow home of its own, so that nobody's database is touched; connections
    and variables (``AIRFLOW_CONN_…``, ``AIRFLOW_VAR_…``) are those of the test's environment.
    """
    return _lipsync_dag_runner
