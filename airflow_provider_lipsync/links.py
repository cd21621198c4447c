"""The permanent address of a task's page, the player that the plugin serves. Light: imported with the operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow_provider_lipsync.media.task_key import TaskKey

__all__ = ["LipsyncPlayerLink", "player_url"]


def player_url(key: TaskKey | Any) -> str:
    """Return the address of the page that shows a task instance's video, now and later.

    It stands below ``[api] base_url``; where that is not set, the address is one of the same host, which does for
    Airflow's own pages but not for a mail.

    :param key: of the task instance; anything with ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    """
    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    named = {name: getattr(key, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    if named["map_index"] < 0:
        del named["map_index"]
    return f"{base}/lipsync/player?{urlencode(named)}"


class LipsyncPlayerLink(BaseOperatorLink):
    """The button of a task instance that opens its player page, also while the job renders."""

    @property
    def name(self) -> str:
        """What the button says."""
        return "Lipsync video"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address; Airflow asks for it on the worker, and keeps it."""
        return player_url(ti_key)
