"""Requests are built here, by pure functions: no socket and no httpx.

A whole exchange (send, understand, wait, send again) is a generator that yields what to do next, so that the sync and
the async client drive the very same logic.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from airflow_provider_lipsync.api.answers import Answer, NoAnswer, parse_job, parse_submit, scrub
from airflow_provider_lipsync.api.models import Job, SubmitRequest
from airflow_provider_lipsync.api.retry import RetryPolicy, may_resend_get, may_resend_post, next_delay
from airflow_provider_lipsync.api.texts import is_http_url, refuse_key
from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError, LipsyncMisconfigured

__all__ = [
    "DEFAULT_BASE_URL",
    "Exchange",
    "PreparedRequest",
    "Send",
    "Target",
    "Wait",
    "build_query",
    "build_submit",
    "query_exchange",
    "query_url",
    "submit_exchange",
]

log = logging.getLogger(__name__)

DEFAULT_BASE_URL = "https://lipsync.studio/api/v1"  # stated on the vendor's page


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the API is and who asks.

    :param base_url: ``https://lipsync.studio/api/v1`` or the sandbox's.
    :param api_key: the key, never shown by ``repr``.
    :raises LipsyncMisconfigured: the URL is not http(s) with a host, or the key is empty or cannot stand in a header.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not is_http_url(self.base_url):
            raise LipsyncMisconfigured(f"the base URL {self.base_url!r} is not an http(s) URL with a host")
        if not self.api_key:
            raise LipsyncMisconfigured("there is no API key: it belongs in the connection's password")
        if not (self.api_key.isascii() and self.api_key.isprintable()) or " " in self.api_key:
            raise LipsyncMisconfigured("the API key has characters that no key has (a space, a line break, an accent)")


@dataclass(frozen=True, kw_only=True)
class PreparedRequest:
    """A request, ready to be sent. ``headers`` hold the key: never shown by ``repr``."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = None


@dataclass(frozen=True)
class Send:
    """Send this and tell what came of it."""

    request: PreparedRequest


@dataclass(frozen=True)
class Wait:
    """Wait for this many seconds."""

    seconds: float


Exchange = Generator[Send | Wait, Answer | NoAnswer | None, Job]


def build_submit(target: Target, request: SubmitRequest) -> PreparedRequest:
    """Return the POST that buys a job.

    :raises LipsyncBadInput: the body is not JSON, or holds the API key.
    """
    try:
        text = json.dumps(request.body(), allow_nan=False, ensure_ascii=False)
        body = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise LipsyncBadInput(f"the request cannot be written as JSON: {scrub(str(error), target.api_key)}") from None
    refuse_key({**request.form_state(), "webhook_url": request.webhook, "its fields": text}, target.api_key)
    headers = {**_headers(target), "Content-Type": "application/json"}
    return PreparedRequest(method="POST", url=f"{target.base_url}/{request.endpoint}", headers=headers, body=body)


def build_query(target: Target, job_id: str) -> PreparedRequest:
    """Return the GET that looks at a job."""
    return PreparedRequest(method="GET", url=query_url(target.base_url, job_id), headers=_headers(target))


def query_url(base_url: str, job_id: str) -> str:
    """Return where a job is looked at."""
    return f"{base_url}/jobs/{quote(job_id, safe='')}"


def submit_exchange(
    target: Target, request: SubmitRequest, policy: RetryPolicy, *, chance: Callable[[], float] = random.random
) -> Exchange:
    """Buy a job: sent again only where it never left or was refused with 429; see :func:`parse_submit`."""
    prepared = build_submit(target, request)
    return _exchange(
        prepared,
        policy,
        understand=lambda reply: parse_submit(reply, endpoint=request.endpoint, api_key=target.api_key),
        may_resend=may_resend_post,
        capped=False,
        chance=chance,
    )


def query_exchange(
    target: Target, job_id: str, policy: RetryPolicy, *, chance: Callable[[], float] = random.random
) -> Exchange:
    """Look at a job: asked again on connection errors, timeouts, 429 and 5xx; see :func:`parse_job`."""
    return _exchange(
        build_query(target, job_id),
        policy,
        understand=lambda reply: parse_job(reply, job_id=job_id, api_key=target.api_key),
        may_resend=may_resend_get,
        capped=True,
        chance=chance,
    )


def _exchange(
    prepared: PreparedRequest,
    policy: RetryPolicy,
    *,
    understand: Callable[[Answer | NoAnswer], Job],
    may_resend: Callable[[LipsyncError], bool],
    capped: bool,
    chance: Callable[[], float],
) -> Exchange:
    waited, attempt = 0.0, 0
    while True:
        reply = yield Send(prepared)
        attempt += 1
        try:
            return understand(reply if reply is not None else NoAnswer(left=True, reason="nothing was sent"))
        except LipsyncError as error:
            delay = (
                next_delay(
                    policy,
                    attempt=attempt,
                    waited=waited,
                    retry_after=error.retry_after,
                    chance=chance(),
                    capped=capped,
                )
                if may_resend(error)
                else None
            )
            if delay is None:
                raise
            log.info("%s did not work (%s); it is sent again in %.1f s", prepared.method, error.message, delay)
        yield Wait(delay)
        waited += delay


def _headers(target: Target) -> dict[str, str]:
    return {"Authorization": f"Bearer {target.api_key}", "Accept": "application/json", "Accept-Encoding": "identity"}
