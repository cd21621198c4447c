"""From media as users name them to URLs that work, over real sockets; and all that is refused before money is spent."""

from __future__ import annotations

import logging
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError, LipsyncMediaUnavailable, LipsyncTooLarge
from airflow_provider_lipsync.media.publishing import Publisher, public_url
from airflow_provider_lipsync.media.staging import Staging
from airflow_provider_lipsync.media.web import Web
from tests.media.publishing_support import Store, encoded, memory_storage, sample, store
from tests.support.named import source_of
from tests.support.objectstore import BUCKET, aws_connection
from tests.support.scripted import ScriptedServer, Step, answer, drop, scripted

log = logging.getLogger("task")
VOICE, PORTRAIT = "voice.wav", "portrait.png"


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with store() as served:
        yield served


@contextmanager
def publisher(*, private: bool = True, **changes: Any) -> Iterator[Publisher]:
    with Web(may_be_private=lambda: private) as web:
        values: dict[str, Any] = {"staging": None, "public_url_base": {}, "lifetime": 3600.0, "largest": 10**8}
        yield Publisher(**(values | changes), web=web, log=log)


def publish(values: dict[str, object], **changes: Any) -> dict[str, str]:
    sources = {field: source_of(field, value, required=True) for field, value in values.items()}
    with publisher(**changes) as made:
        return made.publish({field: source for field, source in sources.items() if source is not None})


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as reply:
        content: bytes = reply.read()
    return content


Told = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """What the task's log holds: level and text."""
    caplog.set_level(logging.INFO)
    return lambda: [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "task"]


def warnings(told: Told) -> list[str]:
    return [text for level, text in told() if level == "WARNING"]


# Objects


def test_an_object_becomes_a_url_that_gives_its_bytes(s3: Store, told: Told) -> None:
    urls = publish({"audio": s3.put(sample(VOICE)), "image": s3.put(sample(PORTRAIT), name="ä b+c?.png")})
    assert fetched(urls["audio"]) == sample(VOICE)
    assert fetched(urls["image"]) == sample(PORTRAIT)
    assert "X-Amz-Signature" in urls["audio"]
    assert warnings(told) == []


@contextmanager
def storage(patch: pytest.MonkeyPatch, name: str, *steps: Step) -> Iterator[ScriptedServer]:
    """An S3 that answers as it is told: to the HEAD, to the read of the first bytes, to the trial of the URL."""
    with scripted(*steps) as server:
        patch.setenv(f"AIRFLOW_CONN_{name.upper()}", aws_connection(server.url.removesuffix("/api/v1")))
        yield server


HEAD_OF_VOICE = answer(200, length=len(sample(VOICE)), headers={"ETag": '"abc"'})
READ_OF_VOICE = answer(206, sample(VOICE)[:4096])


@pytest.mark.parametrize(
    ("trial", "kind", "words"),
    [
        pytest.param(answer(403, "<Error/>"), LipsyncBadInput, "answered 403 .*s3:GetObject", id="403"),
        pytest.param(answer(400, "<Error/>"), LipsyncBadInput, "answered 400 .* the region", id="400"),
        pytest.param(answer(404), LipsyncBadInput, "answered 404", id="404"),
        pytest.param(answer(503), LipsyncMediaUnavailable, "answered 503", id="503"),
        pytest.param(answer(429), LipsyncMediaUnavailable, "answered 429", id="429"),
        pytest.param(answer(200, sample(PORTRAIT)), LipsyncBadInput, "gives other bytes", id="another content"),
        pytest.param(answer(200, b""), LipsyncBadInput, "gives other bytes", id="nothing"),
    ],
)
def test_a_presigned_url_that_the_storage_refuses_is_told(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, trial: Step, kind: type[LipsyncError], words: str
) -> None:
    name = f"aws_trial_{request.node.callspec.id.replace(' ', '_')}"
    with (
        storage(monkeypatch, name, HEAD_OF_VOICE, READ_OF_VOICE, trial) as server,
        pytest.raises(kind, match=f"audio: .*{words}") as caught,
    ):
        publish({"audio": f"s3://{name}@bucket/voice.wav"})
    assert type(caught.value) is kind
    assert [one.split()[0] for one in server.requests] == [b"HEAD", b"GET", b"GET"]
    assert b"range: bytes=0-4095" in server.requests[-1].lower()
    assert "X-Amz" not in repr(caught.value) + str(caught.value)


def test_a_presigned_url_that_cannot_be_tried_from_here_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    with storage(monkeypatch, "aws_drops", HEAD_OF_VOICE, READ_OF_VOICE, drop):
        urls = publish({"audio": "s3://aws_drops@bucket/voice.wav"})
    assert "X-Amz-Signature" in urls["audio"]
    (warning,) = warnings(told)
    assert "could not be tried from here" in warning
    assert "X-Amz" not in warning


def test_a_presigned_url_of_a_private_address_is_refused(s3: Store) -> None:
    with pytest.raises(LipsyncBadInput, match=r"names 127\.0\.0\.1, which the vendor cannot reach.*public_url_base"):
        publish({"audio": s3.put(sample(VOICE))}, private=False)


def test_a_presigned_url_of_a_private_address_gives_way_to_a_public_one(s3: Store) -> None:
    with scripted(answer(200, sample(VOICE))) as cdn:
        base = {f"s3://{BUCKET}/": cdn.url}
        uri = s3.put(sample(VOICE))
        urls = publish({"audio": uri}, private=False, public_url_base=base)
        assert urls["audio"] == f"{cdn.url}/{uri.partition(f'{BUCKET}/')[2]}"


def test_a_name_that_is_private_here_alone_is_warned_of(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    """Workers often reach their storage by an endpoint of their own network, under the public name."""
    ask = socket.getaddrinfo

    def of_a_private_network(host: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return ask("127.0.0.1" if name == "storage.example" else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", of_a_private_network)
    with storage(monkeypatch, "aws_split", HEAD_OF_VOICE, READ_OF_VOICE) as server:
        url = f"http://storage.example:{urlsplit(server.url).port}"
        monkeypatch.setenv("AIRFLOW_CONN_AWS_SPLIT", aws_connection(url))
        urls = publish({"audio": "s3://aws_split@bucket/voice.wav"}, private=False)
    assert urlsplit(urls["audio"]).hostname is not None
    assert "storage.example" in urls["audio"]
    assert "could not be tried from here" in warnings(told)[0]


# Local files


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    path = tmp_path / "Grüße an alle.wav"
    path.write_bytes(sample(VOICE))
    return path


def test_a_local_file_becomes_a_url_that_dies_with_its_copy(s3: Store, voice: Path) -> None:
    staging = Staging(f"s3://{s3.conn_id}@{BUCKET}/staging", "show/one", log=log)
    urls = publish({"audio": str(voice)}, staging=staging)
    assert fetched(urls["audio"]) == sample(VOICE)
    staging.clear()
    assert s3.keys("staging/show/one") == []


def test_a_local_file_without_a_place_to_copy_it_to_is_refused(voice: Path) -> None:
    with pytest.raises(LipsyncBadInput, match=r"audio: .*the connection has no staging_path"):
        publish({"audio": voice})


def test_a_local_file_may_go_through_a_folder_that_a_web_server_serves(voice: Path, tmp_path: Path) -> None:
    with scripted(answer(200, sample(VOICE))) as cdn:
        staging = Staging(f"file://{tmp_path}/www", "show/one", log=log)
        urls = publish({"audio": voice}, staging=staging, public_url_base={f"file://{tmp_path}/www": cdn.url})
        served = urls["audio"].removeprefix(cdn.url)
        assert (tmp_path / f"www{served}").read_bytes() == sample(VOICE)


def test_where_one_medium_fails_no_copy_of_another_stays(s3: Store, voice: Path) -> None:
    memory_storage().pipe_file("/folder/portrait.png", sample(PORTRAIT))
    staging = Staging(f"s3://{s3.conn_id}@{BUCKET}/staging", "show/failed", log=log)
    with pytest.raises(LipsyncBadInput, match=r"image: .*cannot sign"):
        publish({"audio": voice, "image": "memory://folder/portrait.png"}, staging=staging)
    assert s3.keys("staging/show/failed") == []


def test_nothing_is_copied_before_all_media_were_checked(s3: Store, voice: Path, told: Told) -> None:
    staging = Staging(f"s3://{s3.conn_id}@{BUCKET}/staging", "show/early", log=log)
    with pytest.raises(LipsyncBadInput, match=r"image: .*does not exist"):
        publish({"audio": voice, "image": f"s3://{s3.conn_id}@{BUCKET}/no/such.png"}, staging=staging)
    assert not any("was copied" in text for _, text in told())


# Storages that cannot sign


def test_a_storage_that_cannot_sign_needs_a_public_base() -> None:
    memory_storage().pipe_file("/folder/a.wav", sample(VOICE))
    with pytest.raises(LipsyncBadInput, match=r"cannot sign a URL .*public_url_base") as caught:
        publish({"audio": "memory://folder/a.wav"})
    assert '{"s3://bucket/": "https://cdn.example.com/"}' in caught.value.message


def test_a_storage_that_cannot_sign_goes_by_its_public_base() -> None:
    memory_storage().pipe_file("/folder/ä b.wav", sample(VOICE))
    with scripted(answer(200, sample(VOICE))) as cdn:
        urls = publish({"audio": "memory://folder/ä b.wav"}, public_url_base={"memory://folder/": cdn.url})
        assert urls["audio"] == f"{cdn.url}/%C3%A4%20b.wav"
        assert len(cdn.requests) == 1


def test_a_public_base_that_leads_elsewhere_is_seen() -> None:
    memory_storage().pipe_file("/folder/a.wav", sample(VOICE))
    with scripted(answer(200, sample(PORTRAIT))) as cdn, pytest.raises(LipsyncBadInput, match="is a PNG picture"):
        publish({"audio": "memory://folder/a.wav"}, public_url_base={"memory://folder/": cdn.url})


@pytest.mark.parametrize(
    ("where", "url"),
    [
        pytest.param("s3://bucket/a/b c.mp3", "https://cdn/a/b%20c.mp3", id="encoded"),
        pytest.param("s3://bucket/ä?#%.mp3", "https://cdn/%C3%A4%3F%23%25.mp3", id="marks of a URL"),
        pytest.param("s3://bucket/deep/er/a.mp3", "https://deep/er/a.mp3", id="the longest that fits"),
        pytest.param("s3://bucket-2/a.mp3", None, id="another bucket"),
        pytest.param("s3://named/a.mp3", "https://named/x/a.mp3", id="a base with a connection id"),
        pytest.param("gs://bucket/a.mp3", None, id="another storage"),
        pytest.param("file:///srv/www/a.mp3", "https://disk/a.mp3", id="a disk"),
        pytest.param("file:///srv/www2/a.mp3", None, id="a folder beside"),
    ],
)
def test_the_public_url_of_a_place(where: str, url: str | None) -> None:
    bases = {
        "s3://bucket": "https://cdn",
        "s3://bucket/deep/": "https://deep/",
        "s3://conn@named/": "https://named/x",
        "file:///srv/www": "https://disk/",
    }
    assert public_url(where, bases) == url


# What is refused


@pytest.mark.parametrize("kind", ["object", "file"])
@pytest.mark.parametrize(
    ("field", "content", "error", "words"),
    [
        pytest.param("audio", b"", LipsyncBadInput, "is empty", id="empty"),
        pytest.param(
            "audio", sample(PORTRAIT), LipsyncBadInput, "audio is required, .* is a PNG picture", id="picture"
        ),
        pytest.param("image", sample(VOICE), LipsyncBadInput, "image is required, .* is WAV audio", id="sound"),
        pytest.param("mask_image", encoded("mp4"), LipsyncBadInput, "image is required, .* is MP4", id="video"),
        pytest.param("video", encoded("gif"), LipsyncBadInput, "video is required, .* is a GIF", id="gif"),
        pytest.param("video", b"<!DOCTYPE html><p>404", LipsyncBadInput, "is an HTML page", id="page"),
        pytest.param("left_audio", b"hello, world", LipsyncBadInput, "is a text", id="text"),
        pytest.param("right_audio", sample(VOICE) + bytes(10**6), LipsyncTooLarge, "at most 1000000", id="large"),
    ],
)
def test_what_does_not_fit_its_field_is_refused(
    s3: Store, tmp_path: Path, kind: str, field: str, content: bytes, error: type[LipsyncError], words: str
) -> None:
    path = tmp_path / "file.mp3"
    path.write_bytes(content)
    value = s3.put(content) if kind == "object" else str(path)
    staging = Staging(f"s3://{s3.conn_id}@{BUCKET}/staging", "show/refused", log=log)
    with pytest.raises(error, match=f"{field}: .*{words}") as caught:
        publish({field: value}, largest=1_000_000, staging=staging)
    assert type(caught.value) is error
    assert caught.value.charged == "no"
    assert s3.keys("staging/show/refused") == []


@pytest.mark.parametrize(
    ("field", "name"), [("audio", "mp4 of sound"), ("audio", "webm"), ("video", "mov"), ("image", "webp")]
)
def test_what_fits_its_field_goes(s3: Store, field: str, name: str) -> None:
    assert fetched(publish({field: s3.put(encoded(name))})[field]) == encoded(name)


def test_what_is_not_known_goes_and_is_told(s3: Store, told: Told) -> None:
    publish({"audio": s3.put(b"\x00\x01\x02\x03" * 500)})
    assert any("of a format that is not known here; it is sent as it is" in text for _, text in told())


# URLs of the user's


def url_of(server: ScriptedServer) -> str:
    return server.url + "/file?X-Amz-Signature=secret"


def test_a_url_goes_as_it_is(told: Told) -> None:
    with scripted(answer(206, sample(VOICE)[:4096], headers={"Content-Range": "bytes 0-4095/9"})) as server:
        assert publish({"audio": url_of(server)}) == {"audio": url_of(server)}
        assert b"range: bytes=0-4095" in server.requests[0].lower()
    assert told() == []


@pytest.mark.parametrize(
    ("step", "words"),
    [
        pytest.param(answer(404), "answered 404", id="404"),
        pytest.param(answer(403), "answered 403", id="403"),
        pytest.param(answer(500), "answered 500", id="500"),
        pytest.param(answer(416), "answered 416", id="416"),
        pytest.param(drop, "Server disconnected", id="hangs up"),
        pytest.param(answer(302, headers={"Location": "file:///etc/passwd"}), "RedirectRefused", id="redirect"),
        pytest.param(answer(200, "<html>log in"), "gives an HTML page here, where audio is required", id="page"),
        pytest.param(answer(200, '{"a": "b"}'), "gives JSON here", id="json"),
    ],
)
def test_what_may_be_wrong_with_a_url_is_warned_of(told: Told, step: Step, words: str) -> None:
    with scripted(step) as server:
        assert publish({"audio": url_of(server)}, largest=5000) == {"audio": url_of(server)}
    (warning,) = warnings(told)
    assert words in warning
    assert "audio: " in warning
    assert "secret" not in warning


def test_a_url_that_gives_too_much_is_refused() -> None:
    with scripted(answer(200, sample(VOICE))) as server, pytest.raises(LipsyncTooLarge, match="bytes, more than 5000"):
        publish({"audio": url_of(server)}, largest=5000)


def test_a_url_of_a_private_address_is_warned_of(told: Told) -> None:
    with scripted(answer(200, sample(VOICE))) as server:
        assert publish({"audio": url_of(server)}, private=False) == {"audio": url_of(server)}
        assert server.requests == []
    assert "The vendor's server must reach it" in warnings(told)[0]


def test_a_url_that_nobody_serves_is_warned_of(told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a.mp3"
    assert publish({"audio": url}) == {"audio": url}
    assert "was not reached from here (ConnectError" in warnings(told)[0]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        pytest.param(answer(200, sample(PORTRAIT)), "is a PNG picture", id="picture"),
        pytest.param(answer(200, b""), "gives an empty file", id="empty"),
        pytest.param(answer(416, headers={"Content-Range": "bytes */0"}), "gives an empty file", id="empty, by range"),
    ],
)
def test_what_is_surely_wrong_with_a_url_is_refused(step: Step, words: str) -> None:
    with scripted(step) as server, pytest.raises(LipsyncBadInput, match=f"audio: .*{words}") as caught:
        publish({"audio": url_of(server)})
    assert "secret" not in str(caught.value)


def test_no_more_than_the_first_bytes_of_a_url_are_read() -> None:
    sent = []

    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        chunk = sample(VOICE)[:65536].ljust(65536, b"\0")
        for _ in range(1000):
            connection.sendall(chunk)  # fails once nobody reads any more
            sent.append(len(chunk))

    with scripted(pour) as server:
        publish({"audio": url_of(server)}, largest=10**9)
    assert sum(sent) < 20_000_000  # what two sockets hold; 65 MB were offered


def test_a_look_that_takes_too_long_is_given_up(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_lipsync.media.publish_trial._LONGEST", 0.2)
    over = threading.Event()
    with scripted(lambda _: over.wait(10)) as server:
        assert publish({"audio": url_of(server)}) == {"audio": url_of(server)}
        over.set()
    assert "it took longer than 0.2 s" in warnings(told)[0]


def test_what_comes_compressed_is_not_judged(told: Told) -> None:
    with scripted(answer(200, b"\x1f\x8b\x08" + bytes(99), headers={"Content-Encoding": "gzip"})) as server:
        publish({"audio": url_of(server)})
    assert warnings(told) == []


# Secrets


def test_no_signature_is_logged_or_shown(s3: Store, voice: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    staging = Staging(f"s3://{s3.conn_id}@{BUCKET}/staging", "show/secret", log=log)
    urls = publish({"audio": voice, "image": s3.put(sample(PORTRAIT))}, staging=staging)
    theirs = ("werkzeug",)  # the storage's own server
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name not in theirs)
    for url in urls.values():
        signature = url.partition("X-Amz-Signature=")[2]
        assert signature
        assert signature not in ours
    assert "X-Amz-" not in ours
    assert s3.conn_id not in "\n".join(one.getMessage() for one in caplog.records if one.name == "task")
