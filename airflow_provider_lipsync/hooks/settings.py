"""From an Airflow connection to what a client is made from: pure."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from airflow_provider_lipsync.api.callback import SHORTEST_SECRET
from airflow_provider_lipsync.api.check import checked_credits
from airflow_provider_lipsync.api.texts import holds_key, is_http_url, is_loopback
from airflow_provider_lipsync.api.wire import DEFAULT_BASE_URL, Target
from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncMisconfigured

if TYPE_CHECKING:
    from airflow_provider_lipsync.api.settings import ClientSettings

__all__ = ["ConnectionLike", "ConnectionSettings", "WebhookSettings", "read_connection"]

_API_PATH = urlsplit(DEFAULT_BASE_URL).path
_MB = 1_000_000
_RECEIVER = "/lipsync/webhooks"  # where the plugin receives deliveries, below Airflow's own address


class ConnectionLike(Protocol):
    """What is read of an Airflow connection."""

    conn_id: str
    host: str | None
    schema: str | None
    port: int | None
    password: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """Where the vendor can reach this Airflow's own receiver, and what its URLs are signed with.

    :param base_url: of Airflow as the vendor sees it, without a slash at its end.
    :param secret: signs.
    :param previous_secret: is still believed, while jobs that were bought by it render; None = none.
    """

    base_url: str
    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may have signed a delivery's URL."""
        return (self.secret,) if self.previous_secret is None else (self.secret, self.previous_secret)

    def url_of(self, token: str) -> str:
        """Return the URL that the vendor is given."""
        return f"{self.base_url}{_RECEIVER}/{token}"


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """A connection of type ``lipsync``, understood.

    :param target: base URL and API key.
    :param http_timeout: seconds to wait for the next bytes of an answer.
    :param max_connections: connections that are open at once at the most.
    :param max_polls_per_second: looks at waiting jobs that one triggerer sends at the most, all jobs together.
    :param adaptive_polling: whether looks are spread by what jobs take; False = by the interval alone.
    :param typical_seconds: what a quick and what a slow job takes.
    :param ledger_path: folder in any object storage where bought jobs are remembered; None = Airflow's own store.
    :param staging_path: folder in any object storage where local files are put for the vendor; None = none.
    :param public_url_base: from the beginning of a path to the URL under which it can be fetched without a signature.
    :param largest_input: bytes of one input at the most.
    :param largest_output: bytes of a finished video at the most.
    :param max_credits_per_job: credits that one task may spend on its job, all tries together; None = no limit.
    :param allow_private_output_hosts: whether videos may be fetched from addresses that only this network knows.
    :param webhook: how the vendor tells this Airflow that a job has ended; None = it is only looked at.
    """

    target: Target
    http_timeout: float = 30.0
    max_connections: int = 10
    max_polls_per_second: float = 500.0
    adaptive_polling: bool = True
    typical_seconds: tuple[float, float] = field(default=(30.0, 120.0))
    ledger_path: str | None = None
    staging_path: str | None = None
    public_url_base: Mapping[str, str] = field(default_factory=dict)
    largest_input: int = 1000 * _MB
    largest_output: int = 10_000 * _MB
    max_credits_per_job: int | None = None
    allow_private_output_hosts: bool = False
    webhook: WebhookSettings | None = None

    def for_client(self) -> ClientSettings:
        """Return what the clients of the API are made from."""
        from airflow_provider_lipsync.api.settings import ClientSettings, Timeouts

        seconds = self.http_timeout
        return ClientSettings(
            target=self.target,
            timeouts=Timeouts(connect=min(10.0, seconds), read=seconds, write=seconds, total=max(60.0, 2 * seconds)),
            max_connections=self.max_connections,
        )

    def client_arguments(self) -> dict[str, Any]:
        """Return the same as the arguments of a client, without the key."""
        made_from = self.for_client()
        return {
            "base_url": made_from.target.base_url,
            "timeouts": made_from.timeouts,
            "max_connections": made_from.max_connections,
        }


def read_connection(conn: ConnectionLike) -> ConnectionSettings:
    """Return the settings of a connection.

    The host may be empty (the vendor's), a bare host, or a URL with or without a path; without a path, ``/api/v1`` is
    meant. A port of 0, as Airflow's form sends it, counts as none.

    :raises LipsyncMisconfigured: the host, the key or an extra cannot be used; the message names the connection.
    """
    try:
        extras = conn.extra_dejson if isinstance(conn.extra_dejson, Mapping) else {}
        target = Target(base_url=_base_url(conn), api_key=(conn.password or "").strip())
        return ConnectionSettings(
            target=target,
            http_timeout=_number(extras, "http_timeout", 30.0, least=0.001),
            max_connections=int(_number(extras, "max_connections", 10, least=1)),
            max_polls_per_second=_number(extras, "max_polls_per_second", 500.0, least=0.1),
            adaptive_polling=_switch(extras, "adaptive_polling", default=True),
            typical_seconds=(
                _number(extras, "typical_seconds_low", 30.0),
                _number(extras, "typical_seconds_high", 120.0),
            ),
            ledger_path=_path(extras, "ledger_path", target.api_key),
            staging_path=_path(extras, "staging_path", target.api_key),
            public_url_base=_url_bases(extras, target.api_key),
            largest_input=int(_number(extras, "max_input_mb", 1000, least=1) * _MB),
            largest_output=int(_number(extras, "max_output_mb", 10_000, least=1) * _MB),
            max_credits_per_job=_credits(extras),
            allow_private_output_hosts=_switch(extras, "allow_private_output_hosts"),
            webhook=_webhook(extras, target),
        )
    except LipsyncMisconfigured as error:
        raise LipsyncMisconfigured(f"connection {conn.conn_id!r}: {error.message}") from None


def _path(extras: Mapping[str, Any], name: str, api_key: str) -> str | None:
    value = extras.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "://" not in value or holds_key(value, api_key):
        raise LipsyncMisconfigured(f"the extra {name} must be a URL such as s3://conn_id@bucket/folder")
    return value.strip()


def _url_bases(extras: Mapping[str, Any], api_key: str) -> dict[str, str]:
    value = extras.get("public_url_base")
    if value is None or value == "":
        return {}
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, Mapping) or not all(map(_is_base, found.items())) or holds_key(str(found), api_key):
        raise LipsyncMisconfigured(
            'the extra public_url_base must map paths to URLs: {"s3://bucket/": "https://cdn.example.com/"}'
        )
    return dict(found)


def _is_base(item: tuple[object, object]) -> bool:
    path, url = item
    return isinstance(path, str) and "://" in path and isinstance(url, str) and is_http_url(url) and "@" not in url


def _webhook(extras: Mapping[str, Any], target: Target) -> WebhookSettings | None:
    base_url, secret, previous = (
        _words(extras, name) for name in ("webhook_base_url", "webhook_secret", "webhook_secret_previous")
    )
    if not base_url or not secret:
        if secret or previous or base_url:
            raise LipsyncMisconfigured("the extras webhook_base_url and webhook_secret go together: one is missing")
        return None
    for name, value in (("webhook_secret", secret), ("webhook_secret_previous", previous)):
        if value and (len(value) < SHORTEST_SECRET or holds_key(value, target.api_key)):
            raise LipsyncMisconfigured(
                f"the extra {name} must be a random text of at least {SHORTEST_SECRET} characters, and not the API key "
                "(openssl rand -hex 32 makes one)"
            )
    _verify_webhook_base(base_url, target)
    return WebhookSettings(base_url=base_url.rstrip("/"), secret=secret, previous_secret=previous or None)


def _words(extras: Mapping[str, Any], name: str) -> str:
    value = extras.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise LipsyncMisconfigured(f"the extra {name} must be a text")
    return value.strip()


def _verify_webhook_base(url: str, target: Target) -> None:
    """Let the vendor send only over TLS, save where it is on this very machine: the sandbox."""
    parts = urlsplit(url) if is_http_url(url) else None
    if parts is None or "@" in url or "?" in url or "#" in url or holds_key(url, target.api_key):
        raise LipsyncMisconfigured("the extra webhook_base_url must be a URL such as https://airflow.example.com")
    vendor = urlsplit(target.base_url).hostname or ""
    if parts.scheme != "https" and not (is_loopback(parts.hostname or "") and is_loopback(vendor)):
        raise LipsyncMisconfigured(
            "the extra webhook_base_url must begin with https:// (http is for the local sandbox)"
        )


def _credits(extras: Mapping[str, Any]) -> int | None:
    try:
        return checked_credits("max_credits_per_job", extras.get("max_credits_per_job"))
    except LipsyncBadInput:
        raise LipsyncMisconfigured(
            f"the extra max_credits_per_job must be a whole number, got {extras['max_credits_per_job']!r}"
        ) from None


def _switch(extras: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = extras.get(name)
    told = value.strip().lower() if isinstance(value, str) else value
    if told in (None, ""):
        return default
    if told in (False, "false"):
        return False
    if told in (True, "true"):
        return True
    raise LipsyncMisconfigured(f"the extra {name} must be true or false, got {value!r}")


def _base_url(conn: ConnectionLike) -> str:
    host = (conn.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    schema = (conn.schema or "").strip()
    plain = schema.lower() in ("", "http", "https")
    url = host if "://" in host else f"{(schema.lower() if plain else '') or 'https'}://{_bracketed(host)}"
    try:
        parts = urlsplit(url)
        port = parts.port or conn.port or None
    except ValueError:
        raise LipsyncMisconfigured("the host is not a host or a URL") from None
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    in_schema = "" if plain else schema  # lipsync://:key@host/api/v1 puts the path there
    path = parts.path.rstrip("/") or (f"/{in_schema.strip('/')}" if in_schema else _API_PATH)
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{path}"


def _bracketed(host: str) -> str:
    """Return a bare IPv6 address as a URL writes it; anything else as it is."""
    try:
        return f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        return host


def _number(extras: Mapping[str, Any], name: str, default: float, *, least: float = 0.0) -> float:
    value = extras.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not least <= number < float("inf"):
        raise LipsyncMisconfigured(f"the extra {name} must be a number of at least {least:g}, got {value!r}")
    return number
