"""The control surface under ``/sandbox``: what was submitted and charged; the vendor has no such thing."""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_lipsync.sandbox.replies import json_reply
from airflow_provider_lipsync.sandbox.settings import Settings
from airflow_provider_lipsync.sandbox.studio import SAMPLES

__all__ = ["CONTROL_ROUTES"]

log = logging.getLogger(__name__)


async def _describe(request: Request) -> Response:
    settings: Settings = request.app.state.settings
    origin = f"{request.url.scheme}://{request.url.netloc}"
    low, high = settings.job_range
    content: dict[str, Any] = {
        "what": "A local Lipsync API for developing DAGs: no real videos, no real credits.",
        "state": "In memory only: jobs, videos and the ledger are lost when the sandbox exits.",
        "api": f"{origin}/api/v1",
        "canned": settings.canned,
        "job_seconds": [low, high],
        "ledger": f"GET {origin}/sandbox/ledger",
        "reset": f"POST {origin}/sandbox/reset",
        "samples": [f"{origin}/samples/{name}" for name in SAMPLES],
    }
    return json_reply(content)


async def _ledger(request: Request) -> Response:
    return json_reply(request.app.state.store.as_dict())


async def _reset(request: Request) -> Response:
    state = request.app.state
    forgotten = len(state.store.records)
    state.store.clear()
    await state.workshop.clear()
    log.info("reset: %d jobs forgotten", forgotten)
    return json_reply({"forgotten": forgotten})


CONTROL_ROUTES = [
    Route("/", _describe, methods=["GET"]),
    Route("/sandbox", _describe, methods=["GET"]),
    Route("/sandbox/", _describe, methods=["GET"]),
    Route("/sandbox/ledger", _ledger, methods=["GET"]),
    Route("/sandbox/reset", _reset, methods=["POST"]),
]
