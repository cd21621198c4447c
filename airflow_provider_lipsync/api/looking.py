"""Looks at jobs on the hot path: one session, prebuilt headers, and no job built while it only goes on.

On aiohttp, not httpx: a look costs an eighth of the CPU (measured, see ``benchmarks/README.md``). It can only GET.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from airflow_provider_lipsync.api.answers import LONGEST_ANSWER, Answer, NoAnswer, parse_job
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.api.settings import ClientSettings
from airflow_provider_lipsync.api.texts import is_loopback
from airflow_provider_lipsync.api.wire import build_query, query_url
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncMisconfigured

__all__ = ["Looker"]

_PROCESSING = "processing"
_URLS = 1024  # that are kept: making one costs a seventh of a look. A bound, since each is half a KB
_USERINFO = re.compile(r"(?<=://)[^/\s]*@")  # a proxy's password, which aiohttp repeats in its errors


class Looker:
    """Looks at jobs, many at once, over a few kept connections. Close it. It belongs to one event loop.

    :param settings: where, who, how long, how many connections.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.in_flight = 0
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        # With each look, never the session's own: those aiohttp sends to the proxy, too, and the key with them.
        self._headers = CIMultiDict(build_query(settings.target, "").headers)

    async def look(self, job_id: str) -> Job | LipsyncError | None:
        """Return the job, the error of the look, or None where the job goes on as expected. Never sent again here."""
        self.in_flight += 1
        try:
            reply = await self._ask(job_id)
            if reply is None:
                return None
            return parse_job(reply, job_id=job_id, api_key=self.settings.target.api_key)
        except LipsyncError as error:
            return error
        finally:
            self.in_flight -= 1

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, job_id: str) -> Answer | NoAnswer | None:
        session = self._session or await self._opened()
        url = _url(self.settings.target.base_url, job_id)
        try:
            async with session.get(url, headers=self._headers, allow_redirects=False) as came:
                body, complete = await _read(came.content)
                if came.status == 200 and complete and _goes_on(body, job_id):
                    return None
                headers = {name.lower(): value for name, value in came.headers.items()}
                return Answer(status=came.status, headers=headers, body=body, complete=complete)
        except Exception as error:  # noqa: BLE001 - whatever it was, the job was not seen
            words = _USERINFO.sub("", str(error)) or "the connection broke off"
            return NoAnswer(left=True, reason=f"{type(error).__name__}: {words}")

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                context = await asyncio.to_thread(lambda: self.settings.ssl_context)  # some 30 ms, once a process
                try:
                    self._session = self._new_session(context)
                except Exception as error:
                    reason = f"{type(error).__name__}: {error}"
                    raise LipsyncMisconfigured(
                        f"no HTTP client can be made (proxy or certificates?): {reason}"
                    ) from error
            return self._session

    def _new_session(self, context: Any) -> aiohttp.ClientSession:
        times, target = self.settings.timeouts, self.settings.target
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.settings.max_connections, ssl=context or False),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=times.read, sock_connect=times.connect),
            auto_decompress=False,
            proxy=_proxy_for(target.base_url),
            trust_env=False,  # it would read ~/.netrc for each look; the proxies of the environment are read above
        )


@lru_cache(maxsize=_URLS)
def _url(base_url: str, job_id: str) -> URL:
    return URL(query_url(base_url, job_id), encoded=True)


async def _read(content: aiohttp.StreamReader) -> tuple[bytes, bool]:
    """Return the body up to a bound, and whether it is whole."""
    body = await content.readany()
    while not content.at_eof():
        if len(body) > LONGEST_ANSWER:
            return body[:LONGEST_ANSWER], False
        try:
            body += await content.readany()
        except aiohttp.ClientPayloadError:
            return body, False
    return body[:LONGEST_ANSWER], len(body) <= LONGEST_ANSWER


def _goes_on(body: bytes, job_id: str) -> bool:
    """Whether a body says of this very job that it is processing; all else is for the full reading."""
    try:
        found = json.loads(body.decode())  # quicker than to let it guess the encoding
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("status") == _PROCESSING and found.get("id") == job_id


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, by the rules that httpx follows, too.

    :raises ValueError: it cannot be used: every look would fail, until the deadline.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if URL(proxy).scheme not in ("http", "https"):
        raise ValueError(f"looks cannot go through a proxy of the kind {URL(proxy).scheme!r}")
    return proxy
