"""The download: whatever a server does, there are either all the bytes of one file, or an error."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_lipsync.exceptions import LipsyncTransferFailed
from airflow_provider_lipsync.media import download
from airflow_provider_lipsync.media.download import Download, StoredVideo
from airflow_provider_lipsync.media.web import Web
from tests.media.video_server import MP4, VideoServer, boxed, open_web, video_server

log = logging.getLogger(__name__)
OTHER = boxed(260, b"other")
DOUBLED = [0.5 * 2**number for number in range(download._IN_VAIN - 1)]  # the waits of attempts that bring nothing


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with open_web() as opened:
        yield opened


@dataclass
class Kept:
    """A sink that keeps what comes."""

    content: bytes = b""
    begun: int = 0

    def begin(self) -> None:
        self.content, self.begun = b"", self.begun + 1

    def write(self, chunk: bytes) -> None:
        self.content += chunk


@dataclass
class Fetching:
    """One download, and what it did."""

    web: Web
    sink: Kept = field(default_factory=Kept)
    waits: list[float] = field(default_factory=list)
    fresh: list[str | None] = field(default_factory=list)
    largest: int = 10**9
    asked: int = 0

    def fresh_url(self) -> str | None:
        self.asked += 1
        return self.fresh.pop(0) if self.fresh else None

    def of(self, server: VideoServer) -> StoredVideo:
        return Download(
            url=server.url,
            job_id="job-1",
            web=self.web,
            fresh_url=self.fresh_url,
            largest=self.largest,
            log=log,
            sink=self.sink,
            sleep=self.waits.append,
        ).run()

    def fails(self, server: VideoServer, words: str) -> str:
        with pytest.raises(LipsyncTransferFailed, match=words) as caught:
            self.of(server)
        told = str(caught.value)
        assert told.startswith("job job-1 · charged: yes · video: at the vendor")
        assert "secret" not in told
        return told


def verify(kept: Kept, stored: StoredVideo, content: bytes) -> None:
    assert kept.content == content
    assert (stored.size, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_an_answer_that_is_cut_anywhere_is_gone_on_with(web: Web) -> None:
    resumed = 0
    with video_server() as server:
        for cut in range(-120, len(MP4) + 1):
            server.cuts, server.requests, server.body_bytes = [cut], [], 0
            fetching = Fetching(web)
            verify(fetching.sink, fetching.of(server), MP4)
            if server.asked("range")[1:] == [f"bytes={cut}-"]:
                resumed += 1
                assert server.body_bytes == len(MP4), "a byte was fetched twice"
                assert server.asked("if-range")[1] == '"v1"'
                assert fetching.sink.begun == 1
    assert resumed == len(MP4) - 8  # less than 8 bytes do not tell whether it is a video


@pytest.mark.parametrize(
    "honest",
    [pytest.param(True, id="the server heeds If-Range"), pytest.param(False, id="the server sends 206 all the same")],
)
def test_a_video_that_changes_half_way_is_begun_anew(web: Web, honest: bool) -> None:
    with video_server(VideoServer(cuts=[150], obeys_if_range=honest)) as server:

        def change(number: int) -> None:
            if number == 2:
                server.content, server.etag = boxed(200, b"other"), '"v2"'

        server.on_request = change
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), boxed(200, b"other"))
        assert fetching.sink.begun == 2
        assert len(server.requests) == (2 if honest else 3)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"knows_ranges": False}, id="no ranges"),
        pytest.param({"etag": None}, id="no validator"),
        pytest.param({"etag": 'W/"v1"'}, id="a weak ETag"),
        pytest.param(
            {
                "etag": None,
                "headers": {
                    "Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT",
                    "Date": "Mon, 05 Jan 2026 10:00:00 GMT",
                },
            },
            id="changed this very second",
        ),
        pytest.param({"headers": {"Content-Range": "bytes 7-199/200"}}, id="other bytes than asked for"),
        pytest.param({"headers": {"Content-Range": "some"}}, id="no range to be understood"),
    ],
)
def test_what_cannot_be_gone_on_with_is_begun_anew(web: Web, changes: dict[str, Any]) -> None:
    with video_server(VideoServer(cuts=[160], **changes)) as server:
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), MP4)
        assert fetching.sink.begun == 2
        if "etag" in changes:
            assert server.asked("range") == [None, None]


def test_a_video_that_grew_under_the_same_etag_is_begun_anew(web: Web) -> None:
    with video_server(VideoServer(cuts=[160])) as server:

        def grow(number: int) -> None:
            if number == 2:
                server.content = OTHER

        server.on_request = grow
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), OTHER)


def test_a_range_that_is_given_in_pieces_is_asked_for_again(web: Web) -> None:
    with video_server(VideoServer(cuts=[100], most=40)) as server:
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), MP4)
        assert server.asked("range") == [None, "bytes=100-", "bytes=140-", "bytes=180-"]


def test_a_time_is_as_good_as_an_etag(web: Web) -> None:
    changed = "Mon, 05 Jan 2026 10:00:00 GMT"
    headers = {"Last-Modified": changed, "Date": "Mon, 05 Jan 2026 10:00:01 GMT"}
    with video_server(VideoServer(etag='W/"v1"', headers=headers, cuts=[160])) as server:
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), MP4)
        assert server.asked("if-range") == [None, changed]
        assert fetching.sink.begun == 1


def test_a_server_that_changes_its_mind_each_time_and_cuts_comes_to_an_end(web: Web) -> None:
    with video_server(VideoServer(cuts=[150] * 99)) as server:

        def change(number: int) -> None:
            server.etag = f'"v{number}"'

        server.on_request = change
        fetching = Fetching(web)
        fetching.fails(server, "broke off again and again")
        assert len(server.requests) == download._IN_VAIN + 1
        assert fetching.waits == [0.5, *DOUBLED]


def test_a_server_that_gives_a_byte_at_a_time_comes_to_an_end(web: Web) -> None:
    with video_server() as server:
        server.cuts, server.content = [100, *[1] * 120], boxed(300)
        Fetching(web).fails(server, "broke off 100 times, 199 of 300 bytes are here")
        assert len(server.requests) == 100


def test_a_server_that_is_gone_is_told(web: Web) -> None:
    with video_server() as server:
        pass
    fetching = Fetching(web)
    fetching.fails(server, "ConnectError")
    assert fetching.waits == DOUBLED


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_fault_that_may_pass_is_tried_again(web: Web, status: int) -> None:
    with video_server(VideoServer(statuses=[status] * (download._IN_VAIN - 1))) as server:
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), MP4)
        server.statuses = [status] * download._IN_VAIN
        fetching.fails(server, f"the video's URL answered {status}")


def test_a_server_that_promises_more_than_it_has_is_not_believed(web: Web) -> None:
    with video_server(VideoServer(promised=len(MP4) + 9)) as server:
        told = Fetching(web).fails(server, "broke off again and again")
    assert f"of {len(MP4) + 9} bytes" in told


def test_a_server_that_promises_less_than_it_has_is_taken_by_its_word_with_a_warning(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    with video_server(VideoServer(promised=len(MP4) - 9)) as server:
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), MP4[:-9])
    assert "does not end where its boxes do" in caplog.text


def test_a_range_that_goes_beyond_the_end_is_not_taken(web: Web) -> None:
    """A 206 that promises the rest, and sends more than the whole has."""
    with video_server(VideoServer(cuts=[160])) as server:

        def grow(number: int) -> None:
            if number == 2:
                server.headers = {"Content-Length": "999", "Content-Range": f"bytes {_asked(server)}-199/200"}
                server.content, server.promises = MP4 + b"\x07" * 900, False
            else:
                server.headers, server.content, server.promises = {}, MP4, True

        server.on_request = grow
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), MP4)
        assert len(server.requests) == 3


def _asked(server: VideoServer) -> str:
    return str(server.asked("range")[-1]).removeprefix("bytes=").rstrip("-")


@pytest.mark.parametrize("left_out", [0, 1, 99])
def test_a_video_of_no_promised_length_is_whole_where_its_boxes_are(web: Web, left_out: int) -> None:
    with video_server(VideoServer(content=MP4[: len(MP4) - left_out], promises=False, etag=None)) as server:
        fetching = Fetching(web)
        if left_out:
            fetching.fails(server, f"breaks off after {len(MP4) - left_out} bytes")
        else:
            verify(fetching.sink, fetching.of(server), MP4)


def test_a_video_of_no_promised_length_is_whole_where_the_server_says_that_there_is_no_more(web: Web) -> None:
    with video_server(VideoServer(content=MP4[:-1], promises=False)) as server:
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), MP4[:-1])
        assert server.asked("range") == [None, f"bytes={len(MP4) - 1}-"]


@pytest.mark.parametrize("page", [b"<html>Sorry</html>", b"", b"\x00\x00\x00", b"\x00\x00\x00\x18moovmp42"], ids=repr)
def test_what_is_no_mp4_is_not_even_begun(web: Web, page: bytes) -> None:
    with video_server(VideoServer(content=page)) as server:
        fetching = Fetching(web)
        fetching.fails(server, r"not an MP4 \(an error page\?\)")
        assert fetching.sink.begun == 0


def test_a_shape_that_comes_in_single_bytes_is_known(web: Web) -> None:
    with video_server(VideoServer(headers={"Transfer-Encoding": "chunked"}, promises=False)) as server:
        server.content = b"".join(b"1\r\n" + MP4[at : at + 1] + b"\r\n" for at in range(len(MP4))) + b"0\r\n\r\n"
        fetching = Fetching(web)
        verify(fetching.sink, fetching.of(server), MP4)


def test_an_encoded_video_is_refused(web: Web) -> None:
    with video_server(VideoServer(headers={"Content-Encoding": "gzip"})) as server:
        fetching = Fetching(web)
        fetching.fails(server, "encoded")
        assert fetching.sink.begun == 0
        assert server.asked("accept-encoding") == ["identity"]


@pytest.mark.parametrize("promises", [True, False], ids=["promised", "not promised"])
def test_a_video_that_is_too_large_is_refused(web: Web, promises: bool) -> None:
    with video_server(VideoServer(promises=promises)) as server:
        fetching = Fetching(web, largest=len(MP4) - 1)
        fetching.fails(server, f"larger than the {len(MP4) - 1} bytes")
        assert fetching.sink.begun == (0 if promises else 1)
        assert fetching.sink.content == b""
        exact = Fetching(web, largest=len(MP4))
        verify(exact.sink, exact.of(server), MP4)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_dead_url_is_replaced_by_a_fresh_one(web: Web, status: int) -> None:
    with video_server(VideoServer(statuses=[status, status])) as server:
        fetching = Fetching(web, fresh=[server.url, server.url])
        verify(fetching.sink, fetching.of(server), MP4)
        assert fetching.asked == 2


def test_a_url_that_dies_half_way_is_gone_on_with_by_a_fresh_one(web: Web) -> None:
    with video_server(VideoServer(cuts=[160], statuses=[0, 403])) as server, video_server() as other:
        fetching = Fetching(web, fresh=[other.url])
        verify(fetching.sink, fetching.of(server), MP4)
        assert fetching.sink.begun == 1
        assert other.asked("if-range") == ['"v1"']
        assert server.body_bytes + other.body_bytes == len(MP4)


def test_a_fresh_url_of_another_video_is_begun_anew(web: Web) -> None:
    dying = VideoServer(cuts=[160], statuses=[0, 410])
    with video_server(dying) as server, video_server(VideoServer(OTHER, etag='"o"')) as other:
        fetching = Fetching(web, fresh=[other.url])
        verify(fetching.sink, fetching.of(server), OTHER)


def test_a_url_that_is_dead_for_good_is_told(web: Web) -> None:
    with video_server(VideoServer(statuses=[403, 404, 410, 410])) as server:
        fetching = Fetching(web, fresh=[server.url] * 9)
        fetching.fails(server, r"has died: it answered 403, a fresh one 404, a fresh one 410$")
        assert fetching.asked == 2
        assert len(server.requests) == 3
    with video_server(VideoServer(statuses=[403])) as server:
        Fetching(web).fails(server, "it answered 403; the vendor gives no other")


def test_the_log_tells_how_far_it_is_and_no_signature(
    web: Web, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_REPORT_EVERY", 0.0)
    caplog.set_level(logging.DEBUG)
    with video_server(VideoServer(cuts=[160], statuses=[403])) as server:
        Fetching(web, fresh=[server.url]).of(server)
    assert re.search(r"Fetching the video: \d+% of 200 bytes, \d+\.\d MB/s", caplog.text)
    assert "secret" not in caplog.text


def test_the_log_is_quiet_where_all_goes_fast(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with video_server() as server:
        Fetching(web).of(server)
    assert caplog.text == ""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_there_is_never_a_mixture(web: Web, data: st.DataObject) -> None:
    """Whatever is cut, and whenever the video changes: what comes out is one of its versions, whole, or an error."""
    versions = [boxed(data.draw(st.integers(100, 300)), bytes([65 + number])) for number in range(4)]
    cuts = data.draw(st.lists(st.none() | st.integers(-120, 300), max_size=12))
    flags = {name: data.draw(st.booleans()) for name in ("knows_ranges", "obeys_if_range", "promises")}
    changes = data.draw(st.lists(st.booleans(), min_size=20, max_size=20))
    with video_server(VideoServer(versions[0], cuts=cuts, **flags)) as server:
        current = 0

        def change(number: int) -> None:
            nonlocal current
            current += number < len(changes) and changes[number] and current < 3
            server.content, server.etag = versions[current], f'"v{current}"'

        server.on_request = change
        fetching = Fetching(web)
        try:
            stored = fetching.of(server)
        except LipsyncTransferFailed:
            return
    assert fetching.sink.content in versions
    verify(fetching.sink, stored, fetching.sink.content)
