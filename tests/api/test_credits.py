"""The vendor's price rules."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lipsync.api.credits import charged_seconds, estimate_credits


@pytest.mark.parametrize(
    ("seconds", "resolution", "price"),
    [pytest.param(3, "720p", 20, id="stated: 3 s at 720p"), pytest.param(10, "480p", 20, id="stated: 10 s at 480p")],
)
def test_the_vendors_own_examples(seconds: float, resolution: str, price: int) -> None:
    assert estimate_credits(charged_seconds("lipsync-image", audio=seconds), resolution) == price


@pytest.mark.parametrize(
    ("endpoint", "lengths", "seconds"),
    [
        pytest.param("lipsync-video", {"video": 30, "audio": 12}, 12, id="a video that is cut: the audio"),
        pytest.param("lipsync-video", {"video": 12, "audio": 30}, 12, id="a video that is extended: the video"),
        pytest.param("lipsync-image", {"audio": 7.0}, 7, id="an image: the audio"),
        pytest.param("lipsync-image", {"audio": 7.01}, 8, id="fractions are rounded up"),
        pytest.param("lipsync-image", {"audio": 0}, 5, id="at least five seconds"),
        pytest.param("lipsync-image-multi", {"left_audio": 6, "right_audio": 9}, 9, id="meanwhile: the longer"),
        pytest.param(
            "lipsync-image-multi",
            {"left_audio": 6.5, "right_audio": 9, "order": "left_right"},
            16,
            id="in turn: the sum",
        ),
        pytest.param(
            "lipsync-image-multi",
            {"left_audio": 6, "right_audio": 9, "order": "right_left"},
            15,
            id="in turn, reversed",
        ),
        pytest.param(
            "lipsync-video", {"video": None, "audio": 3}, None, id="unknown stays unknown, however short the rest"
        ),
        pytest.param("lipsync-image-multi", {"left_audio": 6}, None, id="one voice unknown"),
    ],
)
def test_what_is_charged(endpoint: str, lengths: dict[str, float], seconds: int | None) -> None:
    assert charged_seconds(endpoint, **lengths) == seconds  # type: ignore[arg-type]


def test_unknown_seconds_cost_unknown_credits_never_zero() -> None:
    assert estimate_credits(None, "720p") is None


@pytest.mark.parametrize("length", [-1.0, math.nan, math.inf])
def test_a_length_that_is_none_is_refused(length: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        charged_seconds("lipsync-image", audio=length)


@given(video=st.floats(0, 1e5), audio=st.floats(0, 1e5))
def test_the_estimate_is_never_below_the_exact_length(video: float, audio: float) -> None:
    seconds = charged_seconds("lipsync-video", video=video, audio=audio)
    assert seconds is not None
    assert max(5.0, min(video, audio)) <= seconds < max(5.0, min(video, audio)) + 1
