"""URLs that open one object of a storage for some time, made by the storage's own filesystem.

A presigned URL dies with the credentials that signed it, however long it was to live: so those that end soon are
renewed first. What is private in the AWS library is touched in :func:`_renewed_end` alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_lipsync.media.places import fault, location, scheme_of, shown, words

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["LEAST", "LONGEST", "CannotSignError", "presigned", "signing_storage"]

LEAST = 900.0  # seconds: a job waits for the vendor's workers before its media are fetched
LONGEST = 7 * 24 * 3600.0  # seconds: a signature of version 4 lives no longer, at Amazon and at Google

# What filesystems raise where they have no key to sign with: the base class of fsspec, gcsfs with a mere token (or
# without Google's storage library), adlfs without an account key.
_CANNOT = (NotImplementedError, ImportError, AttributeError, TypeError, ValueError)
_CANNOT_NAMES = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "UnsupportedSignatureVersionError"}
)


class CannotSignError(Exception):
    """This storage, or these credentials, cannot sign a URL."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _End:
    """When credentials end.

    :param at: the moment; None = never, or nobody can tell.
    :param is_unknown: whether they do end, and nobody can tell when.
    """

    at: datetime | None = None
    is_unknown: bool = False


def signing_storage(path: ObjectStoragePath) -> Any:
    """Return the filesystem of a place; for S3 one of its own that signs by version 4.

    botocore still presigns by version 2 in the regions that are old enough to know it, and wherever no region is set.
    Objects under KMS refuse that. Whoever chose a version in the connection keeps it. The filesystem of others stays as
    it is. Ordinary requests are signed by version 4 in any case, so that nothing new is asked of the storage.
    """
    fs = path.fs
    config = getattr(fs, "config_kwargs", None)
    if scheme_of(path) != "s3" or config is None or "signature_version" in config or fs.anon:
        return fs
    chosen: dict[str, Any] = {**config, "signature_version": "s3v4"}
    options = {**fs.storage_options, "config_kwargs": chosen}
    if _is_amazon(fs):
        options["cache_regions"] = True  # a signature of version 4 names the region: the bucket is asked for its own
        if "s3" not in config and "." not in location(path).split("/")[2]:
            # Or the URL names the global host, whose redirects to the region's (while a bucket is new) break a
            # signature that covers the host. A bucket with dots in its name has no certificate under a host of its own.
            chosen["s3"] = {"addressing_style": "virtual"}
    return type(fs)(**options, skip_instance_cache=True)


def _is_amazon(fs: Any) -> bool:
    """Whether an S3 filesystem speaks to Amazon, and not to another storage by the same protocol."""
    host = urlsplit(fs.s3.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def presigned(path: ObjectStoragePath, *, field: str, lifetime: float, log: Any) -> str:
    """Return a URL that opens an object.

    :param lifetime: seconds; at least 15 minutes and at most 7 days are asked for.
    :raises CannotSignError: the storage or its credentials cannot sign.
    :raises LipsyncBadInput, LipsyncMediaUnavailable: its credentials cannot be had.
    """
    lifetime = min(max(lifetime, LEAST), LONGEST)
    if _is_anonymous_s3(path):
        raise CannotSignError("there are no credentials: the storage is asked as an anonymous user")
    try:
        storage = signing_storage(path)
        _tell_end(_renewed(storage, lifetime), path, field=field, log=log)
        with _unheard():
            url = storage.sign(path.path, expiration=int(lifetime))
    except Exception as error:  # noqa: BLE001 - each storage has errors of its own
        if isinstance(error, _CANNOT) or _CANNOT_NAMES & {kind.__name__ for kind in type(error).__mro__}:
            raise CannotSignError(words(error)) from None
        raise fault(error, field=field, doing=f"signing a URL of {shown(location(path))}") from None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise CannotSignError("what its filesystem gives is no http(s) URL")
    return url


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep out of the log what botocore tells of a signature at DEBUG."""

    def refuse(_: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in ("botocore.auth", "botocore.endpoint", "botocore.hooks")]
    for logger in loggers:
        logger.addFilter(refuse)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(refuse)


def _is_anonymous_s3(path: ObjectStoragePath) -> bool:
    """Whether what would be signed is not: botocore then gives a plain URL. (Azure's ``anon`` means something else.)"""
    return scheme_of(path) == "s3" and bool(getattr(path.fs, "anon", False))


def _tell_end(end: _End, path: ObjectStoragePath, *, field: str, log: Any) -> None:
    where = shown(location(path))
    if end.is_unknown:
        log.warning(
            "%s: the URL of %s is signed with temporary credentials that do not say when they end, and dies with them. "
            "The vendor may fetch it minutes after the submit.",
            field,
            where,
        )
    elif end.at is not None and (end.at - datetime.now(UTC)).total_seconds() < LEAST:
        log.warning(
            "%s: the URL of %s dies with the credentials that sign it, at %s, in less than %d minutes; they could not "
            "be renewed for longer. The vendor may come too late.",
            field,
            where,
            end.at.astimezone(UTC).isoformat(timespec="seconds"),
            LEAST // 60,
        )


def _renewed(storage: Any, lifetime: float) -> _End:
    """Renew credentials that would not outlive a URL, where they are of the kind that can be; tell when they end."""
    session = getattr(storage, "session", None)
    if not hasattr(session, "get_credentials") or not hasattr(storage, "loop"):
        return _End()
    from fsspec.asyn import sync

    end: _End = sync(storage.loop, _renewed_end, session, lifetime)
    return end


async def _renewed_end(session: Any, lifetime: float) -> _End:
    """Renew a session's credentials if they end before this many seconds are over; tell when they end.

    aiobotocore renews by itself only in the last 15 minutes, and always asks ``_advisory_refresh_timeout`` of the
    object, so that a longer one there, for a moment, renews sooner. A renewal that fails while the old ones are still
    valid is not raised there, but logged.
    """
    credentials = await session.get_credentials()
    if credentials is None:
        return _End()
    if not hasattr(credentials, "refresh_needed"):
        return _End(is_unknown=bool(getattr(credentials, "token", None)))
    if credentials.refresh_needed(lifetime) and hasattr(credentials, "_advisory_refresh_timeout"):
        before = credentials._advisory_refresh_timeout
        credentials._advisory_refresh_timeout = lifetime
        try:
            await credentials.get_frozen_credentials()
        finally:
            credentials._advisory_refresh_timeout = before
    end = getattr(credentials, "_expiry_time", None)
    return _End(at=end if isinstance(end, datetime) and end.tzinfo else None)
