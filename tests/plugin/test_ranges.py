"""Ranges and conditions, as RFC 9110 has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lipsync.plugin.ranges import Span, UnsatisfiableRange, is_known, span_of

ETAG = '"abc"'


def asked(header: str | None, *, size: int = 1000, if_range: str | None = None) -> Span | None:
    return span_of(header, size=size, etag=ETAG, if_range=if_range)


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        pytest.param("bytes=0-", 0, 1000, id="from the beginning"),
        pytest.param("bytes=0-0", 0, 1, id="the first byte"),
        pytest.param("bytes=999-999", 999, 1000, id="the last byte"),
        pytest.param("bytes=10-19", 10, 20, id="ten bytes"),
        pytest.param("bytes=990-5000", 990, 1000, id="more than there is"),
        pytest.param("bytes=-10", 990, 1000, id="the last ten"),
        pytest.param("bytes=-5000", 0, 1000, id="the last of more than there is"),
        pytest.param("Bytes= 0-4 ", 0, 5, id="in another writing"),
    ],
)
def test_a_range_names_bytes(header: str, start: int, end: int) -> None:
    assert asked(header) == Span(start, end)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("items=0-1", id="another unit"),
        pytest.param("bytes=-", id="nothing"),
        pytest.param("bytes=5-2", id="backwards"),
        pytest.param("bytes=0-1,5-6", id="several"),
        pytest.param("bytes=a-b", id="letters"),
        pytest.param("bytes=٠-٥", id="digits of another script"),
        pytest.param("bytes=" + "9" * 5000 + "-", id="a number without end"),
    ],
)
def test_what_cannot_be_understood_asks_for_all(header: str | None) -> None:
    assert asked(header) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_given(header: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        asked(header)


def test_a_range_of_another_version_gives_all_of_this_one() -> None:
    assert asked("bytes=5-9", if_range='"old"') is None
    assert asked("bytes=5000-", if_range='"old"') is None
    assert asked("bytes=5-9", if_range="Mon, 05 Jan 2026 00:00:00 GMT") is None
    assert asked("bytes=5-9", if_range=ETAG) == Span(5, 10)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(1, 10**9))
def test_whatever_is_asked_for_lies_within_the_file(header: str, size: int) -> None:
    try:
        span = asked(header, size=size)
    except UnsatisfiableRange:
        return
    assert span is None or 0 <= span.start < span.end <= size


def test_a_version_that_the_browser_has_is_known() -> None:
    assert is_known(ETAG, ETAG)
    assert is_known(ETAG, f'"x", W/{ETAG}')
    assert is_known(ETAG, "*")
    assert not is_known(ETAG, '"x"')
    assert not is_known(ETAG, None)
