"""What both clients are made from: where, who, how long, how many at once."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from airflow_provider_lipsync.api.retry import RetryPolicy
from airflow_provider_lipsync.api.texts import is_loopback
from airflow_provider_lipsync.api.wire import Target
from airflow_provider_lipsync.exceptions import LipsyncMisconfigured

__all__ = ["ClientSettings", "Timeouts", "shared_ssl_context"]


_MAKING = threading.Lock()


@cache
def _new_ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def shared_ssl_context() -> ssl.SSLContext:
    """One context for the whole process: making one takes some 30 ms and 0.7 MB."""
    with _MAKING:
        return _new_ssl_context()


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long a request may take, in seconds.

    :param connect: to open a connection, TLS included.
    :param read: until the next bytes of an answer.
    :param write: until the next bytes of a request are taken.
    :param pool: until a connection of the pool is free.
    :param total: for an answer as a whole, so that a server cannot drip it for ever (synchronously: for its body).
    """

    connect: float = 10.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 30.0
    total: float = 60.0


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """What both clients are made from.

    :param target: base URL and API key.
    :param timeouts: see :class:`Timeouts`.
    :param max_connections: connections that are open at once at the most.
    :param retry: how often and how patiently a request is sent again.
    :raises LipsyncMisconfigured: the base URL has a host that no request can be sent to.
    """

    target: Target
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_connections: int = 10
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.target.base_url)
            url.raw_host.decode().encode("idna")  # as the look-up of the name does it
            url.host.encode()  # as the answer's URL is read
        except (httpx.InvalidURL, UnicodeError) as error:
            raise LipsyncMisconfigured(f"the base URL {self.target.base_url!r} cannot be used: {error}") from None

    def httpx_arguments(self, *, keepalive: int) -> dict[str, Any]:
        """Return what an httpx client is made with; proxies of the environment do not apply to a loopback host."""
        times = self.timeouts
        return {
            "timeout": httpx.Timeout(connect=times.connect, read=times.read, write=times.write, pool=times.pool),
            "limits": httpx.Limits(max_connections=self.max_connections, max_keepalive_connections=keepalive),
            "follow_redirects": False,
            "verify": self.ssl_context,
            "trust_env": not is_loopback(urlsplit(self.target.base_url).hostname or ""),
        }

    @property
    def ssl_context(self) -> ssl.SSLContext | bool:
        """What both httpx clients trust; plain http needs none."""
        return shared_ssl_context() if self.target.base_url.startswith("https:") else False
