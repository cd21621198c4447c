"""What a media field takes, before anything is read or sent: the message names the field, what came, what may."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lipsync.exceptions import LipsyncBadInput
from tests.support.named import source_of


@pytest.mark.parametrize(
    "url", ["https://host/a.mp3", "http://127.0.0.1:9/x?sig=1#t", " https://host/a.mp3\n", "https://[::1]/a"]
)
def test_a_url_is_taken(url: str) -> None:
    assert source_of("audio", url, required=True).identity() == url.strip()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("  ", id="blank"),
        pytest.param("None", id="a template's none"),
        pytest.param("{{ params.audio }}", id="unrendered"),
        pytest.param("https://host/{% x %}", id="half rendered"),
        pytest.param("voice.mp3", id="a bare name"),
        pytest.param("folder/voice.mp3", id="a relative path"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///voice.mp3", id="empty host"),
        pytest.param("https://host:port/voice.mp3", id="a port that is none"),
        pytest.param("https://ho st/voice.mp3", id="a space"),
        pytest.param("https://host/a\u0000b", id="a control character"),
        pytest.param({"url": "https://host/a"}, id="a dict"),
        pytest.param(["https://host/a"], id="a list"),
        pytest.param(7, id="a number"),
        pytest.param(True, id="a bool"),
    ],
)
def test_what_is_no_url_is_refused(value: Any) -> None:
    with pytest.raises(
        LipsyncBadInput, match=r"^job none · charged: no · video: none · next: .*\naudio: .*; got "
    ) as caught:
        source_of("audio", value, required=True)
    assert "Nothing was sent" in str(caught.value)


def test_an_optional_medium_may_be_missing() -> None:
    assert source_of("mask_image", None, required=False) is None
    assert source_of("mask_image", "None", required=False) is None


def test_a_message_never_repeats_a_signature() -> None:
    with pytest.raises(LipsyncBadInput) as caught:
        source_of("audio", "ftp:bucket/voice.mp3?X-Amz-Signature=abc", required=True)
    assert "abc" not in str(caught.value)
