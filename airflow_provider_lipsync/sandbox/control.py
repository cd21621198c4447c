"""The control surface under ``/sandbox``: what was charged, and what goes wrong; the vendor has no such thing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_lipsync.sandbox.fault_plan import FaultPlan
from airflow_provider_lipsync.sandbox.faults import parse_plan
from airflow_provider_lipsync.sandbox.replies import json_reply, read_json
from airflow_provider_lipsync.sandbox.settings import Settings
from airflow_provider_lipsync.sandbox.studio import SAMPLES
from airflow_provider_lipsync.sandbox.validate import Refused

__all__ = ["CONTROL_ROUTES"]

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


def _saying_why(handler: Handler) -> Handler:
    @wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refusal:
            return json_reply({"error": refusal.message}, status=refusal.status)

    return handle


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
        "faults": f"GET, PUT, DELETE {origin}/sandbox/faults",
        "finish": f"POST {origin}/sandbox/jobs/<id>/finish",
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
    state.faults.reset()
    state.waits.interrupt()
    await state.workshop.clear()
    log.info("reset: %d jobs forgotten", forgotten)
    return json_reply({"forgotten": forgotten})


async def _show_faults(request: Request) -> Response:
    return json_reply(request.app.state.faults.as_dict())


@_saying_why
async def _put_faults(request: Request) -> Response:
    plan: FaultPlan = request.app.state.faults
    try:
        rules, seed = parse_plan(await read_json(request))
    except ValueError as error:
        raise Refused(422, str(error)) from None
    plan.replace(rules, seed)
    log.info("faults: %d rules", len(rules))
    return json_reply(plan.as_dict())


async def _clear_faults(request: Request) -> Response:
    request.app.state.faults.replace(())
    return await _show_faults(request)


@_saying_why
async def _finish(request: Request) -> Response:
    record = request.app.state.store.find(request.path_params["job_id"])
    if record is None:
        raise Refused(404, "No such job")
    error = _read_end(await read_json(request))
    if not await request.app.state.workshop.finish(record, error):
        what = f"is {record.status.value}" if record.is_over else "is being finished, or was forgotten by a reset,"
        raise Refused(409, f"The job {what} already")
    return json_reply(record.job())


def _read_end(body: Any) -> str:
    match body:
        case {"status": "completed", **others} if not others:
            return ""
        case {"status": "failed", **others} if not others:
            return "Internal error"
        case {"status": "failed", "error": str(error), **others} if error and not others:
            return error
    raise Refused(422, 'The body must be {"status": "completed"} or {"status": "failed", "error": "why, not empty"}')


CONTROL_ROUTES = [
    Route("/", _describe, methods=["GET"]),
    Route("/sandbox", _describe, methods=["GET"]),
    Route("/sandbox/", _describe, methods=["GET"]),
    Route("/sandbox/ledger", _ledger, methods=["GET"]),
    Route("/sandbox/reset", _reset, methods=["POST"]),
    Route("/sandbox/faults", _show_faults, methods=["GET"]),
    Route("/sandbox/faults", _put_faults, methods=["PUT"]),
    Route("/sandbox/faults", _clear_faults, methods=["DELETE"]),
    Route("/sandbox/jobs/{job_id}/finish", _finish, methods=["POST"]),
]
