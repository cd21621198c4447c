"""What a job was asked for, as short hashes, pure: enough to tell that inputs changed, too little to tell to what.

A presigned URL is another text on every try and yet the same picture: parameters that only sign are left out, by their
known names alone (``?id=1`` and ``?id=2`` are two pictures).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from airflow_provider_lipsync.api.models import SubmitRequest

__all__ = ["changed_fields", "fingerprint", "without_signature"]

_DIGITS = 16  # of a SHA-256, in hex: no two inputs of one task meet by accident
_FIELDS = 24  # kept one by one; the record must stay small, whatever comes through extra_form_state
_NAME = 40  # characters of a field's name
_REST = "(further fields)"

# A parameter that proves a signature, and the names that belong to it. In lower case.
_AMAZON = ("algorithm", "credential", "date", "expires", "signedheaders", "security-token", "signature")
_OLD = ("signature", "expires", "policy", "hash-algorithm", "security-token", "x-amz-security-token")
_AZURE = (
    *("sig", "sv", "se", "st", "sr", "sp", "spr", "sip", "si", "ss", "srt", "ses", "sdd", "tn", "scid"),
    *("skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid"),
)
_SIGNED: Mapping[str, frozenset[str]] = {
    "x-amz-signature": frozenset(f"x-amz-{name}" for name in _AMAZON),
    "x-goog-signature": frozenset(f"x-goog-{name}" for name in _AMAZON),
    "x-oss-signature": frozenset(f"x-oss-{name}" for name in (*_AMAZON, "signature-version", "additional-headers")),
    # S3 before version 4, Google, Alibaba, CloudFront.
    "signature": frozenset({*_OLD, "awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "key-pair-id"}),
    "sig": frozenset(_AZURE),
}
# "signature" and "sig" are words that others use, too: they count beside one of these alone.
_BESIDE: Mapping[str, frozenset[str]] = {
    "signature": frozenset({"awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "key-pair-id"}),
    "sig": frozenset({"sv"}),
}


def fingerprint(request: SubmitRequest) -> dict[str, str]:
    """Return a hash for each field that decides what is rendered, and for the endpoint; the webhook decides nothing."""
    fields: dict[str, Any] = {"endpoint": request.endpoint.value, **request.form_state()}
    names = sorted(fields)
    kept, rest = names[:_FIELDS], names[_FIELDS:]
    made = {_short(name): _digest(_unsigned(fields[name])) for name in kept}
    return made | ({_REST: _digest({name: _unsigned(fields[name]) for name in rest})} if rest else {})


def changed_fields(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the fields that differ, in order."""
    return tuple(sorted(name for name in {*before, *now} if before.get(name) != now.get(name)))


def without_signature(url: str) -> str:
    """Return an http(s) URL without the parameters that only sign it; anything else as it is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme.lower() not in ("http", "https") or not parts.query:
        return url
    pairs = [(unquote_plus(pair.partition("=")[0]).lower(), pair) for pair in parts.query.split("&")]
    names = {name for name, _ in pairs}
    signing = {
        signer
        for mark, signers in _SIGNED.items()
        if mark in names and (mark not in _BESIDE or names & _BESIDE[mark])
        for signer in signers
    }
    query = "&".join(pair for name, pair in pairs if name not in signing)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))


def _unsigned(value: Any) -> Any:
    """Return a value of JSON with its URLs unsigned, and its keys as JSON writes them."""
    match value:
        case str():
            return without_signature(value)
        case list() | tuple():
            return [_unsigned(item) for item in value]
        case Mapping():
            return {str(name): _unsigned(item) for name, item in value.items()}
        case _:
            return value


def _short(name: str) -> str:
    if name.isascii() and len(name) <= _NAME:
        return name
    return f"{ascii(name)[1 : _NAME - 8]}~{_digest(name)[:8]}"


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
