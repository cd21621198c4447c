"""One medium that can be looked at: an http(s) URL, a place in an object storage, or a file of this worker."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError
from airflow_provider_lipsync.media.kinds import HEAD, Kind
from airflow_provider_lipsync.media.named import NamedMedium
from airflow_provider_lipsync.media.places import fault, location, place_of, shown

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["FIELD_KINDS", "LocalSource", "Look", "ObjectSource", "Source", "WebSource", "source_of"]

FIELD_KINDS = {
    "video": Kind.VIDEO,
    "image": Kind.IMAGE,
    "mask_image": Kind.IMAGE,
    "audio": Kind.AUDIO,
    "left_audio": Kind.AUDIO,
    "right_audio": Kind.AUDIO,
}

_CHUNK = 1024 * 1024  # bytes of a local file read at once
# What tells two contents of one name apart, as filesystems call it; hashes first: a Google ETag changes with metadata.
_MARKS = ("md5Hash", "content_md5", "crc32c", "ETag", "etag", "generation")
_MOMENTS = ("LastModified", "last_modified", "mtime", "updated", "created")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of a file.

    :param size: bytes.
    :param head: its first bytes, at most :data:`~airflow_provider_lipsync.media.kinds.HEAD`.
    """

    size: int
    head: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Named:
    """What all sources have.

    :param field: of the API's, such as ``left_audio``.
    """

    field: str

    @property
    def kind(self) -> Kind:
        """The kind that the field takes."""
        return FIELD_KINDS[self.field]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WebSource(_Named):
    """An http(s) URL: what stands behind it is the vendor's to see."""

    url: str = dataclasses.field(repr=False)

    @property
    def shown(self) -> str:
        """For messages: without query and credentials."""
        return shown(self.url)

    def identity(self) -> str:
        """Return the URL as it is."""
        return self.url


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectSource(_Named):
    """An object in a storage that Airflow knows. Nothing that fsspec remembers of an earlier look is believed.

    :param uri: as the user wrote it, with the connection id.
    """

    uri: str

    @property
    def shown(self) -> str:
        """For messages: without connection id."""
        return shown(self.uri)

    @cached_property
    def path(self) -> ObjectStoragePath:
        """The place; see :func:`~airflow_provider_lipsync.media.places.place_of` for what it raises."""
        return place_of(self.uri, field=self.field)

    def identity(self) -> str:
        """Return where it is and what tells its content from any other there; one HEAD.

        :raises LipsyncBadInput: it does not exist, may not be read, or is a folder.
        :raises LipsyncMediaUnavailable: the storage cannot be reached now.
        """
        return self.size_and_identity()[1]

    def size_and_identity(self) -> tuple[int, str]:
        """Return its size in bytes and its identity; one HEAD for both; raises as :meth:`identity` does."""
        info = self._info()
        marks = [f"{name}={info[name]}" for name in _MARKS if info.get(name)][:1]
        moments = [f"{name}={info[name]}" for name in _MOMENTS if info.get(name)][:1]
        identity = " ".join([location(self.path), *(marks or [*moments, f"size={info.get('size')}"])])
        return int(info.get("size") or 0), identity

    def look(self) -> Look:
        """Return its size and first bytes.

        :raises LipsyncBadInput: see :meth:`identity`.
        :raises LipsyncMediaUnavailable: the storage cannot be reached now.
        """
        size = int(self._info().get("size") or 0)
        if size == 0:
            return Look(size=0, head=b"")
        try:
            head = self.path.fs.cat_file(self.path.path, start=0, end=min(size, HEAD))
        except Exception as error:  # noqa: BLE001 - each storage has errors of its own
            raise fault(error, field=self.field, doing=f"reading {self.shown}") from None
        return Look(size=size, head=bytes(head))

    def _info(self) -> Mapping[str, Any]:
        try:
            self.path.fs.invalidate_cache()
            info: Mapping[str, Any] = _info_of(self.path)
        except LipsyncError:
            raise
        except Exception as error:  # noqa: BLE001 - each storage has errors of its own
            raise self._fault(error) from None
        if info.get("type") == "directory":
            raise self._fault(IsADirectoryError(self.shown))
        return info

    def _fault(self, error: Exception) -> LipsyncError:
        return fault(error, field=self.field, doing=f"looking at {self.shown}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalSource(_Named):
    """A file of the machine that runs the task."""

    path: Path

    @property
    def shown(self) -> str:
        """For messages."""
        return str(self.path)

    def identity(self) -> str:
        """Return the SHA-256 of its bytes, read in bounded memory.

        :raises LipsyncBadInput: it does not exist, may not be read, or is no file.
        :raises LipsyncMediaUnavailable: its disk cannot be read now.
        """
        return f"sha256:{self.sha256()}"

    def sha256(self) -> str:
        """Return the SHA-256 in hex; raises as :meth:`identity` does."""
        digest = hashlib.sha256()
        try:
            self._verify_file()
            with self.path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise self._fault(error) from None
        return digest.hexdigest()

    def look(self) -> Look:
        """Return its size and first bytes; raises as :meth:`identity` does."""
        try:
            size = self._verify_file()
            with self.path.open("rb") as file:
                return Look(size=size, head=file.read(HEAD))
        except OSError as error:
            raise self._fault(error) from None

    def _verify_file(self) -> int:
        """Return its size. A pipe or a device would be read for ever."""
        found = self.path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise LipsyncBadInput(f"{self.field}: {self.shown} is no regular file. Nothing was sent.")
        return found.st_size

    def _fault(self, error: OSError) -> LipsyncError:
        bare = OSError(error.errno, error.strerror)  # without the path, which is told already
        return fault(bare, field=self.field, doing=f"reading {self.shown}")


Source = WebSource | ObjectSource | LocalSource


def _info_of(path: ObjectStoragePath) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = path.fs.info(path.path, refresh=True)
    except TypeError:  # a filesystem that remembers nothing, and takes no such wish
        found = path.fs.info(path.path)
    return found


def source_of(field: str, medium: NamedMedium) -> Source:
    """Return a medium that was named, so that it can be looked at; nothing is looked at yet.

    :param field: of the API's, such as ``left_audio``.
    """
    match medium.way:
        case "web":
            return WebSource(field=field, url=medium.text)
        case "object":
            return ObjectSource(field=field, uri=medium.text)
        case "local":
            return LocalSource(field=field, path=Path(medium.text))
