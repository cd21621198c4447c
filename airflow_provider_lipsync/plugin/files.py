"""The pages themselves and what they load: files of this package, with headers that let nothing else in."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import Request, Response

from airflow_provider_lipsync.plugin.ranges import is_known

__all__ = ["NO_MORE_THAN_OURS", "asset", "page"]

_FOLDER = Path(__file__).parent / "pages"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}

# Scripts, styles and requests of our own alone; videos from the vendor, too, whose addresses are his to choose.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' https: http:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
NO_MORE_THAN_OURS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def page(name: str) -> Response:
    """Return a page."""
    content, _ = _read(f"{name}.html")
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return Response(content, media_type="text/html", headers=headers)


def asset(request: Request, name: str) -> Response | None:
    """Return a script, a style or a picture of the pages; None where there is none of this name."""
    suffix = Path(name).suffix
    if suffix not in _TYPES or re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) is None:
        return None
    if not (_FOLDER / name).is_file():
        return None
    content, etag = _read(name)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known(etag, request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "Content-Type": _TYPES[suffix]})


@cache
def _read(name: str) -> tuple[bytes, str]:
    """Return a file of the package and its mark; read once."""
    content = (_FOLDER / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
