"""What the receiver knows of the connections that it was allowed: looked up by a timer, never by a request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_lipsync.exceptions import LipsyncMisconfigured
from airflow_provider_lipsync.hooks.settings import ConnectionSettings, read_connection
from airflow_provider_lipsync.plugin.insides import connection

__all__ = ["Secrets"]

log = logging.getLogger(__name__)

# A connection that cannot be found is believed for so long: Airflow says the same of one that was removed, and of a
# secrets backend or database that is away for a moment. One that has other secrets now is believed at once.
_KEPT_SECONDS = 300.0


@dataclass(frozen=True)
class _Known:
    settings: ConnectionSettings
    at: float


class Secrets:
    """The allowed connections, as they were found last.

    :param conn_ids: which connections are allowed.
    :param why_useless: why nothing can be done for deliveries of a connection's jobs; empty where it can.
    :param what_not: what cannot be done for them, as a sentence for the log; empty where all can.
    :param clock: seconds, of any beginning.
    """

    def __init__(
        self,
        conn_ids: Sequence[str],
        *,
        why_useless: Callable[[ConnectionSettings], str] = lambda _: "",
        what_not: Callable[[ConnectionSettings], str] = lambda _: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.conn_ids = tuple(dict.fromkeys(conn_ids))
        self._why_useless, self._what_not, self._clock = why_useless, what_not, clock
        self._known: dict[str, _Known] = {}
        self._told: dict[str, str] = {}

    def believed(self) -> Mapping[str, Sequence[str]]:
        """Return the secrets that sign addresses, by connection."""
        return {
            conn_id: known.settings.webhook.secrets
            for conn_id, known in self._known.items()
            if known.settings.webhook is not None
        }

    def settings(self, conn_id: str) -> ConnectionSettings | None:
        """Return what is known of a connection; None where it is not known (any more)."""
        known = self._known.get(conn_id)
        return None if known is None else known.settings

    def renew(self) -> None:
        """Look up all of them; blocks. What changed is told once."""
        found = {conn_id: self._found(conn_id) for conn_id in self.conn_ids}
        self._known = {conn_id: known for conn_id, known in found.items() if isinstance(known, _Known)}
        for conn_id, known in found.items():
            if isinstance(known, _Known):
                self._tell(conn_id, logging.INFO, f"are received. {self._what_not(known.settings)}".strip())
            else:
                self._tell(conn_id, logging.WARNING, f"are refused: {known}. These jobs are polled.")

    def _found(self, conn_id: str) -> _Known | str:
        """Return what is known of a connection, or why its webhooks are refused."""
        try:
            settings = read_connection(connection(conn_id))
        except LipsyncMisconfigured as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - each secrets backend has errors of its own
            before = self._known.get(conn_id)
            if before is not None and self._clock() - before.at < _KEPT_SECONDS:
                return before
            return f"it cannot be looked up ({type(error).__name__})"
        if settings.webhook is None:
            return "it has no webhook_base_url and no webhook_secret"
        return self._why_useless(settings) or _Known(settings, self._clock())

    def _tell(self, conn_id: str, level: int, what: str) -> None:
        if self._told.get(conn_id) != what:
            self._told[conn_id] = what
            log.log(level, "Webhooks of jobs by the connection %r %s", conn_id, what)
