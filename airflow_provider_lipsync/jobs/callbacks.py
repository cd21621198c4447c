"""Where the vendor is to tell of a job: a URL of our own receiver that names this one purchase. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_lipsync.api.callback import Callback, make_token
from airflow_provider_lipsync.media.task_key import TaskKey

if TYPE_CHECKING:
    from airflow_provider_lipsync.hooks.settings import WebhookSettings
    from airflow_provider_lipsync.jobs.ledger import Record

__all__ = ["MARGIN_SECONDS", "CallbackUrls", "deadline_of"]

# Beyond a job's deadline, for a delivery that comes late: it still brings an id back for whoever clears the task.
MARGIN_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class CallbackUrls:
    """Makes the URLs for the purchases of one task instance.

    :param conn_id: the connection that buys.
    """

    webhook: WebhookSettings
    conn_id: str
    key: TaskKey

    def until(self, deadline: float) -> float:
        """Return until when a delivery is taken of a job with this deadline; both in seconds since the epoch."""
        return deadline + MARGIN_SECONDS

    def url_of(self, record: Record) -> str:
        """Return the URL for a purchase whose intent was written."""
        assert record.webhook_until is not None
        callback = Callback(
            conn_id=self.conn_id,
            dag_id=self.key.dag_id,
            run_id=self.key.run_id,
            task_id=self.key.task_id,
            map_index=self.key.map_index,
            nonce=record.nonce,
            expires_at=math.ceil(record.webhook_until),
        )
        return self.webhook.url_of(make_token(callback, secret=self.webhook.secret))


def deadline_of(record: Record) -> float | None:
    """Return until when the webhook that brings a lost id back is waited for; None where none can come."""
    return None if record.webhook_until is None else record.webhook_until - MARGIN_SECONDS
