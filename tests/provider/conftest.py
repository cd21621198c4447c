"""Fixtures of the provider's tests: a vendor that tells a story, and a connection to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lipsync.media.store import measure_video, store_video
from tests.support.objectstore import aws_connection, objectstore
from tests.support.places import Folder, Place
from tests.support.scripted import ScriptedServer, Step
from tests.support.shop import Shop, shop
from tests.support.supervisor import Supervisor
from tests.support.vendor import connection
from tests.support.vendor import vendor as scripted_vendor

Tell = Callable[..., ScriptedServer]


@pytest.fixture(scope="session")
def s3() -> Iterator[tuple[str, Any]]:
    """A server's URL, and a client of it."""
    with objectstore() as served:
        yield served


@pytest.fixture(params=[Place, Folder], ids=["S3", "disk"])
def place(
    request: pytest.FixtureRequest, s3: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_MINE", aws_connection(s3[0]))
    made: Place = request.param(s3[1], tmp_path)
    return made


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tell]:
    """Start a vendor that answers so, and connect ``lipsync_default`` to it."""
    with ExitStack() as stack:

        def start(*steps: Step) -> ScriptedServer:
            server = stack.enter_context(scripted_vendor(*steps))
            monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(server.url))
            return server

        yield start


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A vendor that sells, with ``lipsync_default`` connected to it."""
    with shop() as opened:
        monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(opened.url))
        yield opened


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    return Supervisor().install(monkeypatch)


@pytest.fixture(autouse=True)
def _no_first_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger's first look comes at once: what it waits for is a race of Airflow's scheduler, which is not here."""
    monkeypatch.setattr("airflow_provider_lipsync.jobs.race.FIRST_LOOK_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def _no_wait_between_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it waits is tested where the download is."""
    for function in (store_video, measure_video):
        assert "sleep" in function.__kwdefaults__
        monkeypatch.setitem(function.__kwdefaults__, "sleep", lambda _: None)


@pytest.fixture(params=[True, False], ids=["deferred", "in place"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """Both ways to wait, which must behave the same."""
    return bool(request.param)
