"""What a value names as a medium: pure and light, since it is asked while a DAG is read; nothing is looked at."""

from __future__ import annotations

import os
import re
from typing import Literal, NamedTuple

from airflow_provider_lipsync.api.texts import is_http_url
from airflow_provider_lipsync.exceptions import LipsyncBadInput

__all__ = ["NamedMedium", "named_medium"]

_ALLOWED = (
    "a public http(s) URL, a path in an object storage such as s3://conn_id@bucket/file.mp3, or an absolute path of a "
    "local file"
)
_NOTHING = ("", "None")  # what a template makes of None
_LONGEST_SHOWN = 80  # characters of a refused value that a message repeats


class NamedMedium(NamedTuple):
    """A medium by its name alone.

    :param way: how it is reached: as an http(s) URL, in an object storage, or on this worker's disk.
    :param text: the URL, the URI with its connection id, or the absolute path; may hold a signature.
    """

    way: Literal["web", "object", "local"]
    text: str


def named_medium(field: str, value: object, *, required: bool) -> NamedMedium | None:
    """Return the medium that a value names; None where it names none. Pure: nothing is looked at.

    :param field: of the API's, such as ``left_audio``.
    :param value: a text, an ``ObjectStoragePath``, a ``pathlib.Path`` or an ``Asset``.
    :raises LipsyncBadInput: it is missing, unrendered, or nothing that could be a medium.
    """
    text = _text_of(value)
    if value is None or text in _NOTHING:
        if required:
            raise _refused(field, value, f"required is {_ALLOWED}")
        return None
    if text is None:
        raise _refused(field, value, f"allowed is {_ALLOWED}")
    if "{{" in text or "{%" in text:
        raise _refused(field, text, "the template was not rendered")
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise _refused(field, text, "a line break or another control character stands in it")
    return _named(field, text)


def _text_of(value: object) -> str | None:
    """Return a value as text; None where it is nothing that could name a medium."""
    if isinstance(value, str):
        return value.strip()
    if hasattr(value, "conn_id") and hasattr(value, "protocol"):  # an ObjectStoragePath; not imported for a look
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    uri = getattr(value, "uri", None)  # an Asset
    return uri.strip() if isinstance(uri, str) else None


def _named(field: str, text: str) -> NamedMedium:
    scheme, is_url, rest = text.partition("://")
    scheme = scheme.lower()
    if is_url and scheme in ("http", "https"):
        if not is_http_url(text):
            raise _refused(field, text, "an http(s) URL needs a host")
        return NamedMedium(way="web", text=text)
    if is_url and scheme in ("file", "local"):
        return _local(field, text, rest)
    if is_url and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        return _object(field, text, scheme, rest)
    return _local(field, text, text)


def _local(field: str, text: str, rest: str) -> NamedMedium:
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2]  # a connection id says nothing of a local file
    if not slash or host not in ("", "localhost"):
        raise _refused(field, text, f"allowed is {_ALLOWED}; a local file is /folder/file or file:///folder/file")
    if not path or path.endswith("/"):
        raise _refused(field, text, "the path of a file is required, not of a folder")
    return NamedMedium(way="local", text=f"/{path}")


def _object(field: str, text: str, scheme: str, rest: str) -> NamedMedium:
    bucket, _, key = rest.partition("/")
    conn_id, _, bucket = bucket.rpartition("@")
    if ":" in conn_id:
        raise _refused(field, text, "what stands before the @ is an Airflow connection id, never credentials")
    if not bucket or not key or key.endswith("/"):
        raise _refused(field, text, f"the path of a file is required, such as {scheme}://conn_id@bucket/folder/file")
    return NamedMedium(way="object", text=f"{scheme}://{rest}")


def _refused(field: str, value: object, allowed: str) -> LipsyncBadInput:
    from airflow_provider_lipsync.media.places import shown

    text = repr(shown(value)) if isinstance(value, str) else f"a {type(value).__name__}"
    short = text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
    return LipsyncBadInput(f"{field}: {allowed}; got {short}. Nothing was sent.")
