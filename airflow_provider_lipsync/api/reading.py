"""From an httpx response to an answer, bounded in bytes and in time."""

from __future__ import annotations

import contextlib
import time

import httpx

from airflow_provider_lipsync.api.answers import LONGEST_ANSWER, Answer, NoAnswer

__all__ = ["aforget_location", "aread_answer", "forget_location", "no_answer", "read_answer"]

_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class _Body:
    """The bytes of an answer, up to a bound in size and in time."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._bytes = bytearray()
        self.complete = False

    def take(self, chunk: bytes) -> bool:
        """Take a chunk; return whether more may be read."""
        self._bytes += chunk
        return len(self._bytes) <= LONGEST_ANSWER and time.monotonic() < self._until

    def read_before(self, came: httpx.Response) -> Answer:
        """Take a body that is in memory already, as httpx.MockTransport gives it."""
        self.complete = self.take(came.content)
        return self.answer(came)

    def answer(self, came: httpx.Response) -> Answer:
        body = bytes(self._bytes[:LONGEST_ANSWER])
        return Answer(status=came.status_code, headers=dict(came.headers), body=body, complete=self.complete)


def read_answer(came: httpx.Response, *, seconds: float) -> Answer:
    """Read the body; what broke off, or is longer than the bounds, is an answer that is not complete."""
    body = _Body(seconds)
    if came.is_stream_consumed:
        return body.read_before(came)
    with contextlib.suppress(httpx.TransportError):
        body.complete = all(body.take(chunk) for chunk in came.iter_raw())
    return body.answer(came)


async def aread_answer(came: httpx.Response, *, seconds: float) -> Answer:
    """Read the body, asynchronously; see :func:`read_answer`."""
    body = _Body(seconds)
    if came.is_stream_consumed:
        return body.read_before(came)
    with contextlib.suppress(httpx.TransportError):
        async for chunk in came.aiter_raw():
            if not body.take(chunk):
                return body.answer(came)
        body.complete = True
    return body.answer(came)


def forget_location(came: httpx.Response) -> None:
    """Drop where a redirect leads: it is never followed, but httpx reads it, and stumbles over a bad one."""
    came.headers.pop("location", None)


async def aforget_location(came: httpx.Response) -> None:
    """Drop where a redirect leads, asynchronously; see :func:`forget_location`."""
    forget_location(came)


def no_answer(error: Exception) -> NoAnswer:
    """Tell whether a request that got no answer may have reached the vendor."""
    reason = f"{type(error).__name__}: {str(error) or 'the connection broke off'}"
    return NoAnswer(left=not isinstance(error, _NEVER_LEFT), reason=reason)
