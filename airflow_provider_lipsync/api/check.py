"""Whether the values of a request can be sent, before anything is: each message names the field, what came, what may.

Values come out of templates: native rendering turns text into other types, plain rendering turns None into ``"None"``.
What has one clear meaning is taken; anything else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_lipsync.api.models import Order, Resolution
from airflow_provider_lipsync.api.texts import is_http_url, is_loopback, without_query
from airflow_provider_lipsync.exceptions import LipsyncBadInput

__all__ = [
    "checked_credits",
    "checked_labels",
    "checked_mapping",
    "checked_order",
    "checked_resolution",
    "checked_seed",
    "checked_text",
    "checked_webhook",
]

_NOTHING = (None, "", "None")  # what a template makes of None
_LONGEST_SHOWN = 80  # characters of a refused value that a message repeats
# Labels go into logs, XComs, receipts and asset events: enough for a client and a cost centre, too few for a document.
_MOST_LABELS = 16
_LONGEST_LABEL = 128  # characters of a name or a value


def checked_resolution(value: object) -> str:
    """Return ``480p`` or ``720p``.

    :raises LipsyncBadInput: it is another; the vendor's newer ones can be sent by ``extra_form_state``.
    """
    return _one_of("resolution", value, Resolution)


def checked_order(value: object) -> str:
    """Return ``meanwhile``, ``left_right`` or ``right_left``.

    :raises LipsyncBadInput: it is another; the vendor's newer ones can be sent by ``extra_form_state``.
    """
    return _one_of("order", value, Order)


def checked_text(name: str, value: object) -> str | None:
    """Return a text, or None where there is none.

    :raises LipsyncBadInput: it is neither a text nor a number.
    """
    if value is None or value in _NOTHING:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _refused(name, value, "a text is allowed")
    return str(value)


def checked_seed(value: object) -> int | None:
    """Return the seed as an integer, or None where there is none.

    :raises LipsyncBadInput: it is not a whole number.
    """
    value = value.strip() if isinstance(value, str) else value
    if value is None or value in _NOTHING:
        return None
    try:
        seed = int(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        seed = None
    if seed is None or (isinstance(value, float) and seed != value) or "_" in str(value):
        raise _refused("seed", value, "a whole number is allowed")
    return seed


def checked_webhook(value: object, *, vendor_url: str | None) -> str | None:
    """Return the webhook's URL, or None where there is none.

    :param vendor_url: the connection's base URL; None where it is not known yet.
    :raises LipsyncBadInput: it is not https; plain http is allowed only where it and the vendor's host are loopback.
    """
    value = value.strip() if isinstance(value, str) else value
    if value is None or value in _NOTHING:
        return None
    allowed = "an https URL (http only where it and the connection's host are both this machine)"
    url = _checked_url("webhook_url", value, allowed)
    parts = urlsplit(url)
    vendor_host = urlsplit(vendor_url).hostname or "" if vendor_url else "localhost"
    if parts.scheme != "https" and not (is_loopback(parts.hostname or "") and is_loopback(vendor_host)):
        raise _refused("webhook_url", url, f"allowed is {allowed}")
    return url


def checked_mapping(name: str, value: object) -> dict[str, Any]:
    """Return names and their values, which are the user's business: further fields, options of a storage.

    :raises LipsyncBadInput: it is not a mapping of names to values that JSON can hold.
    """
    if value is None or value in _NOTHING:
        return {}
    try:
        found = json.loads(value) if isinstance(value, str) else value
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping) or not all(isinstance(key, str) and key for key in found):
        raise _refused(name, value, "a dict of names to JSON values is allowed")
    return dict(found)


def checked_credits(name: str, value: object) -> int | None:
    """Return a number of credits, or None where there is none.

    :raises LipsyncBadInput: it is not a whole number of at least 0.
    """
    value = value.strip() if isinstance(value, str) else value
    if value is None or value in _NOTHING:
        return None
    text = str(value).removesuffix(".0") if isinstance(value, float) else str(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not (text.isascii() and text.isdigit()):
        raise _refused(name, value, "a whole number of credits, at least 0, is allowed")
    return int(text)


def checked_labels(value: object) -> dict[str, str] | None:
    """Return the labels as texts, or None where there are none.

    :raises LipsyncBadInput: they are not a small dict of names to texts or numbers.
    """
    if value is None or value in _NOTHING:
        return None
    allowed = f"a dict of at most {_MOST_LABELS} names to texts or numbers, each up to {_LONGEST_LABEL} characters"
    found = checked_mapping("labels", value)
    if len(found) > _MOST_LABELS or not all(_is_label(name, item) for name, item in found.items()):
        raise _refused("labels", value, f"allowed is {allowed}")
    return {name: str(item) for name, item in found.items()} or None


def _is_label(name: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    texts = (name, str(value))
    return all(len(text) <= _LONGEST_LABEL and text.isprintable() for text in texts)


def _checked_url(name: str, value: object, allowed: str) -> str:
    if not isinstance(value, str) or not is_http_url(value):
        raise _refused(name, value, f"allowed is {allowed}")
    return value


def _one_of(name: str, value: object, allowed: type[Resolution] | type[Order]) -> str:
    text = value.strip() if isinstance(value, str) else value
    if text not in list(allowed):
        raise _refused(name, value, f"allowed are {', '.join(allowed)} (anything else only through extra_form_state)")
    return str(text)


def _refused(name: str, value: object, allowed: str) -> LipsyncBadInput:
    return LipsyncBadInput(f"{name}: {allowed}; got {_shown(value)}. Nothing was sent.")


def _shown(value: object) -> str:
    """Return a value for a message: short, and a URL without its query, where signatures stand."""
    shown = repr(without_query(value)) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 1]}…"
