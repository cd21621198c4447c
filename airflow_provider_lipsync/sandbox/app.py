"""The application: the API under ``/api/v1``, finished videos, samples, and how all of it starts and stops."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError as error:
    raise ImportError("the Lipsync sandbox needs: pip install 'airflow-provider-lipsync[sandbox]'") from error

from airflow_provider_lipsync.sandbox import verify_extra
from airflow_provider_lipsync.sandbox.api import API_ROUTES
from airflow_provider_lipsync.sandbox.control import CONTROL_ROUTES
from airflow_provider_lipsync.sandbox.fault_plan import FaultPlan
from airflow_provider_lipsync.sandbox.faults import On
from airflow_provider_lipsync.sandbox.files import (
    NotedResponse,
    build_file_response,
    ends_at_last_byte,
    starts_at_first_byte,
)
from airflow_provider_lipsync.sandbox.mishaps import describe_status, spoil
from airflow_provider_lipsync.sandbox.network import build_client
from airflow_provider_lipsync.sandbox.replies import json_reply
from airflow_provider_lipsync.sandbox.settings import Settings
from airflow_provider_lipsync.sandbox.store import Record, Store
from airflow_provider_lipsync.sandbox.studio import SAMPLES, Studio
from airflow_provider_lipsync.sandbox.waits import Waits
from airflow_provider_lipsync.sandbox.work import Workshop

__all__ = ["create_app"]

log = logging.getLogger(__name__)

_MEDIA_TYPES = {".png": "image/png", ".wav": "audio/wav", ".mp4": "video/mp4"}


def create_app(settings: Settings | None = None) -> Starlette:
    """Return the sandbox as an ASGI application; its state lives and dies with it.

    :param settings: how it behaves; None = the defaults.
    :raises ImportError: the extra ``sandbox`` is not installed.
    """
    verify_extra()
    app = Starlette(
        routes=[
            *API_ROUTES,
            *CONTROL_ROUTES,
            Route("/outputs/{job_id}.mp4", _serve_output, methods=["GET"]),
            Route("/samples/{name}", _serve_sample, methods=["GET"]),
        ],
        middleware=[Middleware(_RequestLog)],
        exception_handlers={HTTPException: _answer_refusal, Exception: _answer_defect},
        lifespan=_run,
    )
    app.router.redirect_slashes = False
    app.state.settings = settings or Settings()
    app.state.store = Store()
    app.state.faults = FaultPlan(*app.state.settings.read_plan())
    app.state.waits = Waits()
    return app


@asynccontextmanager
async def _run(app: Starlette) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    folder = Path(tempfile.mkdtemp(prefix="lipsync-sandbox-"))
    jobs = folder / "jobs"
    jobs.mkdir()
    try:
        async with build_client() as client:
            studio = app.state.studio = Studio(folder, slots=settings.render_slots)
            workshop = app.state.workshop = Workshop(settings, studio, jobs, client)
            yield
            await workshop.clear()
            await studio.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _serve_output(request: Request) -> Response:
    record = request.app.state.store.find(request.path_params["job_id"])
    if record is None or not record.is_ready:
        raise HTTPException(404, "No such output")
    refused = record.refuse_fetch(request.query_params.get("token"))
    if refused is not None:
        raise HTTPException(refused, describe_status(refused))
    path = record.video or await request.app.state.studio.canned(record.submit.resolution)
    response = await build_file_response(request, path, "video/mp4")
    return response if request.method == "HEAD" else _count_fetch(request, record, response)


def _count_fetch(request: Request, record: Record, response: Response) -> Response:
    plan: FaultPlan = request.app.state.faults
    rule = plan.deal_look(On.OUTPUT, record.id)
    if rule is not None:
        record.note_fault(rule.fault)
    answer = spoil(response, rule)
    if rule is None or rule.begins:
        record.fetched += starts_at_first_byte(response)
        if ends_at_last_byte(response):
            return NotedResponse(answer, int(response.headers["content-length"]), record.note_delivery)
    return answer


async def _serve_sample(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in SAMPLES:
        raise HTTPException(404, f"No such sample; there are {', '.join(SAMPLES)}")
    path = await request.app.state.studio.sample(name)
    return await build_file_response(request, path, _MEDIA_TYPES[path.suffix])


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    refusal: Any = error
    return json_reply({"error": refusal.detail}, status=refusal.status_code, headers=refusal.headers)


async def _answer_defect(_request: Request, _error: Exception) -> Response:
    return json_reply({"error": "Internal error"}, status=500)


class _RequestLog:
    """One line per request: method, path, status, time. No query string and no header, so no key and no signature."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()

        async def send_and_log(message: Message) -> None:
            if message["type"] == "http.response.start":
                settings: Settings = scope["app"].state.settings
                path = settings.redact(quote(scope["path"], safe="/:-._~"))
                milliseconds = (time.monotonic() - started) * 1000
                log.info("%s %s %d %.0f ms", scope["method"], path, message["status"], milliseconds)
            await send(message)

        await self._app(scope, receive, send_and_log)
