"""What tasks wrote, read with mistrust: any DAG author may push anything under any key. Pure.

A value that is not what it should be is unknown (None). Nothing that comes out of here is longer than a page can bear,
holds a signature or credentials, or breaks JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_lipsync.api.texts import is_http_url, is_job_id
from airflow_provider_lipsync.jobs.ledger import Record, State
from airflow_provider_lipsync.media.places import shown

__all__ = [
    "LARGEST",
    "Card",
    "Entry",
    "Purchase",
    "Result",
    "job_id_in",
    "plain",
    "read_card",
    "read_entry",
    "read_json",
    "read_purchase",
    "read_result",
]

LARGEST = 100_000  # characters of JSON that are read at all: what is ours has some hundred

_LONGEST = 1000  # characters of a text that is shown
_LONGEST_PATH = 4096
_MOST = 50  # labels, inputs
_LATEST = 4_102_444_800.0  # seconds since the epoch: the year 2100


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an operator tells of its purchase (XCom ``lipsync_job``); unknown is None.

    :param job_id: the vendor's.
    :param seconds: that are charged.
    :param inputs: by field, in the form that may be shown.
    :param submitted_at: seconds since the epoch.
    :param deadline: likewise.
    """

    job_id: str
    endpoint: str | None = None
    resolution: str | None = None
    seconds: float | None = None
    credits_estimated: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int | str | None = None
    conn_id: str | None = None
    submitted_at: float | None = None
    deadline: float | None = None


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """The little of a card that sums and choices are made of.

    :param submitted_at: seconds since the epoch.
    """

    job_id: str
    credits_estimated: int | None
    labels: Mapping[str, str]
    conn_id: str | None
    submitted_at: float | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a task of ours handed on (XCom ``return_value``); unknown is None.

    :param video_url: the vendor's, http or https.
    :param output_path: of the stored copy, as the user wrote it: with a connection id, so not to be shown.
    :param size: bytes.
    """

    job_id: str
    model: str | None = None
    status: str | None = None
    video_url: str | None = None
    output_path: str | None = None
    sha256: str | None = None
    size: int | None = None
    credits_estimated: int | None = None
    execution_time: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the ledger knows.

    :param credits: of the last purchase; None = no estimate.
    :param spent: on earlier purchases of this task instance.
    :param spent_unknown: whether some of those had no estimate.
    """

    record: Record
    credits: int | None = None
    spent: int = 0
    spent_unknown: bool = False

    @property
    def state(self) -> State:
        """What became of the last purchase."""
        return self.record.state

    @property
    def job_id(self) -> str | None:
        """Of the last purchase, where it is known."""
        return self.record.job_id


def read_json(text: object) -> object:
    """Return what a column of JSON holds, as the database has it in text; None where it cannot be understood."""
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):  # numbers of thousands of digits, brackets without end
        return None


def read_card(value: object) -> Card | None:
    """Return what stands under the XCom key ``lipsync_job``; None where it is no card."""
    found = _mapping(value)
    job_id = job_id_in(found.get("job_id"))
    if job_id is None:
        return None
    return Card(
        job_id=job_id,
        endpoint=plain(found.get("endpoint")),
        resolution=plain(found.get("resolution")),
        seconds=_number(found.get("seconds")),
        credits_estimated=_count(found.get("credits_estimated")),
        labels=_texts(found.get("labels")),
        inputs={name: shown(text) for name, text in _texts(found.get("inputs")).items()},
        seed=_first_known(_count(found.get("seed")), plain(found.get("seed"))),
        conn_id=plain(found.get("conn_id")),
        submitted_at=_moment(found.get("submitted_at")),
        deadline=_moment(found.get("deadline")),
    )


def read_purchase(value: object) -> Purchase | None:
    """Return the same, of a card alone; see :class:`Purchase`."""
    found = _mapping(value)
    job_id = job_id_in(found.get("job_id"))
    if job_id is None:
        return None
    return Purchase(
        job_id=job_id,
        credits_estimated=_count(found.get("credits_estimated")),
        labels=_texts(found.get("labels")),
        conn_id=plain(found.get("conn_id")),
        submitted_at=_moment(found.get("submitted_at")),
    )


def read_result(value: object) -> Result | None:
    """Return what stands under the XCom key ``return_value``; None where it is no result of ours."""
    found = _mapping(value)
    job_id = job_id_in(found.get("job_id"))
    if job_id is None:
        return None
    url, path = found.get("video_url"), found.get("output_path")
    return Result(
        job_id=job_id,
        model=plain(found.get("model")),
        status=plain(found.get("status")),
        video_url=_encodable(url) if isinstance(url, str) and is_http_url(url) else None,
        output_path=_encodable(path) if isinstance(path, str) and 0 < len(path) <= _LONGEST_PATH else None,
        sha256=plain(found.get("sha256")),
        size=_count(found.get("size")),
        credits_estimated=_count(found.get("credits_estimated")),
        execution_time=_number(found.get("execution_time")),
        labels=_texts(found.get("labels")),
    )


def read_entry(value: object) -> Entry:
    """Return what a row of the task state store holds.

    :raises ValueError: it cannot be understood; never to be taken for "nothing was bought".
    """
    found = _mapping(value)
    if not found:
        raise ValueError("no record stands there (with a state store backend of your own, only a reference does)")
    record = Record.from_json(found)
    if _moment(record.submitted_at) is None or (record.job_id is not None and job_id_in(record.job_id) is None):
        raise ValueError("the record's time or job id cannot be")
    return Entry(
        record=replace(record, endpoint=plain(record.endpoint) or "", note=plain(record.note) or ""),
        credits=_count(found.get("credits")),
        spent=_count(found.get("spent")) or 0,
        spent_unknown=found.get("spent_unknown") is True,
    )


def job_id_in(value: object) -> str | None:
    """Return a job id; None where it is none."""
    return value if isinstance(value, str) and is_job_id(value) else None


def plain(value: object) -> str | None:
    """Return a text or a number as a text that can be shown; None where it is neither, or empty."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        text = str(value)
    except ValueError:  # a whole number of thousands of digits
        return None
    return _encodable(text[:_LONGEST]) or None


def _mapping(value: object) -> Mapping[str, Any]:
    """Return an object; one that came as a text of JSON, too, as some ways of pushing it leave it."""
    if isinstance(value, str) and value.startswith("{"):
        value = read_json(value)
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    pairs = ((plain(name), plain(item)) for name, item in list(value.items())[:_MOST])
    return {name: item for name, item in pairs if name and item is not None}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _count(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) and number < 2**53 else None


def _first_known(number: int | None, text: str | None) -> int | str | None:
    return text if number is None else number


def _moment(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number < _LATEST else None


def _encodable(text: str) -> str:
    """Return a text that UTF-8 can write: JSON may hold half of a pair that it cannot."""
    return text.encode("utf-8", "replace").decode()
