"""What a text is and what may be shown of it: pure, and light enough to be asked while a DAG is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider_lipsync.exceptions import LipsyncBadInput

__all__ = [
    "holds_key",
    "is_http_url",
    "is_job_id",
    "is_loopback",
    "refuse_key",
    "without_query",
    "without_userinfo",
]

_LONGEST_URL = 8192  # characters of a URL; a longer one is none
# A UUID as stated; wider, should the vendor change it. Compiled when it is first asked for, not while a DAG is read.
_JOB_ID = r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}"


def is_job_id(text: str) -> bool:
    """Whether a text can be the id of a job: a UUID as stated, or something close to one."""
    return re.fullmatch(_JOB_ID, text) is not None


def is_http_url(value: object) -> bool:
    """Whether a value is an http(s) URL that can be handed on: bounded, printable, with a host."""
    if not isinstance(value, str) or len(value) > _LONGEST_URL or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def without_query(url: str) -> str:
    """Return a URL without its query, where signatures stand, and without credentials, for a log."""
    head = url.split("?", 1)[0].split("#", 1)[0]
    return without_userinfo(head)


def without_userinfo(url: str) -> str:
    """Return a URL or path without what stands before the host: credentials, or Airflow's connection id."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/]*@", r"\1", url)  # to the last @: a password may hold one


def refuse_key(values: Mapping[str, Any], api_key: str) -> None:
    """Refuse values of which one contains the API key; the message names the field and repeats nothing.

    :raises LipsyncBadInput: one does.
    """
    for name, value in values.items():
        if holds_key(str(value), api_key):
            raise LipsyncBadInput(
                f"the API key stands in the request itself, in {name}: refused, nothing was sent. "
                "A template such as {{ conn.… }} in a value that is rendered may have put it there."
            )


def holds_key(text: str, api_key: str) -> bool:
    """Whether a text contains the API key, as it is or as a URL or JSON would write it."""
    return any(form in text for form in (api_key, quote(api_key, safe=""), json.dumps(api_key)[1:-1]))
