"""Whether the vendor's webhooks arrive, as far as the triggers of this process have seen: where they do not, jobs are
looked at as if there were none.
"""

from __future__ import annotations

import logging

__all__ = ["is_trusted", "note_arrival", "note_miss"]

log = logging.getLogger(__name__)

_MOST_MISSES = 3  # in a row, from which on webhooks are not waited for

_misses: dict[str, int] = {}


def is_trusted(conn_id: str) -> bool:
    """Whether webhooks by a connection are worth waiting for."""
    return _misses.get(conn_id, 0) < _MOST_MISSES


def note_arrival(conn_id: str) -> None:
    """Note that a webhook came."""
    if not is_trusted(conn_id):
        log.info("Webhooks by the connection %r arrive again.", conn_id)
    _misses.pop(conn_id, None)


def note_miss(conn_id: str) -> None:
    """Note that a job was seen to have ended, of which no webhook had told."""
    _misses[conn_id] = _misses.get(conn_id, 0) + 1
    if _misses[conn_id] == _MOST_MISSES:
        log.warning(
            "%d jobs in a row by the connection %r have ended without a webhook that told of them. From now on jobs "
            "are looked at as if there were none. Is [lipsync] webhook_receiver on, the connection in "
            "webhook_conn_ids, and webhook_base_url reachable for the vendor? (docs/webhooks.md)",
            _MOST_MISSES,
            conn_id,
        )
