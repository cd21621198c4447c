"""The receipt beside a stored video: a small JSON that tells what it is of. A public format: see ``docs/media.md``.

Written right before the video takes its place, and again when it stands; read before anything is paid, so that nothing
is rendered twice. What it says is believed only of the very bytes that stand there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_lipsync.media.task_key import TaskKey

__all__ = ["RECEIPT_SUFFIX", "Receipt", "ReceiptState", "UnreadableReceiptError"]

RECEIPT_SUFFIX = ".lipsync.json"

_FORMAT = "lipsync-receipt"
_VERSION = 1


class UnreadableReceiptError(ValueError):
    """What stands there is no receipt, or one of a later version."""


class ReceiptState(StrEnum):
    """What the receipt speaks of."""

    STORED = "stored"
    STORING = "storing"  # its video is about to take its place


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a video is of, and who stored it.

    :param job_id: the vendor's.
    :param sha256: of the bytes, in hex.
    :param size: bytes.
    :param author: the task instance that stored it.
    :param conn_id: id of the connection that bought it.
    :param api: base URL of the vendor that rendered it; a sandbox's video is never taken for a real one.
    :param stored_at: seconds since the epoch.
    :param fingerprint: hashes of what was asked for, by field; None where whoever stored it did not know.
    :param replaces: hash of the file whose place it is about to take; None where there is none.
    :param etag: the storage's own mark of the bytes, which saves reading them; None where it has none.
    :param model: as the vendor gave it.
    :param execution_time: as the vendor gave it (inferred: ms).
    :param credits_estimated: None where not known.
    :param labels: of the task.
    :param versions: of the provider and of Airflow.
    """

    job_id: str
    sha256: str
    size: int
    author: TaskKey
    conn_id: str
    api: str
    stored_at: float
    state: ReceiptState = ReceiptState.STORED
    fingerprint: Mapping[str, str] | None = None
    replaces: str | None = None
    etag: str | None = None
    model: str | None = None
    execution_time: float | None = None
    credits_estimated: int | None = None
    labels: Mapping[str, str] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        """Return it as it is stored."""
        content = asdict(self)
        whole = {"format": _FORMAT, "version": _VERSION, **content.pop("author"), **content}
        return json.dumps(whole, indent=2, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> Receipt:
        """Return what :meth:`as_bytes` wrote; keys that are not known are passed over.

        :raises UnreadableReceiptError: it is nothing of ours; never to be taken for "nothing stands there".
        """
        try:
            found = json.loads(content)
            if (found["format"], found["version"]) == (_FORMAT, _VERSION):
                return cls._from_json(found)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UnreadableReceiptError(f"it cannot be understood ({type(error).__name__}: {error})") from None
        raise UnreadableReceiptError(f"it is no {_FORMAT} of version {_VERSION}")

    @classmethod
    def _from_json(cls, found: Mapping[str, Any]) -> Receipt:
        return cls(
            job_id=_text(found["job_id"]),
            sha256=_text(found["sha256"]),
            size=int(found["size"]),
            author=TaskKey(
                dag_id=_text(found["dag_id"]),
                run_id=_text(found["run_id"]),
                task_id=_text(found["task_id"]),
                map_index=int(found["map_index"]),
            ),
            conn_id=_text(found["conn_id"]),
            api=_text(found["api"]),
            stored_at=_number(found["stored_at"]),
            state=ReceiptState(found["state"]),
            fingerprint=_texts(found.get("fingerprint")),
            replaces=_maybe(found.get("replaces")),
            etag=_maybe(found.get("etag")),
            model=_maybe(found.get("model")),
            execution_time=None if found.get("execution_time") is None else _number(found["execution_time"]),
            credits_estimated=None if found.get("credits_estimated") is None else int(found["credits_estimated"]),
            labels=_texts(found.get("labels")),
            versions=_texts(found.get("versions")) or {},
        )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"a text was expected, got {type(value).__name__}")
    return value


def _maybe(value: object) -> str | None:
    return None if value is None else _text(value)


def _texts(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"an object was expected, got {type(value).__name__}")
    return {str(name): str(item) for name, item in value.items()}


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a number was expected")
    return value  # whole numbers stay what the vendor gave
