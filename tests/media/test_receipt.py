"""The receipt: a public format, read with suspicion."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lipsync.media.receipt import Receipt, ReceiptState, UnreadableReceiptError
from airflow_provider_lipsync.media.task_key import TaskKey

TEXT = st.text(min_size=1, max_size=30)
HASHES = st.dictionaries(TEXT, TEXT, max_size=4)
MAYBE_TEXT = st.none() | TEXT

RECEIPTS = st.builds(
    Receipt,
    job_id=TEXT,
    sha256=TEXT,
    size=st.integers(0, 2**60),
    author=st.builds(TaskKey, dag_id=TEXT, run_id=TEXT, task_id=TEXT, map_index=st.integers(-1, 9999)),
    conn_id=TEXT,
    api=TEXT,
    replaces=MAYBE_TEXT,
    stored_at=st.floats(0, 1e11),
    state=st.sampled_from(ReceiptState),
    fingerprint=st.none() | HASHES,
    etag=MAYBE_TEXT,
    model=MAYBE_TEXT,
    execution_time=st.none() | st.floats(0, 1e9),
    credits_estimated=st.none() | st.integers(0, 10**6),
    labels=st.none() | HASHES,
    versions=HASHES,
)

WHOLE: dict[str, Any] = {
    "format": "lipsync-receipt",
    "version": 1,
    "state": "stored",
    "job_id": "550e8400-e29b-41d4-a716-446655440000",
    "sha256": "ab" * 32,
    "size": 123,
    "dag_id": "weekly",
    "run_id": "r",
    "task_id": "render",
    "map_index": -1,
    "conn_id": "lipsync_default",
    "api": "https://lipsync.studio/api/v1",
    "stored_at": 1767600000.0,
}


@given(RECEIPTS)
def test_what_was_written_is_read_again(receipt: Receipt) -> None:
    assert Receipt.from_bytes(receipt.as_bytes()) == receipt


def test_what_a_reader_of_the_format_counts_on() -> None:
    receipt = Receipt.from_bytes(json.dumps(WHOLE).encode())
    written = json.loads(receipt.as_bytes())
    assert {name: written[name] for name in WHOLE} == WHOLE
    assert set(written) - set(WHOLE) == {
        *("fingerprint", "replaces", "etag", "model", "execution_time", "credits_estimated", "labels", "versions"),
    }


def test_keys_of_a_later_release_are_passed_over() -> None:
    assert Receipt.from_bytes(json.dumps(WHOLE | {"poster": "x"}).encode()).size == 123


@pytest.mark.parametrize("missing", sorted(set(WHOLE)))
def test_a_receipt_that_lacks_something_is_none(missing: str) -> None:
    content = {name: value for name, value in WHOLE.items() if name != missing}
    with pytest.raises(UnreadableReceiptError):
        Receipt.from_bytes(json.dumps(content).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": "1"},
        {"format": "else"},
        {"state": "burnt"},
        {"size": "many"},
        {"job_id": ""},
        {"job_id": None},
        {"stored_at": "NaN"},
        {"fingerprint": ["a"]},
        {"etag": 7},
    ],
    ids=str,
)
def test_a_receipt_with_something_else_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReceiptError):
        Receipt.from_bytes(json.dumps(WHOLE | change).encode())


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_rubbish_is_unreadable_and_nothing_else(content: bytes) -> None:
    with pytest.raises(UnreadableReceiptError):
        Receipt.from_bytes(content)
