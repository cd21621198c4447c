"""The sandbox as a test holds it: its connection is set, and what was submitted and charged is asserted in a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.sandbox import verify_extra
from airflow_provider_lipsync.testing.dags import IS_NEAR

if TYPE_CHECKING:
    import pytest

    from airflow_provider_lipsync.sandbox.server import SandboxServer

__all__ = ["TestSandbox", "open_sandbox"]


class TestSandbox:
    """A running sandbox, and the id of the connection that leads to it."""

    __test__ = False  # pytest: no class of tests

    def __init__(self, server: SandboxServer, conn_id: str) -> None:
        self.server, self.conn_id = server, conn_id

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return self.server.url

    def sample(self, name: str) -> str:
        """Return the URL of one of the sandbox's own media, e.g. ``portrait.png`` or ``voice.wav``."""
        return self.server.sample(name)

    @property
    def submits(self) -> list[dict[str, Any]]:
        """Every accepted submit, oldest first: ``job_id``, ``endpoint``, ``body``, ``status``, ``credits_charged`` …"""
        return self.server.ledger()

    @property
    def credits(self) -> int:
        """All credits that were charged."""
        return sum(int(submit["credits_charged"] or 0) for submit in self.submits)

    def set_faults(self, *rules: Mapping[str, Any], seed: int | None = None) -> None:
        """Let things go wrong from now on, a rule each; see ``docs/sandbox.md``.

        :raises ValueError: a rule is wrong; the message says what is allowed.
        """
        self.server.set_faults(rules, seed=seed)

    def finish(self, job_id: str, status: str = "completed", error: str = "") -> None:
        """End a job that is processing, now."""
        self.server.finish(job_id, status, error)

    def assert_submitted(self, times: int = 1, *, endpoint: str | None = None, **form_state: Any) -> None:
        """Check how many submits of this kind were accepted.

        :param endpoint: e.g. ``lipsync-image``; None = any.
        :param form_state: fields that such a submit had, with these values.
        """
        fitting = [submit for submit in self.submits if _fits(submit, endpoint, form_state)]
        if len(fitting) != times:
            wanted = f"{times} submit(s) of {endpoint or 'any endpoint'}" + (f" with {form_state}" * bool(form_state))
            raise AssertionError(f"expected {wanted}, found {len(fitting)}. {self._told()}")

    def assert_nothing_submitted(self) -> None:
        """Check that no submit was accepted: nothing would have been paid."""
        if self.submits:
            raise AssertionError(f"expected no submit. {self._told()}")

    def assert_charged(self, credits: int) -> None:  # noqa: A002 - the API's own word
        """Check the sum of all credits."""
        if self.credits != credits:
            raise AssertionError(f"expected {credits} credits, {self.credits} were charged. {self._told()}")

    def _told(self) -> str:
        lines = [
            f"  {submit['job_id']} {submit['endpoint']} {submit['status']}, {submit['credits_charged']} credits: "
            f"{submit['body']['formState']}"
            for submit in self.submits
        ]
        refused = [f"  refused: {one}" for one in self.server.refused()]
        return "\n".join(["The sandbox accepted:", *(lines or ["  nothing"]), *refused])


@contextmanager
def open_sandbox(
    monkeypatch: pytest.MonkeyPatch,
    *,
    rendering: bool = False,
    conn_id: str = "lipsync_default",
    extra: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[TestSandbox]:
    """Start one, and set its connection in the environment.

    :param rendering: False = every job is done at once with a canned video, no medium is fetched, and nobody outside of
        this machine is asked for one; True = for real.
    :param conn_id: of the connection that leads to it.
    :param extra: further extras of the connection, e.g. ``{"max_credits_per_job": 100}``; local files are staged in a
        folder of the test's unless it says otherwise.
    :param options: of :class:`~airflow_provider_lipsync.sandbox.server.SandboxServer`.
    :raises ImportError: the extra ``sandbox`` is not installed.
    :raises TypeError: there is no such option.
    """
    verify_extra()
    from airflow_provider_lipsync.sandbox.server import SandboxServer
    from airflow_provider_lipsync.testing.near import served_folder

    with SandboxServer(canned=not rendering, **options) as server, served_folder() as staging:
        # Its jobs are far quicker than the vendor's.
        extras = {"adaptive_polling": False, **staging, **(extra or {})}
        connection = {"conn_type": "lipsync", "host": server.base_url, "password": server.key, "extra": extras}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        monkeypatch.setenv(IS_NEAR, str(not rendering))
        yield TestSandbox(server, conn_id)


def _fits(submit: Mapping[str, Any], endpoint: str | None, form_state: Mapping[str, Any]) -> bool:
    sent = submit["body"]["formState"]
    has_all = all(name in sent and sent[name] == value for name, value in form_state.items())
    return has_all and endpoint in (None, submit["endpoint"])
