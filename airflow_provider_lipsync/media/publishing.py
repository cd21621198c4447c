"""From media as the user named them to URLs that the vendor can fetch; everything is checked before money is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never
from urllib.parse import quote

from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncTooLarge
from airflow_provider_lipsync.media.kinds import Sniffed, sniff
from airflow_provider_lipsync.media.places import location, shown
from airflow_provider_lipsync.media.publish_trial import NotPublicError, verify_kind, verify_presigned, verify_web
from airflow_provider_lipsync.media.signing import CannotSignError, presigned
from airflow_provider_lipsync.media.sources import LocalSource, Look, ObjectSource, Source, WebSource
from airflow_provider_lipsync.media.staging import Staging
from airflow_provider_lipsync.media.web import Web

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["Publisher", "public_url"]

_USE_BASE = (
    'Give the connection a public_url_base for it, such as {"s3://bucket/": "https://cdn.example.com/"}, or use a '
    "storage, or credentials, that can sign URLs."
)


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Makes URLs for the vendor.

    :param staging: where local files are copied to; None = the connection names no place.
    :param public_url_base: from the beginning of a place (``s3://bucket/``, without connection id) to that of a URL.
    :param lifetime: seconds that a presigned URL is to live; at least 15 minutes.
    :param largest: bytes that a file may have.
    :param web: for one small GET of each URL.
    :param log: the task's.
    """

    staging: Staging | None
    public_url_base: Mapping[str, str]
    lifetime: float
    largest: int
    web: Web
    log: Any

    def publish(self, sources: Mapping[str, Source]) -> dict[str, str]:
        """Return a URL for each source; copies that were made are removed again where one of them fails.

        :raises LipsyncBadInput: a file does not exist, may not be read, is empty, too large or of another kind, or
            there is no way to give the vendor a URL of it.
        :raises LipsyncMediaUnavailable: a storage cannot be reached now.
        """
        looks = {name: self._look(source) for name, source in sources.items()}
        try:
            return {name: self._url(source, looks[name]) for name, source in sources.items()}
        except BaseException:
            if self.staging is not None:
                self.staging.give_up()
            raise

    def _look(self, source: Source) -> Look:
        """Check a source as far as it can be without making anything."""
        if isinstance(source, WebSource):
            self._look_at_url(source.url, source, source.shown)
            return Look(size=0, head=b"")
        if isinstance(source, LocalSource) and self.staging is None:
            raise LipsyncBadInput(
                f"{source.field}: {source.shown} is a file of this worker, and the connection has no staging_path to "
                "copy it to (such as s3://conn_id@bucket/folder), where the vendor could fetch it. Nothing was sent."
            )
        look = source.look()
        if look.size == 0:
            raise LipsyncBadInput(f"{source.field}: {source.shown} is empty. Nothing was sent.")
        if look.size > self.largest:
            raise LipsyncTooLarge(
                f"{source.field}: {source.shown} has {look.size} bytes; at most {self.largest} are allowed. "
                "Nothing was sent."
            )
        verify_kind(sniff(look.head), field=source.field, kind=source.kind, shown=source.shown, log=self.log)
        return look

    def _look_at_url(self, url: str, source: Source, shown: str) -> None:
        verify_web(
            self.web,
            url,
            field=source.field,
            kind=source.kind,
            shown=shown,
            largest=self.largest,
            log=self.log,
        )

    def _url(self, source: Source, look: Look) -> str:
        match source:
            case WebSource():
                return source.url
            case ObjectSource():
                return self._url_of(source, source.path, look)
            case LocalSource():
                return self._url_of(source, self._staged(source, sniff(look.head)), look)
            case _:
                assert_never(source)

    def _staged(self, source: LocalSource, sniffed: Sniffed) -> ObjectStoragePath:
        if self.staging is None:
            raise AssertionError("a local file was let through without a place to copy it to")
        return self.staging.put(source, sniffed)

    def _url_of(self, source: Source, path: ObjectStoragePath, look: Look) -> str:
        """Return a presigned URL that works; else the public one."""
        where, name = location(path), source.field
        try:
            url = presigned(path, field=name, lifetime=self.lifetime, log=self.log)
            verify_presigned(self.web, url, field=name, shown=where, head=look.head, log=self.log)
        except CannotSignError as error:
            return self._public(source, where, f"the storage of {where} cannot sign a URL ({error})")
        except NotPublicError as error:
            why = f"the presigned URL of {where} names {error}, which the vendor cannot reach"
            return self._public(source, where, why)
        self.log.info("%s: %s (%d bytes) goes to the vendor as a presigned URL.", name, where, look.size)
        return url

    def _public(self, source: Source, where: str, why: str) -> str:
        url = public_url(where, self.public_url_base)
        if url is None:
            raise LipsyncBadInput(f"{source.field}: {why}. {_USE_BASE} Nothing was sent.")
        self._look_at_url(url, source, shown(url))
        self.log.info("%s: %s goes to the vendor as %s.", source.field, where, shown(url))
        return url


def public_url(where: str, bases: Mapping[str, str]) -> str | None:
    """Return the URL under which a place is public; None where no base is given for it. Pure.

    :param where: ``scheme://bucket/key``, without connection id.
    :param bases: from the beginning of a place to that of a URL; the longest that fits counts.
    """
    fitting = {f"{location(start).rstrip('/')}/": base for start, base in bases.items()}
    start = max((start for start in fitting if where.startswith(start)), key=len, default=None)
    if start is None:
        return None
    return f"{fitting[start].rstrip('/')}/{quote(where.removeprefix(start))}"
