"""What Airflow reads to show the pages: tabs, a line in the navigation, the app that serves them, and what starts the
receiver of webhooks.

Airflow imports this in all of its processes, at every start of a task and wherever DAGs are read: nothing else is
imported here until an API server is asked for a page.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

__all__ = ["PREFIX", "LipsyncPlugin", "start_receiver"]

log = logging.getLogger(__name__)

PREFIX = "/lipsync"

_Message = MutableMapping[str, Any]
_App = Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]


class _LazyApp:
    """An ASGI app that is made when it is first asked for something: only an API server ever asks."""

    _made: _App | None = None

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if self._made is None:
            from airflow_provider_lipsync.plugin.app import create_app

            self._made = create_app()
        await self._made(scope, receive, send)


def start_receiver(app: _App) -> _App:
    """Start the receiver of webhooks where it is turned on, and return the app as it is.

    Airflow calls this in API servers alone, once each, as a middleware: when they start, on their event loop. No
    request passes through here.
    """
    try:
        if conf.getboolean("lipsync", "webhook_receiver", fallback=False):
            from airflow_provider_lipsync.plugin.webhooks.turned_on import start

            start()
    except Exception:
        log.exception("Lipsync webhooks are not received; jobs are polled.")
    return app


_APPS: list[Any] = [{"app": _LazyApp(), "url_prefix": PREFIX, "name": "Lipsync"}]

_MIDDLEWARES: list[Any] = [{"name": "Lipsync webhooks", "middleware": start_receiver}]

# The addresses have no slash in front: so they hold behind a proxy that puts Airflow below a path of its own.
_VIEWS: list[Any] = [
    {
        "name": "Lipsync video",
        "destination": "task_instance",
        "url_route": "lipsync-player",
        "href": "lipsync/player?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
    },
    {
        "name": "Lipsync videos",
        "destination": "dag_run",
        "url_route": "lipsync-run",
        "href": "lipsync/run?dag_id={DAG_ID}&run_id={RUN_ID}",
    },
    {
        "name": "Lipsync jobs",
        "destination": "nav",
        "category": "browse",
        "url_route": "lipsync-jobs",
        "href": "lipsync/jobs",
    },
]


class LipsyncPlugin(AirflowPlugin):
    """A tab on each task instance and each run, a page of jobs under *Browse*, and a receiver of webhooks."""

    name = "lipsync"
    fastapi_apps = _APPS
    fastapi_root_middlewares = _MIDDLEWARES
    external_views = _VIEWS
