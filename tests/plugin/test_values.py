"""What any DAG author may have pushed comes out known, bounded and showable, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_lipsync.plugin.task_facts import OURS, TaskFacts
from airflow_provider_lipsync.plugin.values import read_card, read_entry, read_json, read_result
from airflow_provider_lipsync.plugin.view import view_of
from tests.plugin.facts_support import JOB, KEY, card, record, result

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)


def test_a_card_is_read() -> None:
    found = read_card(card())
    assert found is not None
    assert (found.job_id, found.seconds, found.credits_estimated, found.seed) == (JOB, 12.3, 26, 7)
    assert found.inputs == {"image": "s3://bucket/a.png", "audio": "https://host/a.mp3"}


def test_a_value_that_came_as_a_text_of_json_is_read_all_the_same() -> None:
    assert read_card(json.dumps(card())) == read_card(card())
    assert read_result(json.dumps(result())) == read_result(result())


@pytest.mark.parametrize(
    "value",
    [None, 1, "x", [], {}, {"job_id": 1}, {"job_id": ""}, {"job_id": "<b>x</b>"}, {"job_id": "x" * 1000}, "{", '{"a":'],
)
def test_what_names_no_job_is_nothing_of_ours(value: Any) -> None:
    assert read_card(value) is None
    assert read_result(value) is None


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "ftp://host/a", "//host/a", "https://", "http://a b/", 7, None]
)
def test_an_address_that_is_not_http_is_none(url: Any) -> None:
    found = read_result(result(video_url=url))
    assert found is not None
    assert found.video_url is None


def test_inputs_are_shown_without_signatures_and_credentials() -> None:
    found = read_card(
        card(inputs={"image": "https://me:secret@host/a.png?sig=secret", "audio": "s3://conn@bucket/a.mp3"})
    )
    assert found is not None
    assert found.inputs == {"image": "https://host/a.png?…", "audio": "s3://bucket/a.mp3"}


def test_numbers_that_are_none_are_unknown() -> None:
    odd = [float("nan"), float("inf"), -1, True, "12", 10**400, [], {}]
    for value in odd:
        found = read_card(card(seconds=value, credits_estimated=value, submitted_at=value, deadline=value))
        assert found is not None
        assert (found.seconds, found.credits_estimated, found.submitted_at, found.deadline) == (None,) * 4


def test_texts_are_bounded_and_can_be_written() -> None:
    found = read_card(card(conn_id="x" * 10_000, endpoint="\ud800", labels={str(n): "v" for n in range(1000)}))
    assert found is not None
    assert found.conn_id == "x" * 1000
    assert found.endpoint == "?"
    assert len(found.labels) == 50


@pytest.mark.parametrize(
    "value",
    [
        "a reference of a backend of one's own",
        {},
        {"state": "bought"},
        record(job_id="<b>"),
        record(job_id=None),
        record(submitted_at=float("nan")),
        record(submitted_at=1e300),
        record(state="sold"),
    ],
)
def test_a_record_that_cannot_be_understood_says_so(value: Any) -> None:
    with pytest.raises(ValueError, match=r"record|job id"):
        read_entry(value)


def test_json_that_python_refuses_is_nothing() -> None:
    assert read_json("[" * 100_000) is None
    assert read_json("1" * 5000) is None
    assert read_json('{"a": 1') is None
    assert read_json(None) is None


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no finding
@given(
    ANYTHING, ANYTHING, ANYTHING, st.sampled_from([*OURS, "PythonOperator", None]), st.sampled_from(["failed", None])
)
def test_whatever_was_pushed_the_view_can_be_written(
    a_card: object, a_result: object, a_record: object, operator: str | None, state: str | None
) -> None:
    _view_can_be_written(a_card, a_result, a_record, operator, state)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(card(), ANYTHING)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(result(), ANYTHING)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(record(), ANYTHING)),
    st.sampled_from(["failed", "success", "deferred", None]),
)
def test_whatever_stands_in_our_keys_the_view_can_be_written(
    a_card: dict[str, Any], a_result: dict[str, Any], a_record: dict[str, Any], state: str | None
) -> None:
    _view_can_be_written(card(**a_card), result(**a_result), record(**a_record), OURS[0], state)


def _view_can_be_written(
    a_card: object, a_result: object, a_record: object, operator: str | None, state: str | None
) -> None:
    try:
        entry, unread = read_entry(a_record), ""
    except ValueError as error:
        entry, unread = None, str(error)
    known = TaskFacts(
        key=KEY,
        operator=operator,
        task_state=state,
        card=read_card(a_card),
        result=read_result(a_result),
        entry=entry,
        unread=unread,
    )
    json.dumps(view_of(known, now=0.0), allow_nan=False).encode()
    json.dumps(view_of(known, now=0.0), allow_nan=False, ensure_ascii=False).encode()  # as the answer is written
