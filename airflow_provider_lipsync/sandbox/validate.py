"""What the API takes and what it refuses: a body in, a valid submit or a refusal out; pure.

The table below is the vendor's page. A field or value that was only inferred from it is taken with a warning, and so is
a field that the table lacks, because the vendor may add one at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_lipsync.api.models import Endpoint, Order, Resolution

__all__ = ["Refused", "Submit", "validate_body", "verify_url"]

_SHOWN_CHARACTERS = 120  # of a refused value: enough to recognise it, too few to flood a log


class Refused(Exception):
    """A request that the API turns down, with nothing charged.

    :param status: HTTP status of the answer.
    :param message: what is wrong, in the words of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Kind(StrEnum):
    URL = "an http or https URL with a host"
    RESOLUTION = "one of 480p, 720p"
    ORDER = "one of meanwhile, left_right, right_left"
    TEXT = "a string"
    INTEGER = "an integer"


@dataclass(frozen=True)
class _Field:
    kind: _Kind
    required: bool = False
    inferred: bool = False


_FIELDS: dict[Endpoint, dict[str, _Field]] = {
    Endpoint.VIDEO: {
        "video": _Field(_Kind.URL, required=True),
        "audio": _Field(_Kind.URL, required=True),
        "resolution": _Field(_Kind.RESOLUTION),
        "mask_image": _Field(_Kind.URL),
        "prompt": _Field(_Kind.TEXT),
        "seed": _Field(_Kind.INTEGER),
    },
    Endpoint.IMAGE: {
        "image": _Field(_Kind.URL, required=True),
        "audio": _Field(_Kind.URL, required=True),
        "resolution": _Field(_Kind.RESOLUTION),
        "mask_image": _Field(_Kind.URL, inferred=True),
        "prompt": _Field(_Kind.TEXT, inferred=True),
        "seed": _Field(_Kind.INTEGER),
    },
    Endpoint.IMAGE_MULTI: {
        "image": _Field(_Kind.URL, required=True, inferred=True),
        "left_audio": _Field(_Kind.URL, required=True),
        "right_audio": _Field(_Kind.URL, required=True),
        "order": _Field(_Kind.ORDER),
        "resolution": _Field(_Kind.RESOLUTION, inferred=True),
        "prompt": _Field(_Kind.TEXT, inferred=True),
        "seed": _Field(_Kind.INTEGER, inferred=True),
    },
}


@dataclass(frozen=True, kw_only=True)
class Submit:
    """A submit that was found valid.

    :param endpoint: which of the three.
    :param media: URL of each medium to fetch, by the name of its field; the mask among them, where there is one.
    :param resolution: lines of the video, the default filled in.
    :param order: who speaks when, the default filled in.
    :param seed: what varies the look of the video; None = none was given.
    :param webhook: where to POST the finished job; None = nowhere.
    :param warnings: what was accepted though the vendor's page does not state it.
    """

    endpoint: Endpoint
    media: Mapping[str, str]
    resolution: Resolution = Resolution.P480
    order: Order = Order.MEANWHILE
    seed: int | None = None
    webhook: str | None = None
    warnings: tuple[str, ...] = ()


def validate_body(endpoint: Endpoint, body: object) -> Submit:
    """Return the submit that a JSON body asks for.

    :raises Refused: the body is not an object (400), or something in it is wrong (422).
    """
    if not isinstance(body, dict):
        raise Refused(400, f"The body must be a JSON object, got {_shown(body)}")
    if "formState" not in body:
        raise Refused(422, "formState: required, but missing")
    form_state = body["formState"]
    if not isinstance(form_state, dict):
        raise _wrong("formState", form_state, "an object")
    if "webhook" in body:
        _verify_webhook(body["webhook"])
    fields = _FIELDS[endpoint]
    for name, field in fields.items():
        _verify_field(name, field, form_state)
    media = {name: form_state[name] for name, field in fields.items() if field.kind is _Kind.URL and name in form_state}
    return Submit(
        endpoint=endpoint,
        media=media,
        resolution=Resolution(form_state.get("resolution", Resolution.P480)),
        order=Order(form_state.get("order", Order.MEANWHILE)) if "order" in fields else Order.MEANWHILE,
        seed=form_state.get("seed"),
        webhook=body.get("webhook"),
        warnings=(*_unknown_names(endpoint, body, form_state), *_inferred(endpoint, form_state)),
    )


def verify_url(name: str, value: object) -> None:
    """Check that a value is an http or https URL with a host.

    :raises Refused: it is not; the message names the field.
    """
    if not isinstance(value, str) or not _is_http_url(value):
        raise _wrong(name, value, _Kind.URL)


def _verify_field(name: str, field: _Field, form_state: Mapping[str, Any]) -> None:
    path = f"formState.{name}"
    if name not in form_state:
        if field.required:
            raise Refused(422, f"{path}: required, but missing; must be {field.kind}")
        return
    value = form_state[name]
    if value == "" and field.kind is not _Kind.TEXT:
        raise Refused(422, f"{path}: must not be empty; must be {field.kind}")
    match field.kind:
        case _Kind.URL:
            verify_url(path, value)
        case _Kind.RESOLUTION:
            _verify(path, value, field.kind, isinstance(value, str) and value in list(Resolution))
        case _Kind.ORDER:
            _verify(path, value, field.kind, isinstance(value, str) and value in list(Order))
        case _Kind.TEXT:
            _verify(path, value, field.kind, isinstance(value, str))
        case _Kind.INTEGER:
            _verify(path, value, field.kind, isinstance(value, int) and not isinstance(value, bool))


def _verify(path: str, value: object, allowed: str, holds: bool) -> None:
    if not holds:
        raise _wrong(path, value, allowed)


def _verify_webhook(value: object) -> None:
    allowed = "an https URL with a host (http only on a loopback address)"
    holds = (
        isinstance(value, str) and _is_http_url(value) and (value.lower().startswith("https:") or _is_loopback(value))
    )
    _verify("webhook", value, allowed, holds)


def _is_http_url(text: str) -> bool:
    if not text.isprintable() or any(character.isspace() for character in text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _unknown_names(endpoint: Endpoint, body: Mapping[str, Any], form_state: Mapping[str, Any]) -> list[str]:
    top = [name for name in body if name not in ("webhook", "formState")]
    inner = [f"formState.{name}" for name in form_state if name not in _FIELDS[endpoint]]
    return [f"{_shown_text(name)} is not a field of {endpoint} that the vendor's page knows" for name in top + inner]


def _inferred(endpoint: Endpoint, form_state: Mapping[str, Any]) -> list[str]:
    fields = [name for name, field in _FIELDS[endpoint].items() if field.inferred and name in form_state]
    found = [f"formState.{name} is only inferred for {endpoint}" for name in fields]
    order = form_state.get("order", Order.MEANWHILE)
    if endpoint is Endpoint.IMAGE_MULTI and order != Order.MEANWHILE:
        found.append(f"formState.order {order!r} is only inferred")
    return found


def _wrong(path: str, value: object, allowed: str) -> Refused:
    return Refused(422, f"{path}: must be {allowed}, got {_shown(value)}")


def _shown(value: object) -> str:
    match value:
        case str():
            return repr(_shown_text(value))
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return _shown_text(repr(value))
        case list():
            return "an array"
        case _:
            return "an object"


def _shown_text(text: str) -> str:
    without_query = text.split("?", 1)[0]  # a query string may be a signature
    return without_query if len(without_query) <= _SHOWN_CHARACTERS else without_query[:_SHOWN_CHARACTERS] + "…"
