"""The stored video as an answer: whole or in part, in chunks, for as long as somebody listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from airflow_provider_lipsync.plugin.pools import for_videos
from airflow_provider_lipsync.plugin.ranges import Span, UnsatisfiableRange, is_known, span_of
from airflow_provider_lipsync.plugin.stored import StoredCopy

__all__ = ["as_stored", "video_answer"]

_CHUNK = 1024 * 1024  # bytes that are held in memory for one listener


def video_answer(request: Request, copy: StoredCopy) -> Response:
    """Return the answer to a GET or HEAD of a stored video; nothing of it is read yet."""
    headers = {
        "ETag": copy.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private",
        "Content-Type": copy.mime,
        **as_stored(request),
    }
    if is_known(copy.etag, request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    try:
        span = span_of(
            request.headers.get("range") if request.method == "GET" else None,
            size=copy.size,
            etag=copy.etag,
            if_range=request.headers.get("if-range"),
        )
    except UnsatisfiableRange:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{copy.size}"})
    status = 200
    if span is not None:
        status, headers["Content-Range"] = 206, f"bytes {span.start}-{span.end - 1}/{copy.size}"
    span = span or Span(0, copy.size)
    headers["Content-Length"] = str(span.length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_chunks(copy, span), status_code=status, headers=headers)


def as_stored(request: Request) -> dict[str, str]:
    """Return what keeps Airflow's compression away from bytes that are compressed already, and from ranges of them.

    Older versions of its web framework compress whatever they are not told is encoded.
    """
    return {"Content-Encoding": "identity"} if "gzip" in request.headers.get("accept-encoding", "") else {}


async def _chunks(copy: StoredCopy, span: Span) -> AsyncIterator[bytes]:
    with ExitStack() as stack:
        reader = await for_videos(stack.enter_context, copy.opened())
        at = span.start
        while at < span.end:
            end = min(at + _CHUNK, span.end)
            yield await for_videos(reader.read, at, end)
            at = end
