"""A table at the end of the test session: what the kills cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.runner.plugin import DATABASES

if TYPE_CHECKING:
    from tests.e2e.hooks.stage import HookStage

pytest.register_assert_rewrite("tests.e2e.kill", "tests.e2e.hooks")

TABLES = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture(scope="session")
def show(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Show a text under a title when all tests are over."""
    tables = pytestconfig.stash.setdefault(TABLES, [])
    return lambda title, text: tables.append((title, text))


@pytest.fixture(scope="session", params=DATABASES)
def hooked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HookStage]:
    """An Airflow whose receiver is on, one for each database and all who test it."""
    from tests.e2e.hooks.stage import open_stage

    with open_stage(request.param, tmp_path_factory.mktemp("hooks")) as stage:
        yield stage


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for title, text in terminalreporter.config.stash.get(TABLES, []):
        terminalreporter.section(title)
        terminalreporter.write_line(text)
