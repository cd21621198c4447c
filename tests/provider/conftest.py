"""Fixtures of the provider's tests: a vendor that tells a story, and a connection to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.scripted import ScriptedServer, Step
from tests.support.vendor import connection, vendor

Tell = Callable[..., ScriptedServer]


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tell]:
    """Start a vendor that answers so, and connect ``lipsync_default`` to it."""
    with ExitStack() as stack:

        def start(*steps: Step) -> ScriptedServer:
            server = stack.enter_context(vendor(*steps))
            monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(server.url))
            return server

        yield start


@pytest.fixture(autouse=True)
def _no_first_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger's first look comes at once: what it waits for is a race of Airflow's scheduler, which is not here."""
    monkeypatch.setattr("airflow_provider_lipsync.triggers.lipsync.FIRST_LOOK_SECONDS", 0.0)


@pytest.fixture(params=[True, False], ids=["deferred", "in place"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """Both ways to wait, which must behave the same."""
    return bool(request.param)
