"""One small GET of each URL before it goes to the vendor: what can be seen from here of what the vendor will see.

Of a URL that the user gave, only what was seen for certain is an error: the vendor may reach what this worker cannot,
and the other way round. Of a URL that was signed here, a refusal is one.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any
from urllib.parse import urlsplit

import httpx

from airflow_provider_lipsync.api.texts import is_loopback
from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncMediaUnavailable, LipsyncTooLarge
from airflow_provider_lipsync.media.addresses import AddressRefused, literal_address
from airflow_provider_lipsync.media.kinds import HEAD, Kind, Sniffed, sniff
from airflow_provider_lipsync.media.places import words
from airflow_provider_lipsync.media.web import Web

__all__ = ["NotPublicError", "verify_kind", "verify_presigned", "verify_web"]

_TIMEOUT = httpx.Timeout(4.0, connect=3.0)
_LONGEST = 10.0  # seconds for all of it: the name, redirects, first bytes that drip
_PASSING = (408, 425, 429)


class NotPublicError(Exception):
    """A URL that names an address of a private network: the vendor cannot reach it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Tried:
    """What came of a GET.

    :param status: of the answer; 0 where there was none.
    :param head: the first bytes; None where they tell nothing, since there was no 200 or 206, or they are encoded.
    :param size: bytes of the whole file; None where it was not told.
    :param trouble: why there was no answer.
    :param is_private: whether a private address was refused.
    """

    status: int = 0
    head: bytes | None = dataclasses.field(default=None, repr=False)
    size: int | None = None
    trouble: str = ""
    is_private: bool = False


def verify_kind(sniffed: Sniffed, *, field: str, kind: Kind, shown: str, log: Any) -> None:
    """Refuse a file that is surely not of the kind that its field takes; tell of one that is not known.

    :raises LipsyncBadInput: it is of another kind, or no media at all.
    """
    if sniffed.is_no_media or (sniffed.kinds and kind not in sniffed.kinds):
        raise LipsyncBadInput(f"{field}: {kind} is required, and {shown} is {sniffed.name}. Nothing was sent.")
    if not sniffed.kinds:
        log.info("%s: %s is %s; it is sent as it is.", field, shown, sniffed.name)


def verify_web(web: Web, url: str, *, field: str, kind: Kind, shown: str, largest: int, log: Any) -> None:
    """Look at an http(s) URL, and warn of what may be wrong with it: only the vendor's view of it counts.

    :param largest: bytes.
    :raises LipsyncBadInput: what it gives is empty, too large, or surely another kind of media.
    """
    tried = _tried(web, url)
    if tried.size == 0 or tried.head == b"":
        raise LipsyncBadInput(f"{field}: {shown} gives an empty file. Nothing was sent.")
    if tried.status not in (200, 206):
        what = tried.trouble or f"it answered {tried.status}"
        log.warning(
            "%s: %s was not reached from here (%s). The vendor's server must reach it; if it cannot, the job fails.",
            field,
            shown,
            what,
        )
        return
    if tried.size is not None and tried.size > largest:
        raise LipsyncTooLarge(f"{field}: {shown} has {tried.size} bytes, more than {largest}. Nothing was sent.")
    sniffed = sniff(tried.head) if tried.head is not None else Sniffed()
    if sniffed.is_no_media:
        log.warning("%s: %s gives %s here, where %s is required.", field, shown, sniffed.name, kind)
    else:
        verify_kind(sniffed, field=field, kind=kind, shown=shown, log=log)


def verify_presigned(web: Web, url: str, *, field: str, shown: str, head: bytes, log: Any) -> None:
    """Try a URL that was just signed.

    What cannot be reached from here is only warned of: workers may have another way to their storage (a proxy, an
    endpoint of their own network under the public name) than the vendor.

    :param head: what the object begins with.
    :raises LipsyncBadInput: the storage refuses its own signature, or gives something else.
    :raises LipsyncMediaUnavailable: the storage fails now.
    :raises NotPublicError: the URL names a private address.
    """
    tried = _tried(web, url)
    host = urlsplit(url).hostname or ""
    if tried.is_private and (literal_address(host) is not None or is_loopback(host)):
        raise NotPublicError(host)
    if not tried.status:
        log.warning(
            "%s: the presigned URL of %s (host %s) could not be tried from here: %s. The vendor must reach it.",
            field,
            shown,
            host,
            tried.trouble,
        )
        return
    if tried.status >= 500 or tried.status in _PASSING:
        raise LipsyncMediaUnavailable(
            f"{field}: the storage answered {tried.status} to the presigned URL of {shown}. Nothing was sent."
        )
    if tried.status not in (200, 206):
        raise LipsyncBadInput(
            f"{field}: the storage answered {tried.status} to the presigned URL of {shown}. May the user of its "
            "connection read it (s3:GetObject, and kms:Decrypt if it is encrypted), are the region and the clock "
            "right, and are the credentials still valid? Nothing was sent."
        )
    if tried.head is not None and not tried.head.startswith(head):
        raise LipsyncBadInput(
            f"{field}: the presigned URL of {shown} gives other bytes than the object has. Nothing was sent."
        )


def _tried(web: Web, url: str) -> _Tried:
    """Try a URL in a thread of its own: nothing else bounds how long the name of a host may be looked up."""
    came: list[_Tried] = []
    trial = threading.Thread(target=lambda: came.append(_try(web, url)), daemon=True)
    trial.start()
    trial.join(_LONGEST)
    return came[0] if came else _Tried(trouble=f"it took longer than {_LONGEST:g} s")


def _try(web: Web, url: str) -> _Tried:
    try:
        with web.get(url, headers={"Range": f"bytes=0-{HEAD - 1}"}, timeout=_TIMEOUT) as answer:
            return _read(answer)
    except AddressRefused as error:
        return _Tried(trouble=words(error), is_private=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it says nothing of the vendor's view
        return _Tried(trouble=words(error))


def _read(answer: httpx.Response) -> _Tried:
    status, size = answer.status_code, _size_of(answer)
    if status not in (200, 206) or answer.headers.get("content-encoding", "identity") != "identity":
        return _Tried(status=status, size=size)
    head = b""
    for chunk in answer.iter_raw():
        head += chunk
        if len(head) >= HEAD:
            break
    return _Tried(status=status, size=size, head=head[:HEAD])


def _size_of(answer: httpx.Response) -> int | None:
    """Return what the answer tells of the whole file's size; of a file without bytes, a range cannot be given (416)."""
    told = None
    if answer.status_code in (206, 416):
        told = answer.headers.get("content-range", "").rpartition("/")[2]
    elif answer.status_code == 200:
        told = answer.headers.get("content-length")
    return int(told) if told and told.isdecimal() else None
