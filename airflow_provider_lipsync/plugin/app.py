"""The app behind the pages and the receiver of webhooks: made in the API server alone, which has what it imports.

An error tells a sentence, never what was sent, and never where in the code it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.routing import Route

from airflow_provider_lipsync.plugin.access import is_page, login_address
from airflow_provider_lipsync.plugin.files import NO_MORE_THAN_OURS
from airflow_provider_lipsync.plugin.routes import router
from airflow_provider_lipsync.plugin.stored import NotServedError
from airflow_provider_lipsync.plugin.webhooks.turned_on import running

__all__ = ["create_app"]

_Message = MutableMapping[str, Any]


def create_app() -> FastAPI:
    """Return the app; it has no route that tells of its routes, and one for webhooks only where they are received."""
    app = FastAPI(title="Lipsync", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.include_router(router)
    if running() is not None:
        app.router.routes.append(Route("/webhooks/{token:path}", _Webhooks()))
    app.add_middleware(_Headers)
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(NotServedError, _not_served)
    return app


class _Webhooks:
    """Hands requests of all methods to the receiver that runs."""

    async def __call__(self, scope: _Message, receive: Any, send: Any) -> None:
        receiver = running()
        assert receiver is not None
        await receiver(scope, receive, send)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    login = login_address(request, error)
    if login is not None:
        return RedirectResponse(login)
    return _told(request, error.status_code, str(error.detail), headers=error.headers)


def _misunderstood(request: Request, error: Exception) -> Response:
    """Name the parameters, and what each should be; not what was sent."""
    assert isinstance(error, RequestValidationError)
    said = (f"{found['loc'][-1]}: {found['msg'].lower()}" for found in error.errors())
    return _told(request, 422, f"{'; '.join(said)}.")


def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotServedError)
    return _told(request, error.status, error.reason)


def _told(request: Request, status: int, detail: str, headers: Any = None) -> Response:
    """Answer with a sentence: as it is to somebody who opened a page, as JSON to a page that asked for data."""
    if is_page(request):
        return PlainTextResponse(detail, status, headers=headers)
    return JSONResponse({"detail": detail}, status, headers=headers)


class _Headers:
    """Adds to every answer what keeps it from being guessed at, framed by strangers, or kept by others."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: Any, send: Callable[[_Message], Awaitable[None]]) -> None:
        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in NO_MORE_THAN_OURS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)
