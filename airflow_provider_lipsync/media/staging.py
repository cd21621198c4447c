"""Copies of local files in a storage from which the vendor can fetch them, for as long as the job runs.

One folder per task instance, removed as a whole when its job is over, and in it one per purchase that was begun: a try
that comes to nothing removes its own alone. A copy appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError, LipsyncMisconfigured
from airflow_provider_lipsync.media.kinds import Sniffed
from airflow_provider_lipsync.media.options import content_type
from airflow_provider_lipsync.media.places import fault, location, place_of, shown, words
from airflow_provider_lipsync.media.sinks import DiskSink, ObjectSink, sink_for

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_lipsync.media.sources import LocalSource

__all__ = ["Staging"]

_FIELD = "the connection's staging_path"
_CHUNK = 1024 * 1024  # bytes of the local file read at once
_DIGITS = 16  # of a SHA-256, in hex


class Staging:
    """The copies of one task instance.

    :param folder: the connection's ``staging_path``, a place in any storage.
    :param name: of the task instance's folder in it, which may have parents: the same for all of its tries, and
        no other task instance's.
    :param log: the task's.
    :raises ValueError: the name could lead out of the folder.
    """

    def __init__(self, folder: str, name: str, *, log: Any) -> None:
        if not all(re.fullmatch(r"(?!\.{1,2}$)[A-Za-z0-9._~+=-]+", part) for part in name.split("/")):
            raise ValueError(f"{name!r} cannot be the name of a folder here")
        self._folder, self._name, self._log = folder.rstrip("/"), name, log
        self._own = f"{name}/{uuid.uuid4().hex[:8]}"
        self._has_copies = False

    @property
    def shown(self) -> str:
        """Where the copies are, for messages."""
        return shown(f"{self._folder}/{self._name}")

    def put(self, source: LocalSource, sniffed: Sniffed) -> ObjectStoragePath:
        """Copy a local file, in bounded memory; return where the copy stands.

        :param sniffed: what the file is, for its name and its Content-Type.
        :raises LipsyncBadInput: the file cannot be read, or the storage refuses it.
        :raises LipsyncMediaUnavailable: the storage cannot be reached now.
        """
        sha256 = source.sha256()
        suffix = sniffed.suffix or (source.path.suffix if source.path.suffix.isascii() else "")
        place = self._place(self._own) / f"{source.field}-{sha256[:_DIGITS]}{suffix}"
        self._has_copies = True
        sink = sink_for(place, options=content_type(place, sniffed.mime), log=self._log)
        try:
            sink.begin()
            _copy(source, sink, sha256)
            sink.finish(lambda: None)
        except LipsyncError:
            raise
        except Exception as error:  # noqa: BLE001 - each storage has errors of its own
            doing = f"copying {source.shown} to {shown(location(place))}"
            raise fault(error, field=source.field, doing=doing) from None
        finally:
            sink.discard()
        self._log.info("%s: %s was copied to %s for the vendor.", source.field, source.shown, shown(location(place)))
        return place

    def give_up(self) -> None:
        """Remove the copies that were made here, for a purchase that came to nothing; as :meth:`clear`."""
        if self._has_copies:
            self._remove(self._own)

    def clear(self) -> None:
        """Remove all copies. Never raises for a storage's fault: what is left is named in a warning."""
        self._remove(self._name)

    def _remove(self, name: str) -> None:
        try:
            place = self._place(name)
            place.fs.invalidate_cache()
            place.fs.rm(place.path, recursive=True)
            place.fs.invalidate_cache()
            if left := place.fs.find(place.path):  # s3fs does not raise for objects that it may not remove
                raise PermissionError(f"{len(left)} still stand there")  # noqa: TRY301
        except FileNotFoundError:
            return
        except Exception as error:  # noqa: BLE001 - the job is over: what is left over is not worth a failed task
            why = error.message if isinstance(error, LipsyncError) else words(error)
            self._log.warning("The copies under %s could not be removed: remove them by hand. %s", self.shown, why)
        else:
            self._log.info("The copies under %s were removed.", self.shown)

    def _place(self, name: str) -> ObjectStoragePath:
        try:
            return place_of(f"{self._folder}/{name}", field=_FIELD)
        except LipsyncBadInput as error:
            raise LipsyncMisconfigured(error.message) from error.__cause__


def _copy(source: LocalSource, sink: DiskSink | ObjectSink, sha256: str) -> None:
    digest = hashlib.sha256()
    with source.path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            sink.write(chunk)
    if digest.hexdigest() != sha256:
        raise LipsyncBadInput(f"{source.field}: {source.shown} changed while it was read. Nothing was sent.")
