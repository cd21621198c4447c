"""The stored video as an answer: whole or in part, in chunks, for as long as somebody listens."""

from __future__ import annotations

from contextlib import ExitStack

from anyio import CancelScope, create_task_group
from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from airflow_provider_lipsync.media.places import shown, words
from airflow_provider_lipsync.plugin.pools import for_videos
from airflow_provider_lipsync.plugin.ranges import Span, UnsatisfiableRange, is_known, span_of
from airflow_provider_lipsync.plugin.stored import NotServedError, Reader, StoredCopy

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
    return _Stream(copy, span, status=status, headers=headers)


def as_stored(request: Request) -> dict[str, str]:
    """Return what keeps Airflow's compression away from bytes that are compressed already, and from ranges of them.

    Older versions of its web framework compress whatever they are not told is encoded.
    """
    return {"Content-Encoding": "identity"} if "gzip" in request.headers.get("accept-encoding", "") else {}


class _Stream(Response):
    """Sends bytes of a video, one chunk in memory at a time; whoever goes away ends the read, and closes the file.

    Not a ``StreamingResponse``: of a listener that went away, that leaves the open file to the garbage collector.
    """

    def __init__(self, copy: StoredCopy, span: Span, *, status: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status, headers=headers)
        self._copy, self._span = copy, span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, until all is sent or nobody listens.

        :raises OSError: the storage broke off; then the connection does, too, which the browser understands.
        """
        trouble: Exception | None = None
        with ExitStack() as stack:
            reader = await for_videos(_opened, self._copy, stack)
            async with create_task_group() as tasks:
                tasks.start_soon(_cancel_when_alone, receive, tasks.cancel_scope)
                try:
                    await self._send(reader, send)
                except Exception as error:  # noqa: BLE001 - told below: a group of tasks would wrap it
                    trouble = error
                tasks.cancel_scope.cancel()
        if trouble is not None:
            raise OSError(f"the stored copy {shown(self._copy.path)} broke off: {words(trouble)}")

    async def _send(self, reader: Reader, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        at = self._span.start
        while at < self._span.end:
            end = min(at + _CHUNK, self._span.end)
            chunk = await for_videos(reader.read, at, end)
            at = end
            await send({"type": "http.response.body", "body": chunk, "more_body": at < self._span.end})


def _opened(copy: StoredCopy, stack: ExitStack) -> Reader:
    try:
        return stack.enter_context(copy.opened())
    except OSError as error:
        raise NotServedError(404, f"The stored copy is not there any more: {words(error)}.") from None


async def _cancel_when_alone(receive: Receive, scope: CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
