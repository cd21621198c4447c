"""What a request must be, before anything is done for it: the checks, in their order. No database, no look at a job.

Whoever sends something wrong learns nothing of what was wrong: each refusal is the same answer.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from starlette.requests import ClientDisconnect, Request

from airflow_provider_lipsync.api.callback import Callback, CallbackRefused, read_token
from airflow_provider_lipsync.api.texts import is_job_id

__all__ = ["LARGEST_BODY", "Reason", "RefusedError", "callback_of", "job_id_of"]

LARGEST_BODY = 64 * 1024  # bytes; a job has some hundred
_DEEPEST = 20  # brackets within brackets; a job has one
_BODY_SECONDS = 10.0  # in which the body must be there

Reason = Literal[
    "method",
    "malformed",
    "forged",
    "expired",
    "content type",
    "too large",
    "too slow",
    "no job",
    "another job",
    "unknown job",
    "another model",
    "claimed job",
]


class RefusedError(Exception):
    """A request is not taken. It holds nothing of what was sent.

    :param reason: a fixed word.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def callback_of(request: Request, *, secrets: Mapping[str, Sequence[str]], now: float) -> Callback:
    """Return the purchase that a request's address names.

    :param secrets: by connection; see :func:`~airflow_provider_lipsync.api.callback.read_token`.
    :param now: seconds since the epoch.
    :raises RefusedError: it names none that is believed.
    """
    if request.method != "POST":
        raise RefusedError("method")
    token = request.path_params["token"]
    as_sent = request.scope.get("raw_path")  # not every server tells it; Airflow's does
    if as_sent is not None and not as_sent.endswith(f"/{token}".encode()):
        raise RefusedError("malformed")  # percent-encoded: not the address that the vendor was given
    try:
        return read_token(token, secrets=secrets, now=now)
    except CallbackRefused as refusal:
        raise RefusedError(refusal.reason) from None


async def job_id_of(request: Request) -> str:
    """Return the id of the job that a request's body names.

    :raises RefusedError: it names none, or is nothing that the vendor would send.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError("content type")
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:9]) > LARGEST_BODY or len(length) > 9:
        raise RefusedError("too large")
    return _job_id_in(await _body_of(request))


async def _body_of(request: Request) -> bytes:
    came = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                came += part
                if len(came) > LARGEST_BODY:
                    raise RefusedError("too large")
    except TimeoutError:
        raise RefusedError("too slow") from None
    except ClientDisconnect:
        raise RefusedError("no job") from None
    return bytes(came)


def _job_id_in(body: bytes) -> str:
    if _depth(body) > _DEEPEST:
        raise RefusedError("no job")
    try:
        found: Any = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise RefusedError("no job") from None
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        raise RefusedError("no job")
    job_id = found.get("id")
    if not isinstance(job_id, str) or not is_job_id(job_id):
        raise RefusedError("no job")
    return job_id


def _depth(body: bytes) -> int:
    """Return how deep the brackets of JSON stand in each other, whatever else it is; found without reading it."""
    deepest = depth = 0
    for bracket in re.findall(rb'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', body, flags=re.DOTALL):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in b"]}":
            depth -= 1
    return deepest
