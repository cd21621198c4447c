"""What is checked before anything is sent: the message names the field, what came and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lipsync.api import check
from airflow_provider_lipsync.exceptions import LipsyncBadInput


@pytest.mark.parametrize(
    ("value", "seed"),
    [(42, 42), ("42", 42), (" -7 ", -7), (42.0, 42), (0, 0), (None, None), ("", None), ("None", None)],
)
def test_a_seed_that_has_one_meaning_is_taken(value: Any, seed: int | None) -> None:
    assert check.checked_seed(value) == seed


@pytest.mark.parametrize("value", [True, 1.5, "1.5", "abc", float("nan"), float("inf"), [1], "1_000"])
def test_a_seed_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(LipsyncBadInput, match="seed: a whole number is allowed"):
        check.checked_seed(value)


@pytest.mark.parametrize("value", ["1080p", 720, None, "", "480P", True])
def test_an_unknown_resolution_is_refused_and_the_way_round_is_named(value: Any) -> None:
    with pytest.raises(LipsyncBadInput, match=r"resolution: allowed are 480p, 720p .*extra_form_state"):
        check.checked_resolution(value)


def test_orders() -> None:
    assert [check.checked_order(order) for order in ("meanwhile", "left_right", "right_left")]
    with pytest.raises(LipsyncBadInput, match="order: allowed are meanwhile, left_right, right_left"):
        check.checked_order("both")


@pytest.mark.parametrize(
    ("value", "text"), [("calm", "calm"), (5, "5"), (1.5, "1.5"), (None, None), ("", None), ("None", None)]
)
def test_a_text_that_native_rendering_changed_is_a_text_again(value: Any, text: str | None) -> None:
    assert check.checked_text("prompt", value) == text


@pytest.mark.parametrize("value", [True, ["calm"], {"a": 1}])
def test_a_text_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(LipsyncBadInput, match="prompt: a text is allowed"):
        check.checked_text("prompt", value)


@pytest.mark.parametrize(
    ("url", "vendor", "fits"),
    [
        pytest.param("https://me/hook", "https://lipsync.studio/api/v1", True, id="https"),
        pytest.param("http://me/hook", "https://lipsync.studio/api/v1", False, id="http"),
        pytest.param("http://127.0.0.1:1/hook", "https://lipsync.studio/api/v1", False, id="loopback for a far vendor"),
        pytest.param("http://127.0.0.1:1/hook", "http://localhost:9/api/v1", True, id="both are this machine"),
        pytest.param("http://me/hook", "http://127.0.0.1:9/api/v1", False, id="a near vendor, a far receiver"),
        pytest.param("http://127.0.0.1:1/hook", None, True, id="vendor not known yet"),
        pytest.param("ftp://me/hook", None, False, id="another scheme"),
        pytest.param("https://", None, False, id="no host"),
        pytest.param(5, None, False, id="a number"),
    ],
)
def test_a_webhook_is_https_save_on_this_machine(url: Any, vendor: str | None, fits: bool) -> None:
    if fits:
        assert check.checked_webhook(url, vendor_url=vendor) == url
    else:
        with pytest.raises(LipsyncBadInput, match="webhook_url: allowed is an https URL"):
            check.checked_webhook(url, vendor_url=vendor)


@pytest.mark.parametrize(
    ("value", "fields"),
    [({"a": 1}, {"a": 1}), ('{"a": [1]}', {"a": [1]}), (None, {}), ("", {}), ({}, {})],
)
def test_extra_fields(value: Any, fields: dict[str, Any]) -> None:
    assert check.checked_mapping("extra_form_state", value) == fields


@pytest.mark.parametrize("value", ["{", "[1]", [1], {1: 2}, {"": 1}, {"a": object()}, {"a": float("nan")}, 7])
def test_extra_fields_that_json_cannot_hold_are_refused(value: Any) -> None:
    with pytest.raises(LipsyncBadInput, match="extra_form_state: a dict"):
        check.checked_mapping("extra_form_state", value)
