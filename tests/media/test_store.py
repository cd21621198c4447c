"""The store: under the final name there is the whole video or what stood there, on S3 (moto, real HTTP) and a disk."""

from __future__ import annotations

import errno
import gc
import hashlib
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import fsspec
import pytest

from airflow_provider_lipsync.exceptions import LipsyncOutputExists, LipsyncTransferFailed
from airflow_provider_lipsync.media import whole
from airflow_provider_lipsync.media.sinks import PART
from airflow_provider_lipsync.media.store import StoredVideo, hash_of, measure_video, store_video
from airflow_provider_lipsync.media.web import Web
from tests.media.video_server import MP4, VideoServer, boxed, open_web, video_server
from tests.support.objectstore import BUCKET, aws_connection, objectstore
from tests.support.places import Folder, Place

log = logging.getLogger(__name__)
LARGE = boxed(2 * PART + 12345)  # three parts of a multipart upload
OLD = b"what stood there"


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, Any]]:
    with objectstore() as served:
        yield served


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with open_web() as opened:
        yield opened


class Stored(Place):
    """A place of this module's own server."""

    conn_id = "aws_stored"


@pytest.fixture
def on_s3(s3: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_STORED", aws_connection(s3[0]))
    return Stored(s3[1], tmp_path)


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    return Folder(None, tmp_path)


@pytest.fixture(params=["on_s3", "on_disk"])
def place(request: pytest.FixtureRequest) -> Place:
    made: Place = request.getfixturevalue(request.param)
    return made


@pytest.fixture(params=[OLD, None], ids=["something stood there", "nothing stood there"])
def stood(request: pytest.FixtureRequest, place: Place) -> bytes | None:
    if request.param:
        place.put(request.param)
    return request.param  # type: ignore[no-any-return]


def store(server: VideoServer, path: Any, web: Web, **changes: Any) -> StoredVideo:
    given: dict[str, Any] = {"job_id": "job-1", "web": web, "fresh_url": lambda: None, "largest": 10**9, "log": log}
    return store_video(server.url, path, **(given | {"sleep": lambda seconds: None} | changes))


@contextmanager
def failing(words: str) -> Iterator[None]:
    with pytest.raises(LipsyncTransferFailed, match=words) as caught:
        yield
    told = str(caught.value)
    assert told.startswith("job job-1 · charged: yes · video: at the vendor")
    assert "secret" not in told
    assert "aws_stored" not in told


def verify_untouched(place: Place, stood: bytes | None) -> None:
    gc.collect()  # files that are collected must not commit what they hold
    assert place.content() == stood
    assert place.leftovers() == []


@pytest.mark.parametrize("content", [MP4, LARGE, boxed(PART)], ids=["small", "several parts", "exactly a part"])
def test_a_video_takes_the_place_of_whatever_stands_there(
    place: Place, stood: bytes | None, web: Web, content: bytes
) -> None:
    with video_server(VideoServer(content)) as server:
        stored = store(server, place.opened, web)
        measured = measure_video(server.url, job_id="job-1", web=web, fresh_url=lambda: None, largest=10**9, log=log)
    assert place.content() == content
    assert place.leftovers() == []
    assert stored == StoredVideo(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    assert stored == measured == hash_of(place.opened)


CUTS = [-9, 0, 7, 8, 9, 5 * 2**20, PART - 1, PART, PART + 1, 2 * PART, len(LARGE) - 1]


@pytest.mark.parametrize("cut", CUTS)
def test_a_download_that_is_cut_is_gone_on_with(place: Place, web: Web, cut: int) -> None:
    with video_server(VideoServer(LARGE, cuts=[cut])) as server:
        store(server, place.opened, web)
        assert server.body_bytes == len(LARGE) + (cut if 0 < cut < 8 else 0)
    assert place.content() == LARGE
    assert place.leftovers() == []


@pytest.mark.parametrize("cut", [9, PART + 1, len(LARGE) - 1])
def test_a_download_that_is_begun_anew_leaves_nothing_of_the_first(place: Place, web: Web, cut: int) -> None:
    with video_server(VideoServer(LARGE, cuts=[cut], knows_ranges=False)) as server:
        store(server, place.opened, web)
    assert place.content() == LARGE
    assert place.leftovers() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"cuts": [PART + 5] * 99, "etag": None}, "broke off again and again", id="cut for ever"),
        pytest.param({"promised": len(LARGE) + 1}, "broke off again and again", id="a length that is a lie"),
        pytest.param({"cuts": [PART + 5], "statuses": [0, 404]}, "has died", id="the URL dies"),
        pytest.param({"content": b"<html>Sorry"}, "not an MP4", id="an error page"),
    ],
)
def test_half_a_video_never_stands_under_the_final_name(
    place: Place, stood: bytes | None, web: Web, changes: dict[str, Any], words: str
) -> None:
    with video_server(VideoServer(**({"content": LARGE} | changes))) as server, failing(words):
        store(server, place.opened, web)
    verify_untouched(place, stood)


def test_before_it_takes_its_place_the_last_byte_was_checked(place: Place, stood: bytes | None, web: Web) -> None:
    seen: list[bytes | None] = []
    for content in (MP4, LARGE):
        with video_server(VideoServer(content)) as server:
            store(server, place.opened, web, before_commit=lambda _: seen.append(place.content()))
    assert seen == [stood, MP4]
    assert place.content() == LARGE
    with video_server(VideoServer(promised=999)) as server, failing("broke off"):
        store(server, place.opened, web, before_commit=lambda _: seen.append(b"called"))
    assert len(seen) == 2


@pytest.mark.parametrize("content", [MP4, LARGE], ids=["small", "several parts"])
@pytest.mark.parametrize("error", [LipsyncOutputExists("another"), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
def test_what_stops_it_at_the_last_moment_leaves_everything_as_it_was(
    place: Place, stood: bytes | None, web: Web, content: bytes, error: BaseException
) -> None:
    def stop(_: StoredVideo) -> None:
        raise error

    with video_server(VideoServer(content)) as server, pytest.raises(type(error)) as caught:
        store(server, place.opened, web, before_commit=stop)
    assert caught.value is error
    del caught
    verify_untouched(place, stood)


class Alarm(BaseException):
    """As Airflow's execution_timeout raises it: anywhere, from a signal."""


@pytest.fixture
def alarm() -> Iterator[Callable[[], None]]:
    def ring(*_: Any) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda: os.kill(os.getpid(), signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


def test_an_alarm_in_the_middle_leaves_everything_as_it_was(
    place: Place, stood: bytes | None, web: Web, alarm: Callable[[], None]
) -> None:
    over = threading.Event()

    def ring() -> None:
        alarm()
        over.wait(10)

    with video_server(VideoServer(LARGE, on_half=ring)) as server:
        with pytest.raises(Alarm):
            store(server, place.opened, web)
        over.set()
    verify_untouched(place, stood)


def test_a_full_disk_is_told(on_disk: Place, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    real = whole.NamedTemporaryFile

    def full(**options: Any) -> Any:
        file = real(**options)
        device = os.open("/dev/full", os.O_WRONLY)
        os.dup2(device, file.fileno())
        os.close(device)
        return file

    monkeypatch.setattr(whole, "NamedTemporaryFile", full)
    on_disk.put(OLD)
    for content in (LARGE, MP4):
        with video_server(VideoServer(content)) as server, failing("did not work: .*No space left on device"):
            store(server, on_disk.opened, web)
    verify_untouched(on_disk, OLD)


def test_a_limit_on_the_size_of_files_is_told(on_disk: Place, web: Web) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PART, before[1]))
    try:
        with video_server(VideoServer(LARGE)) as server, failing("did not work: .*File too large"):
            store(server, on_disk.opened, web)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    verify_untouched(on_disk, None)


def test_a_disk_that_fails_while_others_bytes_come_is_told(
    on_disk: Place, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("airflow_provider_lipsync.media.sinks._SYNCED", PART)
    monkeypatch.setattr("airflow_provider_lipsync.media.sinks._SYNC", fail)
    on_disk.put(OLD)
    with video_server(VideoServer(LARGE)) as server, failing("did not work: .*Input/output error"):
        store(server, on_disk.opened, web)
    verify_untouched(on_disk, OLD)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lipsync-sync")]


def test_a_place_below_a_file_is_told(on_disk: Place, web: Web) -> None:
    on_disk.put(OLD)
    below = on_disk.opened / "v.mp4"
    with video_server() as server, failing("did not work: (NotADirectory|FileExists)Error"):
        store(server, below, web)


@pytest.mark.parametrize("content", [MP4, LARGE], ids=["small", "several parts"])
def test_a_bucket_that_is_not_there_is_told(on_s3: Place, web: Web, content: bytes) -> None:
    lost = on_s3.opened.parent.parent / "v.mp4"
    path = type(lost)("s3://aws_stored@no-such-bucket/v.mp4")
    with (
        video_server(VideoServer(content)) as server,
        failing("storing under s3://no-such-bucket/v.mp4 did not work: .*bucket does not exist"),
    ):
        store(server, path, web)


@pytest.mark.parametrize("content", [MP4, LARGE], ids=["small", "several parts"])
def test_a_bucket_that_gets_lost_half_way_is_told(on_s3: Place, web: Web, content: bytes) -> None:
    on_s3.client.create_bucket(Bucket="short-lived")
    path = type(on_s3.opened)("s3://aws_stored@short-lived/v.mp4")

    def lose(_: StoredVideo) -> None:
        on_s3.client.delete_bucket(Bucket="short-lived")

    with video_server(VideoServer(content)) as server, failing("did not work: .*bucket does not exist"):
        store(server, path, web, before_commit=lose)


class Refusing(BaseHTTPRequestHandler):
    """A storage that allows nothing."""

    protocol_version = "HTTP/1.1"

    def refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(denied)))
        self.end_headers()
        self.wfile.write(denied)

    do_PUT = do_POST = do_DELETE = refuse

    def log_message(self, *_: Any) -> None: ...


@pytest.mark.parametrize("content", [MP4, LARGE], ids=["small", "several parts"])
def test_a_storage_that_refuses_is_told(web: Web, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as storage:
        threading.Thread(target=storage.serve_forever, args=(0.01,)).start()
        port = storage.server_port
        monkeypatch.setenv(f"AIRFLOW_CONN_AWS_SHUT_{port}", aws_connection(f"http://127.0.0.1:{port}"))
        try:
            with (
                video_server(VideoServer(content)) as server,
                failing("did not work: PermissionError: .*Access Denied"),
            ):
                store(server, ObjectStoragePath(f"s3://aws_shut_{port}@bucket/v.mp4"), web)
        finally:
            storage.shutdown()


@pytest.mark.parametrize("content", [MP4, LARGE], ids=["small", "several parts"])
def test_what_s3_is_to_know_of_an_object_arrives(on_s3: Place, web: Web, content: bytes) -> None:
    options = {"Tagging": "client=acme&kind=advert", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}
    with video_server(VideoServer(content)) as server:
        store(server, on_s3.opened, web, options=options | {"StorageClass": "STANDARD_IA"})
    asked = {"Bucket": BUCKET, "Key": on_s3.key}
    head = on_s3.client.head_object(**asked)
    assert head["ContentType"] == "video/mp4"
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key-1")
    assert head["StorageClass"] == "STANDARD_IA"
    tags = {tag["Key"]: tag["Value"] for tag in on_s3.client.get_object_tagging(**asked)["TagSet"]}
    assert tags == {"client": "acme", "kind": "advert"}
    assert head["ETag"].partition("-")[2] == ('3"' if content is LARGE else ""), "a small one is put by one request"


def test_the_parts_are_of_equal_size(on_s3: Place, web: Web) -> None:
    with video_server(VideoServer(LARGE)) as server:
        store(server, on_s3.opened, web)
    sizes = [
        on_s3.client.head_object(Bucket=BUCKET, Key=on_s3.key, PartNumber=number)["ContentLength"]
        for number in (1, 2, 3)
    ]
    assert sizes == [PART, PART, len(LARGE) - 2 * PART]


def test_an_option_goes_before_what_is_usual(on_s3: Place, web: Web) -> None:
    with video_server() as server:
        store(server, on_s3.opened, web, options={"ContentType": "video/quicktime"})
    assert on_s3.client.head_object(Bucket=BUCKET, Key=on_s3.key)["ContentType"] == "video/quicktime"


def test_what_a_dead_process_left_is_removed_after_a_day(on_disk: Place, web: Web) -> None:
    on_disk.put(OLD)
    folder, name = (on_disk.folder / on_disk.key).parent, Path(on_disk.key).name
    dead, alive, others = (folder / f".{stem}.part" for stem in (f"{name}.dead", f"{name}.alive", "other.mp4.x"))
    for file in (dead, alive, others):
        file.write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    for file in (dead, others):
        os.utime(file, (yesterday, yesterday))
    with video_server() as server:
        store(server, on_disk.opened, web)
    assert sorted(on_disk.leftovers()) == sorted([alive, others])


@pytest.mark.parametrize("name", ["a b#1.mp4", "what?.mp4", "50%.mp4", "é" * 127 + ".", "v" * 255])
def test_a_name_may_be_odd_and_as_long_as_the_disk_allows(on_disk: Place, web: Web, name: str) -> None:
    on_disk.key = name
    with video_server() as server:
        store(server, on_disk.opened, web)
    assert on_disk.content() == MP4
    assert on_disk.leftovers() == []


def test_a_file_has_the_rights_that_the_umask_gives(on_disk: Place, web: Web) -> None:
    before = os.umask(0o027)
    try:
        with video_server() as server:
            store(server, on_disk.opened, web)
    finally:
        os.umask(before)
    assert (on_disk.folder / on_disk.key).stat().st_mode & 0o777 == 0o640


def test_a_private_address_is_told(on_disk: Place) -> None:
    with (
        video_server() as server,
        Web(may_be_private=lambda: False) as shut,
        failing("the vendor's URL is not followed: .* not of the public internet"),
    ):
        store(server, on_disk.opened, shut)
    assert server.requests == []


def test_a_storage_that_publishes_on_close_gets_no_half_file(web: Web) -> None:
    """Some of fsspec's filesystems know neither commit nor discard."""
    EagerStore.published.clear()
    path: Any = SimpleNamespace(fs=EagerStore(), path="b/v.mp4", protocol="eager")
    with video_server(VideoServer(LARGE, promised=len(LARGE) + 1)) as server, failing("broke off"):
        store(server, path, web)
    gc.collect()
    assert EagerStore.published == {}
    seen: list[int] = []
    with video_server(VideoServer(LARGE)) as server:
        store(server, path, web, before_commit=lambda _: seen.append(len(EagerStore.published)))
    assert EagerStore.published == {"b/v.mp4": len(LARGE)}
    assert seen == [0]


class EagerStore(fsspec.AbstractFileSystem):
    protocol = "eager"
    published: ClassVar[dict[str, int]] = {}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        return EagerFile(self, path, mode, **options)


class EagerFile(fsspec.spec.AbstractBufferedFile):
    def _initiate_upload(self) -> None: ...

    def _upload_chunk(self, final: bool = False) -> bool:
        if final:
            EagerStore.published[self.path] = self.tell()
        return True


def test_a_storages_words_show_no_signature(web: Web) -> None:
    class Talkative(EagerStore):
        def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
            raise RuntimeError("PUT https://storage.example/b/v.mp4?X-Amz-Signature=secret was refused")

    path: Any = SimpleNamespace(fs=Talkative(), path="b/v.mp4", protocol="talkative")
    with video_server() as server, pytest.raises(LipsyncTransferFailed, match=r"v\.mp4\?… was refused") as caught:
        store(server, path, web)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
