"""A GET over http(s) for URLs that strangers gave: no credentials, no private addresses, no query string in any log.

Requests go to httpx's transports directly: its client would log every URL, and follow redirects unseen.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx

from airflow_provider_lipsync.api.settings import shared_ssl_context
from airflow_provider_lipsync.api.texts import is_loopback, without_query
from airflow_provider_lipsync.media.addresses import AddressRefused, is_public, literal_address

__all__ = ["LEAST_AT_ONCE", "AddressRefused", "RedirectRefused", "Web", "without_queries"]

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
REDIRECTS = 5  # followed for one request
_AT_ONCE = 512 * 1024  # bytes read from a socket; many more would leave the processor's cache before they are hashed
LEAST_AT_ONCE = 64 * 1024  # what httpcore reads by itself
_REDIRECTING = (301, 302, 303, 307, 308)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_CHATTY = ("httpcore.http11", "httpcore.proxy")  # at DEBUG they log the headers of answers, Location among them


def without_queries(text: str) -> str:
    """Return a text in which no URL has its query, where signatures stand."""
    return re.sub(r"\?[^\s'\"<>]+", "?…", text)


class RedirectRefused(Exception):
    """A redirect that is not followed: too many, in a circle, or to no http(s) URL. Trying again does not help."""


class Web:
    """Fetches what is behind http(s) URLs, from the public internet alone. Keeps connections; to be closed.

    The address of the connected peer is judged before a request is sent, so that neither a name that leads to a private
    address nor one that changes its mind gets through. Where the environment names a proxy for a URL, the peer is that
    proxy, and only the address that stands in the URL itself can be judged: what a name leads to is the proxy's to say.

    :param may_be_private: whether private addresses are allowed; asked once, when the first one is met.
    """

    def __init__(self, *, may_be_private: Callable[[], bool]) -> None:
        self._may_be_private = may_be_private
        self._private_allowed: bool | None = None
        self._transports: dict[str | None, httpx.HTTPTransport] = {}
        self._at_once = _AT_ONCE
        self._discretion = _Discretion()
        for name in _CHATTY:
            logging.getLogger(name).addFilter(self._discretion)

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that were kept."""
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()
        for name in _CHATTY:
            logging.getLogger(name).removeFilter(self._discretion)

    @contextmanager
    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        timeout: httpx.Timeout = TIMEOUT,
        at_once: int = _AT_ONCE,
    ) -> Iterator[httpx.Response]:
        """Give the answer to a GET, its body not yet read, after at most five redirects.

        :param url: http or https; a user and password in it are not sent.
        :param headers: sent to every hop.
        :param timeout: seconds, for each hop.
        :param at_once: bytes that one read from the socket may bring, at least :data:`LEAST_AT_ONCE`. One answer is
            read at a time.
        :raises AddressRefused: it leads to a private address, or is no http(s) URL.
        :raises RedirectRefused: too many redirects, in a circle, or to no http(s) URL.
        :raises httpx.TransportError: no connection, or it broke.
        """
        self._at_once = at_once
        answer = self._follow(url, headers, timeout)
        try:
            yield answer
        finally:
            answer.close()

    def _follow(self, url: str, headers: Mapping[str, str], timeout: httpx.Timeout) -> httpx.Response:
        here = _parsed(url)
        seen = [here]
        while True:
            answer = self._send(here, headers, timeout)
            if answer.status_code not in _REDIRECTING or "location" not in answer.headers:
                return answer
            answer.close()
            here = _next_hop(here, answer.headers["location"])
            if here in seen:
                raise RedirectRefused(f"{without_query(url)} redirects in a circle")
            if len(seen) > REDIRECTS:
                raise RedirectRefused(f"{without_query(url)} redirects more than {REDIRECTS} times")
            seen.append(here)

    def _send(self, url: httpx.URL, headers: Mapping[str, str], timeout: httpx.Timeout) -> httpx.Response:
        proxy = _proxy_for(url)
        if proxy is not None:
            self._judge(literal_address(url.host), url)
        request = httpx.Request(
            "GET",
            url,
            headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers},
            extensions={"timeout": timeout.as_dict()} | ({} if proxy else {"trace": self._guard(url)}),
        )
        answer = self._transport(proxy).handle_request(request)
        answer.request = request
        return answer

    def _transport(self, proxy: str | None) -> httpx.HTTPTransport:
        if proxy not in self._transports:
            self._transports[proxy] = httpx.HTTPTransport(verify=shared_ssl_context(), proxy=proxy)
        return self._transports[proxy]

    def _guard(self, url: httpx.URL) -> Callable[[str, dict[str, Any]], None]:
        def judge_peer(event: str, info: dict[str, Any]) -> None:
            if event != "connection.connect_tcp.complete":
                return
            stream = info["return_value"]
            try:
                self._judge(_peer_of(stream), url)
            except BaseException:
                stream.close()
                raise
            self._widen(stream)

        return judge_peer

    def _widen(self, stream: Any) -> None:
        """Let a stream of httpcore read more at once than usual: parsing costs by the piece, half of all CPU time."""
        read = stream.read
        stream.read = lambda most, timeout=None: read(max(most, self._at_once), timeout)

    def _judge(self, address: str | None, url: httpx.URL) -> None:
        if address is None or is_public(address):
            return
        if self._private_allowed is None:
            self._private_allowed = self._may_be_private()
        if not self._private_allowed:
            raise AddressRefused(f"{without_query(str(url))} leads to {address}, which is not of the public internet")


def _peer_of(stream: Any) -> str:
    try:
        return str(stream.get_extra_info("server_addr")[0])
    except OSError as error:  # gone already
        raise httpx.ConnectError(str(error)) from error


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise AddressRefused(f"{without_query(url)!r} is no URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise AddressRefused(f"{without_query(url)!r} is no http(s) URL with a host")
    return parsed.copy_with(userinfo=b"", fragment=None)


def _next_hop(here: httpx.URL, location: str) -> httpx.URL:
    try:
        return _parsed(str(here.join(location)))
    except (httpx.InvalidURL, AddressRefused):
        target = without_query(location)[:200]
        raise RedirectRefused(f"{without_query(str(here))} redirects to {target!r}, which is no http(s) URL") from None


def _proxy_for(url: httpx.URL) -> str | None:
    """Return the URL of the proxy that the environment names for a URL, as curl and urllib do."""
    if is_loopback(url.host):  # as the API's client: a proxy cannot reach this machine's
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.netloc.decode("ascii")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


class _Discretion(logging.Filter):
    """Cuts query strings out of what httpcore logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_queries(record.getMessage()), ()
        return True
