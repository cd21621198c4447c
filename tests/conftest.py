"""What all tests share: an Airflow home of their own, set before Airflow is first imported, and the fixtures."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any

import pytest

_HOME = tempfile.TemporaryDirectory(prefix="lipsync-tests-")
for _name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME.name}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}

from tests.runner.plugin import start_airflow  # noqa: E402

__all__ = ["pytest_configure", "start_airflow"]


def pytest_configure(config: pytest.Config) -> None:
    """Airflow 3.1 warns of how its own parts use each other and SQLAlchemy: there, only our own warnings are errors."""
    if version("apache-airflow-core").startswith("3.1."):
        config.addinivalue_line("filterwarnings", "default")
        config.addinivalue_line("filterwarnings", "error:::airflow_provider_lipsync")


@pytest.fixture(autouse=True)
def _no_name_is_looked_up_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that tests make up are unknown at once: a resolver that nobody answers takes five seconds to say so."""
    ask = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in (None, "", "localhost", socket.gethostname()) or _is_address(name):
            return ask(host, *args, **options)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


@pytest.fixture(autouse=True)
def _no_wait_for_media_that_nobody_serves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests name media of hosts that do not exist; how long a server is waited for is tested where it is read."""
    if "tests/media" not in request.node.nodeid and "airflow_provider_lipsync" in sys.modules:
        monkeypatch.setattr("airflow_provider_lipsync.media.origins._WAITS", ())
