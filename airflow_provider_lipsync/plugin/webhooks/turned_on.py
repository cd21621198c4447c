"""Whether webhooks are received, by which connections, and the start; before it nothing of the server is imported."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_lipsync.hooks.settings import ConnectionSettings
    from airflow_provider_lipsync.plugin.webhooks.receiver import Receiver

__all__ = ["running", "start"]

log = logging.getLogger(__name__)

_OFF = "Lipsync webhooks are not received, though [lipsync] webhook_receiver is on: %s. Jobs are polled."
_NO_IDS = (
    "They bring back no id that was lost: it takes a ledger in Airflow's own task state store (3.3 and later), without "
    "ledger_path and without a state store backend of your own."
)

_running: Receiver | None = None
_keeping: asyncio.Task[None] | None = None


def running() -> Receiver | None:
    """Return the receiver of this process; None where it is off."""
    return _running


def start() -> None:
    """Start it, on the event loop that runs, where everything that it needs is there; else the log says what is not."""
    global _running, _keeping  # noqa: PLW0603 - Airflow makes one app per process, and knows nothing of us
    _running = None
    made = _made()
    if made is not None:
        _keeping = asyncio.get_running_loop().create_task(made.run())
        _running = made


def _made() -> Receiver | None:
    try:
        from airflow_provider_lipsync.plugin.insides import setting, verify_resumable, verify_states

        conn_ids = [found for name in setting("lipsync", "webhook_conn_ids").split(",") if (found := name.strip())]
        if not conn_ids:
            log.error(_OFF, "[lipsync] webhook_conn_ids names no connection")
            return None
        verify_resumable()
        has_store = verify_states()
        from airflow_provider_lipsync.plugin.webhooks.receiver import Receiver
        from airflow_provider_lipsync.plugin.webhooks.record import brings_ids
        from airflow_provider_lipsync.plugin.webhooks.secrets import Secrets
    except Exception as error:  # noqa: BLE001 - whatever this Airflow lacks: its API server and the pages go on
        log.error(_OFF, f"this Airflow lacks what it takes ({type(error).__name__}: {error})")  # noqa: TRY400
        return None
    log.info("Lipsync webhooks are received at /lipsync/webhooks/, for: %s.", ", ".join(conn_ids))
    return Receiver(
        Secrets(
            conn_ids,
            why_useless=lambda settings: _why_useless(settings, has_store=has_store),
            what_not=lambda settings: "" if brings_ids(settings) else _NO_IDS,
        )
    )


def _why_useless(settings: ConnectionSettings, *, has_store: bool) -> str:
    if has_store or settings.ledger_path:
        return ""
    return "this Airflow has no task state store (3.3 and later have one), and the connection no ledger_path"
