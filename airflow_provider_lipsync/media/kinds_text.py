"""Whether the first bytes of a file are a text, and which: it is error pages that come in place of media."""

from __future__ import annotations

import codecs
import re

__all__ = ["text_name"]

_LEAST = 8  # bytes: fewer may be anything
_MARKUP = re.compile(rb"<(!doctype|html|head|body|script|meta|\?xml|error|svg|!--)[\s>/]", re.IGNORECASE)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")  # all but tab, line ends, form feed and escape
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_name(head: bytes) -> str | None:
    """Return what kind of text it is, such as ``an HTML page``; None where it is no text."""
    body = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if _MARKUP.match(body):
        return _markup_name(body)
    text = _decoded(head)
    if text is None or len(head) < _LEAST:
        return None
    start = text.lstrip("\ufeff").lstrip()
    if start.startswith("#EXTM3U"):
        return "a playlist, not the media that it lists"
    if start.startswith(("{", "[")):
        return "JSON"
    return "a text"


def _markup_name(body: bytes) -> str:
    lower = body.lower()
    if b"<svg" in lower:
        return "an SVG drawing, which is a text and no picture of pixels"
    return "XML" if lower.startswith((b"<?xml", b"<error")) else "an HTML page"


def _decoded(head: bytes) -> str | None:
    """Return the bytes as text, whose last character may be cut; None where they are none."""
    name = "utf-16" if head.startswith(_WIDE) else "utf-8"
    try:
        text = codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return None
    return None if not text.strip() or _CONTROLS.search(text) else text
