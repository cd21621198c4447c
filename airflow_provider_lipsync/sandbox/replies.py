"""JSON in and out, bounded: no body is read beyond the limit, no answer can fail to be encoded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from airflow_provider_lipsync.sandbox.validate import Refused

__all__ = ["MAX_BODY_BYTES", "json_reply", "read_json"]

MAX_BODY_BYTES = 1_000_000  # not stated by the vendor; a formState is a few URLs and a prompt
_DRAINED_BYTES = 4 * MAX_BODY_BYTES  # read and thrown away, so that a client that is still sending sees the 413


def json_reply(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer, in ASCII, so that whatever came in a body can go out again."""
    return Response(json.dumps(content), status_code=status, headers=headers, media_type="application/json")


async def read_json(request: Request) -> Any:
    """Return what the body says.

    :raises Refused: not JSON (400), or too large (413).
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused(400, "Content-Type must be application/json")
    body = await _read_bounded(request)
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not valid JSON") from None


async def _read_bounded(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    size = int(declared) if declared.isdigit() else 0
    if size > _DRAINED_BYTES:
        raise _too_large()
    body = bytearray()
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received <= MAX_BODY_BYTES:
                body += chunk
            elif received > _DRAINED_BYTES:
                raise _too_large()
    except ClientDisconnect:
        raise Refused(400, "The body ended early") from None
    if received > MAX_BODY_BYTES:
        raise _too_large()
    return bytes(body)


def _too_large() -> Refused:
    return Refused(413, f"The body is larger than {MAX_BODY_BYTES} bytes")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
