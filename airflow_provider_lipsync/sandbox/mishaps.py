"""How an answer is spoiled: another one in its place, or the right one that comes late, slowly, half, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http import HTTPStatus

from starlette.responses import HTMLResponse, Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_lipsync.sandbox.connection import hang_up
from airflow_provider_lipsync.sandbox.faults import Fault, Rule
from airflow_provider_lipsync.sandbox.replies import json_reply
from airflow_provider_lipsync.sandbox.waits import Waits

__all__ = ["describe_status", "spoil"]


def spoil(response: Response, rule: Rule | None) -> Response:
    """Return what is answered instead.

    :param response: the right answer.
    :param rule: what hits it; None = nothing.
    """
    if rule is None:
        return response
    match rule.fault:
        case Fault.STATUS:
            return _build_error(rule)
        case Fault.HTML:
            return _build_page(rule.options["status"])
        case Fault.MALFORMED:
            return _build_malformed(response)
        case _:
            return _MISHAPS[rule.fault](response, rule)


def describe_status(status: int) -> str:
    """Return the words of an answer with this status, whether HTTP knows it or not."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Error {status}"


def _build_error(rule: Rule) -> Response:
    status = rule.options["status"]
    return json_reply({"error": describe_status(status)}, status=status, headers=_retry_after(rule))


def _retry_after(rule: Rule) -> dict[str, str]:
    seconds, ahead = rule.options["retry_after"], rule.options["retry_after_date"]
    if ahead is not None:
        return {"Retry-After": formatdate(time.time() + ahead, usegmt=True)}
    return {} if seconds is None else {"Retry-After": str(seconds)}


def _build_page(status: int) -> Response:
    words = "Welcome" if status == 200 else f"{status} {describe_status(status)}"
    page = f"<!DOCTYPE html>\n<html><head><title>{words}</title></head><body><h1>{words}</h1></body></html>\n"
    return HTMLResponse(page, status_code=status)


def _build_malformed(response: Response) -> Response:
    """Return the answer as Python writes it: single quotes and None, which is almost JSON, and none."""
    text = repr(json.loads(bytes(response.body)))
    return Response(text, status_code=response.status_code, media_type="application/json")


class _Mishap(Response):
    """An answer that goes wrong on its way."""

    def __init__(self, response: Response, rule: Rule) -> None:
        super().__init__()
        self.right = response
        self.options = rule.options


class _Dropped(_Mishap):
    """Not one byte, and the connection closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await hang_up(scope, receive)


class _Late(_Mishap):
    """The right answer, after a wait."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        waits: Waits = scope["app"].state.waits
        if await waits.wait(self.options["seconds"], receive):
            await self.right(scope, receive, send)
        else:
            await hang_up(scope, receive)


class _Truncated(_Mishap):
    """The head of the right answer, some bytes of its body, and the connection closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = int(self.right.headers["content-length"])
        wanted = self.options["bytes"]
        left = whole // 2 if wanted is None else min(wanted, max(0, whole - 1))

        async def send_some(message: Message) -> None:
            nonlocal left
            if message["type"] != "http.response.body":
                await send(message)
                return
            piece = bytes(message.get("body", b""))
            await send({"type": "http.response.body", "body": piece[:left], "more_body": True})
            left -= len(piece)
            if left <= 0:
                await _break_off(scope, receive)

        with _until_broken_off():
            await self.right(scope, receive, send_some)


class _Dripping(_Mishap):
    """The right answer, its body byte by byte."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        waits: Waits = scope["app"].state.waits

        async def drip(message: Message) -> None:
            if message["type"] == "http.response.body":
                for byte in bytes(message.get("body", b"")):
                    if not await waits.wait(self.options["seconds_per_byte"], receive):
                        await _break_off(scope, receive)
                    await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                message = {**message, "body": b""}
            await send(message)

        with _until_broken_off():
            await self.right(scope, receive, drip)


class _BrokenOffError(Exception):
    """The connection was closed in the middle of the answer: there is nobody to send the rest to."""


async def _break_off(scope: Scope, receive: Receive) -> None:
    await hang_up(scope, receive, how="without sending complete message body")
    raise _BrokenOffError


@contextmanager
def _until_broken_off() -> Iterator[None]:
    try:
        yield
    except* _BrokenOffError:  # in a group, where the answer was sent from a task group
        pass


_MISHAPS: dict[Fault, type[_Mishap]] = {
    Fault.DROP_ANSWER: _Dropped,
    Fault.LATE_ANSWER: _Late,
    Fault.TRUNCATED: _Truncated,
    Fault.SLOW_DRIP: _Dripping,
}
