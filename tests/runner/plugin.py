"""Fixtures for tests that need a real Airflow: `from tests.runner.plugin import start_airflow` in a conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.runner.airflow import RealAirflow
from tests.runner.database import POSTGRESQL_SERVER, is_postgresql_reachable

POSTGRESQL = pytest.param(
    "postgresql",
    marks=pytest.mark.skipif(not is_postgresql_reachable(), reason=f"nobody listens at {POSTGRESQL_SERVER}"),
)
"""The parameter of a test that needs the PostgreSQL server."""

DATABASES = ["sqlite", POSTGRESQL]

StartAirflow = Callable[..., RealAirflow]


@pytest.fixture(scope="session")
def start_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartAirflow]:
    """Starts Airflows with the arguments of `RealAirflow`, in a home of their own; all end with the test session."""
    with ExitStack() as stack:

        def start(**options: Any) -> RealAirflow:
            return stack.enter_context(RealAirflow(**{"home": tmp_path_factory.mktemp("airflow"), **options}))

        yield start
