"""A table at the end of the test session: what the kills cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("tests.e2e.kill")

TABLES = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture(scope="session")
def show(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Show a text under a title when all tests are over."""
    tables = pytestconfig.stash.setdefault(TABLES, [])
    return lambda title, text: tables.append((title, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for title, text in terminalreporter.config.stash.get(TABLES, []):
        terminalreporter.section(title)
        terminalreporter.write_line(text)
