"""A GET for URLs of strangers: where it goes, where it does not, and what it says of it."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_lipsync.media import web as web_module
from airflow_provider_lipsync.media.addresses import is_public, literal_address
from airflow_provider_lipsync.media.web import AddressRefused, RedirectRefused, Web
from tests.media.video_server import MP4, VideoServer, open_web, video_server
from tests.support.scripted import answer, drop, scripted


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def open_to_all() -> Iterator[Web]:
    with open_web() as web:
        yield web


@pytest.fixture
def closed() -> Iterator[Web]:
    with Web(may_be_private=lambda: False) as web:
        yield web
    gc.collect()  # a socket that was left open would warn now


def body_of(web: Web, url: str) -> bytes:
    with web.get(url) as reply:
        return reply.read()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        pytest.param("8.8.8.8", True, id="public"),
        pytest.param("2606:4700::1111", True, id="public v6"),
        pytest.param("::ffff:8.8.8.8", True, id="public mapped"),
        pytest.param("64:ff9b::808:808", True, id="public behind NAT64"),
        pytest.param("127.0.0.1", False, id="loopback"),
        pytest.param("127.8.8.8", False, id="loopback net"),
        pytest.param("::1", False, id="loopback v6"),
        pytest.param("10.1.2.3", False, id="10/8"),
        pytest.param("172.31.0.1", False, id="172.16/12"),
        pytest.param("192.168.0.1", False, id="192.168/16"),
        pytest.param("169.254.169.254", False, id="a cloud's metadata"),
        pytest.param("fe80::1", False, id="link-local v6"),
        pytest.param("fe80::1%eth0", False, id="link-local v6 with scope"),
        pytest.param("fd00:ec2::254", False, id="unique local v6"),
        pytest.param("fec0::1", False, id="site-local v6"),
        pytest.param("100.64.0.1", False, id="CGNAT"),
        pytest.param("224.0.0.1", False, id="multicast"),
        pytest.param("ff0e::1", False, id="multicast v6"),
        pytest.param("0.0.0.0", False, id="unspecified"),
        pytest.param("::", False, id="unspecified v6"),
        pytest.param("240.0.0.1", False, id="reserved"),
        pytest.param("255.255.255.255", False, id="broadcast"),
        pytest.param("::ffff:127.0.0.1", False, id="loopback mapped"),
        pytest.param("::ffff:10.0.0.1", False, id="private mapped"),
        pytest.param("::7f00:1", False, id="loopback compatible"),
        pytest.param("2002:7f00:1::", False, id="loopback in 6to4"),
        pytest.param("2002:c0a8:1::", False, id="private in 6to4"),
        pytest.param("64:ff9b::7f00:1", False, id="loopback behind NAT64"),
        pytest.param("64:ff9b::a9fe:a9fe", False, id="metadata behind NAT64"),
        pytest.param("64:ff9b:1::808:808", False, id="a private NAT64"),
    ],
)
def test_an_address_is_of_the_public_internet_or_not(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("LocalHost", "127.0.0.1"),
        ("a.localhost.", "127.0.0.1"),
        ("example.com", None),
        ("1.example.com", None),
    ],
)
def test_an_address_in_a_url_is_known_in_all_its_forms(host: str, address: str | None) -> None:
    assert literal_address(host) == address


def test_a_private_peer_is_refused_before_it_hears_a_word(closed: Web) -> None:
    with scripted(answer(200, "a secret of the house")) as server:
        with pytest.raises(AddressRefused, match=r"leads to 127\.0\.0\.1, which is not of the public") as caught:
            body_of(closed, f"{server.url}?sig=secret")
        assert server.requests == []
    assert "secret" not in str(caught.value)


def test_a_name_that_leads_to_a_private_address_is_refused(closed: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "videos.example.com" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with scripted(answer(200, "a secret of the house")) as server:
        with pytest.raises(AddressRefused, match=r"videos\.example\.com\S* leads to 127\.0\.0\.1"):
            body_of(closed, server.url.replace("127.0.0.1", "videos.example.com"))
        assert server.requests == []


def test_a_redirect_to_a_private_address_is_refused(closed: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_module, "is_public", lambda address: address == "127.0.0.1")
    with scripted(answer(200, "a secret of the house")) as house:
        inside = house.url.replace("127.0.0.1", "127.0.0.2")
        with socket.create_server(("127.0.0.2", int(house.url.split(":")[2].split("/")[0]))) as listener:
            with (
                scripted(answer(302, headers={"Location": inside})) as server,
                pytest.raises(AddressRefused, match=r"leads to 127\.0\.0\.2"),
            ):
                body_of(closed, server.url)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                assert connection.recv(1) == b"", "it was hung up on without a word"


def test_whether_private_addresses_are_allowed_is_asked_once_and_only_if_one_is_met(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[None] = []

    def may() -> bool:
        asked.append(None)
        return True

    with scripted(answer(200, "x")) as server, Web(may_be_private=may) as web:
        monkeypatch.setattr(web_module, "is_public", lambda address: True)
        body_of(web, server.url)
        assert asked == []
        monkeypatch.undo()
        assert [body_of(web, server.url) for _ in range(3)] == [b"x"] * 3
        assert asked == [None]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/v.mp4",
        "example.com/v.mp4",
        "",
        "http://",
        "http://h:port/",
        "/v?a=secret",
    ],
)
def test_what_is_no_http_url_is_refused(closed: Web, url: str) -> None:
    with pytest.raises(AddressRefused, match="is no") as caught:
        body_of(closed, url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_with_all_headers_but_no_credentials(open_to_all: Web, status: int) -> None:
    with video_server() as target:
        moved = answer(status, headers={"Location": target.url, "Set-Cookie": "who=you"})
        with scripted(moved) as server:
            url = server.url.replace("http://", "http://user:word@")
            with open_to_all.get(url, headers={"Range": "bytes=9-"}) as reply:
                assert reply.read() == MP4[9:]
            assert b"authorization" not in server.requests[0].lower()
        assert target.asked("range") == ["bytes=9-"]
        assert target.asked("cookie") == [None]
        assert target.asked("authorization") == [None]


def redirects(*locations: str) -> Any:
    return scripted(*[answer(302, headers={"Location": location}) for location in locations], answer(200, "there"))


def test_five_redirects_are_followed_and_no_sixth(open_to_all: Web) -> None:
    with redirects(*[f"/{number}" for number in range(5)]) as server:
        assert body_of(open_to_all, server.url) == b"there"
    with (
        redirects(*[f"/{number}?sig=secret" for number in range(6)]) as server,
        pytest.raises(RedirectRefused, match="more than 5 times") as caught,
    ):
        body_of(open_to_all, f"{server.url}?sig=secret")
    assert "secret" not in str(caught.value)


def test_a_circle_is_left_at_once(open_to_all: Web) -> None:
    with redirects("/a", "/b", "/a") as server:
        with pytest.raises(RedirectRefused, match="in a circle"):
            body_of(open_to_all, server.url)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://example.com/?sig=secret", "data:video/mp4,x", "http://h:port/"]
)
def test_a_redirect_to_no_http_url_is_refused(open_to_all: Web, location: str) -> None:
    with redirects(location) as server, pytest.raises(RedirectRefused, match="which is no http") as caught:
        body_of(open_to_all, f"{server.url}?sig=secret")
    assert "secret" not in str(caught.value)


def test_a_redirect_without_a_target_is_an_answer(open_to_all: Web) -> None:
    with scripted(answer(302)) as server, open_to_all.get(server.url) as reply:
        assert reply.status_code == 302


def test_a_signed_url_arrives_as_it_was_written(open_to_all: Web) -> None:
    query = "X-Amz-Credential=A%2F2026%2Fs3&X-Amz-Signature=ab%3D+c/d~e=&x=%7E%2f"
    with scripted(answer(200)) as server:
        body_of(open_to_all, f"{server.url}/a%20b%2Fc(1).mp4?{query}#part")
        assert server.requests[0].startswith(f"GET /api/v1/a%20b%2Fc(1).mp4?{query} HTTP/1.1\r\n".encode())


def test_no_log_has_a_query(open_to_all: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with redirects("/there?sig=secret") as server:
        body_of(open_to_all, f"{server.url}?sig=secret")
    assert "receive_response_headers" in caplog.text, "httpcore did log"
    assert "secret" not in caplog.text


def test_what_httpcore_logs_for_others_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    before = [logging.getLogger(name).filters[:] for name in ("httpcore.http11", "httpcore.proxy")]
    with open_web():
        pass
    assert [logging.getLogger(name).filters for name in ("httpcore.http11", "httpcore.proxy")] == before


def test_a_connection_that_breaks_is_httpxs_error(open_to_all: Web) -> None:
    with scripted(drop) as server, pytest.raises(httpx.TransportError):
        body_of(open_to_all, server.url)


def test_a_proxy_of_the_environment_is_used_and_not_refused(closed: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer(200, "through the proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/api/v1"))
        assert body_of(closed, "http://videos.example.com/v.mp4") == b"through the proxy"
        assert proxy.requests[0].startswith(b"GET http://videos.example.com/v.mp4 ")
        for host in ("10.0.0.1", "[fd00::1]", "2130706433", "169.254.169.254"):
            with pytest.raises(AddressRefused):
                body_of(closed, f"http://{host}/v.mp4")
        assert len(proxy.requests) == 1


def test_a_host_that_needs_no_proxy_is_judged_by_its_peer(closed: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer(200, "x")) as proxy, scripted(answer(200, "y")) as server:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/api/v1"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(AddressRefused):
            body_of(closed, server.url)
        assert proxy.requests == server.requests == []


def test_a_large_answer_comes_in_large_pieces(open_to_all: Web) -> None:
    """More than httpcore's 64 KB at once: half of the processor's time hangs on it."""
    content = bytes(8 * 1024 * 1024)
    with video_server(VideoServer(content)) as server, open_to_all.get(server.url) as reply:
        pieces = [len(piece) for piece in reply.iter_raw()]
    assert sum(pieces) == len(content)
    assert max(pieces) > 64 * 1024
