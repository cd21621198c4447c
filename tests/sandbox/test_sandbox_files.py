"""Finished videos and samples over HTTP: ranges, tags, HEAD."""

from __future__ import annotations

import io
import wave

import av
import httpx
import pytest

from airflow_provider_lipsync.sandbox.files import RangeNotSatisfiableError, parse_range
from tests.sandbox.support import Caller, list_boxes


@pytest.fixture
def url(canned: Caller) -> str:
    output: str = canned.query(canned.submit("lipsync-image"))["output"]
    httpx.get(output, timeout=60)  # it is made when it is first asked for
    return output


def test_the_whole_file(url: str) -> None:
    response = httpx.get(url, timeout=60)
    assert response.status_code == 200
    assert response.headers["content-type"] == "video/mp4"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"].startswith('"')
    assert list_boxes(response.content)[:2] == ["ftyp", "moov"]


def test_head_says_the_same_without_the_body(url: str) -> None:
    whole, head = httpx.get(url), httpx.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        pytest.param("bytes=0-0", 0, 1, id="first byte"),
        pytest.param("bytes=10-19", 10, 20, id="middle"),
        pytest.param("bytes=1000-", 1000, None, id="from there on"),
        pytest.param("bytes=-500", -500, None, id="the last ones"),
        pytest.param("bytes=0-999999999", 0, None, id="beyond the end"),
        pytest.param("bytes=-999999999", 0, None, id="more of the last than there are"),
    ],
)
def test_one_range_is_206(url: str, wanted: str, start: int, stop: int | None) -> None:
    whole = httpx.get(url).content
    response = httpx.get(url, headers={"Range": wanted})
    expected = whole[start:stop]
    assert response.status_code == 206
    assert response.content == expected
    first = start % len(whole)
    assert response.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(whole)}"
    assert int(response.headers["content-length"]) == len(expected)


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0"])
def test_a_range_outside_the_file_is_416(url: str, wanted: str) -> None:
    size = len(httpx.get(url).content)
    response = httpx.get(url, headers={"Range": wanted})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize("wanted", ["bytes=abc", "lines=0-1", "bytes=5-2", "bytes=-", "bytes=0-1,5-6", ""])
def test_a_range_that_is_malformed_or_several_gets_the_whole_file(url: str, wanted: str) -> None:
    assert httpx.get(url, headers={"Range": wanted}).status_code == 200


def test_if_range_gives_the_rest_only_of_the_same_file(url: str) -> None:
    etag = httpx.head(url).headers["etag"]
    same = httpx.get(url, headers={"Range": "bytes=100-", "If-Range": etag})
    other = httpx.get(url, headers={"Range": "bytes=100-", "If-Range": '"another"'})
    weak = httpx.get(url, headers={"Range": "bytes=100-", "If-Range": f"W/{etag}"})
    assert (same.status_code, other.status_code, weak.status_code) == (206, 200, 200)


@pytest.mark.parametrize(
    ("template", "status"),
    [
        pytest.param("{etag}", 304, id="the same"),
        pytest.param("W/{etag}", 304, id="weakly the same"),
        pytest.param('"a", {etag}', 304, id="one of several"),
        pytest.param("*", 304, id="any"),
        pytest.param('"another"', 200, id="another"),
    ],
)
def test_if_none_match(url: str, template: str, status: int) -> None:
    etag = httpx.head(url).headers["etag"]
    response = httpx.get(url, headers={"If-None-Match": template.format(etag=etag)})
    assert response.status_code == status
    assert response.headers["etag"] == etag
    assert (response.content == b"") == (status == 304)


@pytest.mark.parametrize("path", ["/outputs/none.mp4", "/outputs/none", "/samples/none.png", "/samples/..%2f..%2fetc"])
def test_a_file_that_does_not_exist_is_404_in_json(canned: Caller, path: str) -> None:
    response = httpx.get(canned.sandbox.url + path)
    assert response.status_code == 404
    assert response.json()["error"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, None), ("bytes=0-4", (0, 5)), ("bytes=9-", (9, 10)), ("bytes=-3", (7, 10)), ("BYTES= 2-3 ", (2, 4))],
)
def test_parse_range(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == expected


def test_an_empty_file_has_no_range() -> None:
    with pytest.raises(RangeNotSatisfiableError):
        parse_range("bytes=0-", 0)


@pytest.mark.parametrize(("name", "width", "height"), [("portrait.png", 768, 1024), ("duo.png", 1024, 768)])
def test_the_sample_pictures_are_pictures(canned: Caller, name: str, width: int, height: int) -> None:
    response = httpx.get(canned.sandbox.sample(name), timeout=60)
    assert response.headers["content-type"] == "image/png"
    assert len(response.content) < 300_000
    with av.open(io.BytesIO(response.content)) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (width, height)


@pytest.mark.parametrize(("name", "seconds"), [("voice.wav", 6), ("voice-left.wav", 4), ("voice-right.wav", 3)])
def test_the_sample_voices_are_sounds(canned: Caller, name: str, seconds: float) -> None:
    response = httpx.get(canned.sandbox.sample(name), timeout=60)
    assert response.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(response.content)) as file:
        assert file.getnframes() / file.getframerate() == seconds


def test_the_sample_clip_is_a_video_with_sound(canned: Caller) -> None:
    response = httpx.get(canned.sandbox.sample("clip.mp4"), timeout=60)
    with av.open(io.BytesIO(response.content)) as container:
        assert [stream.type for stream in container.streams] == ["audio", "video"]
        assert (container.duration or 0) / av.time_base == pytest.approx(4, abs=0.1)
