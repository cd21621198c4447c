"""Videos and posters over HTTP: ranges, conditions, bounded memory, listeners that go away."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX
from airflow_provider_lipsync.media.task_key import TaskKey
from tests.plugin.conftest import Server, Task, new_run, new_task
from tests.plugin.facts_support import result, stored
from tests.plugin.stored_support import BRIGHT, MP4_HEAD, film, put, receipt_of
from tests.support.objectstore import BUCKET

VIDEO = MP4_HEAD + bytes(range(256)) * 20_000  # some 5 MB
LARGE = 400 * 1024 * 1024


def handed_on(task: Task, path: object, **changes: Any) -> Task:
    return task.set(state="success").push("return_value", stored(str(path), **changes))


def key_of(task: Task) -> TaskKey:
    return TaskKey(**task.key)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stored")


@pytest.fixture(scope="module", params=["disk", "S3"])
def task(request: pytest.FixtureRequest, server: Server, s3: tuple[str, Any], folder: Path) -> Task:
    """A task whose video is stored."""
    made = new_task(server)
    receipt = receipt_of(VIDEO, key_of(made))
    if request.param == "disk":
        return handed_on(made, put(folder, VIDEO, key_of(made)))
    name = f"{made.key['run_id']}.mp4"
    s3[1].put_object(Bucket=BUCKET, Key=name, Body=VIDEO)
    s3[1].put_object(Bucket=BUCKET, Key=name + RECEIPT_SUFFIX, Body=receipt)
    return handed_on(made, f"s3://aws_mine@{BUCKET}/{name}")


def test_the_whole_video_comes(ann: httpx.Client, task: Task) -> None:
    answer = ann.get("video", params=task.key)
    assert answer.status_code == 200
    assert answer.content == VIDEO
    assert answer.headers["content-length"] == str(len(VIDEO))
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["etag"] == f'"{hashlib.sha256(VIDEO).hexdigest()}"'


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        pytest.param("bytes=0-", 0, len(VIDEO), id="all"),
        pytest.param("bytes=0-1", 0, 2, id="as Safari begins"),
        pytest.param("bytes=1048575-1048577", 1048575, 1048578, id="over the edge of a chunk"),
        pytest.param("bytes=5000000-", 5_000_000, len(VIDEO), id="the end"),
        pytest.param("bytes=-7", len(VIDEO) - 7, len(VIDEO), id="the last bytes"),
    ],
)
def test_a_range_comes(ann: httpx.Client, task: Task, asked: str, start: int, end: int) -> None:
    answer = ann.get("video", params=task.key, headers={"range": asked})
    assert answer.status_code == 206
    assert answer.content == VIDEO[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(VIDEO)}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers.get("content-encoding", "identity") == "identity"


def test_a_range_behind_the_end_is_416(ann: httpx.Client, task: Task) -> None:
    answer = ann.get("video", params=task.key, headers={"range": f"bytes={len(VIDEO)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(VIDEO)}"


def test_a_range_of_another_version_is_all_of_this_one(ann: httpx.Client, task: Task) -> None:
    whole = ann.get("video", params=task.key, headers={"range": "bytes=5-9", "if-range": '"old"'})
    assert (whole.status_code, len(whole.content)) == (200, len(VIDEO))
    part = ann.get("video", params=task.key, headers={"range": "bytes=5-9", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, VIDEO[5:10])


def test_a_version_that_the_browser_has_is_not_sent_again(ann: httpx.Client, task: Task) -> None:
    etag = ann.head("video", params=task.key).headers["etag"]
    answer = ann.get("video", params=task.key, headers={"if-none-match": etag})
    assert (answer.status_code, answer.content) == (304, b"")


def test_head_tells_without_the_bytes(ann: httpx.Client, task: Task) -> None:
    answer = ann.head("video", params=task.key)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(VIDEO))
    assert answer.headers["accept-ranges"] == "bytes"


def test_a_task_without_a_stored_copy_has_none_here(server: Server, ann: httpx.Client) -> None:
    tasks = [new_task(server), new_task(server).set(state="success").push("return_value", result())]
    for task in tasks:
        for path in ("video", "poster"):
            answer = ann.get(path, params=task.key)
            assert answer.status_code == 404
            assert answer.json() == {"detail": "This task has no stored copy of a video."}


def test_what_a_task_of_somebody_else_pushed_is_not_followed(server: Server, ann: httpx.Client, folder: Path) -> None:
    """Only our tasks' results count: any task may push a path."""
    task = new_task(server, "plain")
    handed_on(task, put(folder, VIDEO, key_of(task)))
    assert ann.get("video", params=task.key).status_code == 404


@pytest.mark.parametrize("path", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/a.mp4", "s3://nosuch@b/a.mp4"])
def test_what_an_xcom_names_is_not_read_for_it(server: Server, ann: httpx.Client, path: str) -> None:
    task = handed_on(new_task(server), path)
    for page in ("video", "poster"):
        answer = ann.get(page, params=task.key)
        assert answer.status_code in (404, 502)
        assert set(answer.json()) == {"detail"}
        assert "root:" not in answer.text


def test_mapped_instances_have_each_their_own(server: Server, ann: httpx.Client, folder: Path) -> None:
    run = new_run(server)
    videos = [VIDEO + bytes([index]) for index in range(3)]
    tasks = [Task(server, "show", run, "dub", index) for index in range(3)]
    for task, video in zip(tasks, videos, strict=True):
        handed_on(task, put(folder, video, key_of(task)))
    found = [ann.get("video", params=task.key, headers={"range": "bytes=-1"}).content for task in tasks]
    assert found == [b"\x00", b"\x01", b"\x02"]


# Many and slow listeners.


@pytest.fixture(scope="module")
def large(server: Server, folder: Path) -> Task:
    """A sparse file, far larger than what may be held in memory."""
    task = new_task(server)
    file = folder / "large.mp4"
    with file.open("wb") as opened:
        opened.write(MP4_HEAD)
        opened.truncate(LARGE)
    Path(f"{file}{RECEIPT_SUFFIX}").write_bytes(receipt_of(b"", key_of(task), size=LARGE, sha256="ab" * 32))
    return handed_on(task, file)


class Listener:
    """A player that reads as much as it likes, over a socket of its own."""

    def __init__(self, server: Server, client: httpx.Client, task: Task) -> None:
        address = httpx.URL(server.url)
        self.socket = socket.create_connection((address.host, address.port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        token = client.cookies["_token"]
        request = f"GET /lipsync/video?{urlencode(task.key)} HTTP/1.1\r\nHost: x\r\nCookie: _token={token}\r\n\r\n"
        self.socket.sendall(request.encode())
        assert self.socket.recv(12) == b"HTTP/1.1 200"


@pytest.fixture
def listeners(server: Server, ann: httpx.Client, large: Task) -> Iterator[Callable[[int], list[Listener]]]:
    made: list[Listener] = []

    def listen(count: int) -> list[Listener]:
        made.extend(Listener(server, ann, large) for _ in range(count))
        return made[-count:]

    yield listen
    for one in made:
        one.socket.close()


def opened(server: Server) -> int:
    return sum(path.endswith("large.mp4") for path in server.call("open_files"))


def until(is_so: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_listener_that_goes_away_ends_the_read(
    server: Server, listeners: Callable[[int], list[Listener]], large: Task
) -> None:
    held = listeners(3)
    assert until(lambda: opened(server) == 3)
    for one in held:
        one.socket.close()
    assert until(lambda: opened(server) == 0)


def test_slow_listeners_cost_little_memory_and_hold_up_nobody(
    server: Server, listeners: Callable[[int], list[Listener]], ann: httpx.Client, large: Task, task: Task
) -> None:
    ann.get("video", params=task.key)  # whatever is loaded once, is
    before = server.call("memory")
    listeners(30)
    assert until(lambda: opened(server) == 30)
    started = time.monotonic()
    assert ann.get("video", params=task.key, headers={"range": "bytes=0-9"}).status_code == 206
    assert ann.get("api/task", params=task.key).status_code == 200
    assert time.monotonic() - started < 5
    assert server.call("memory") - before < 30 * 5_000_000


def test_a_large_video_passes_through_little_memory(server: Server, ann: httpx.Client, large: Task) -> None:
    before, came = server.call("memory"), 0
    with ann.stream("GET", "video", params=large.key) as answer:
        for number, chunk in enumerate(answer.iter_raw(4 * 1024 * 1024)):
            came += len(chunk)
            if number % 20 == 0:
                assert server.call("memory") - before < 60_000_000
    assert came == LARGE


def test_a_file_that_ends_early_breaks_the_answer_off(server: Server, ann: httpx.Client, folder: Path) -> None:
    task = new_task(server)
    video = MP4_HEAD + bytes(30 * 1024 * 1024)
    file = put(folder, video, key_of(task))
    handed_on(task, file)
    with ann.stream("GET", "video", params=task.key) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        os.truncate(file, 10_000_000)
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)


# Posters.


def test_a_poster_comes_and_is_kept(server: Server, ann: httpx.Client, folder: Path) -> None:
    task = new_task(server)
    handed_on(task, put(folder, film(folder / "plain", BRIGHT), key_of(task)))
    first = ann.get("poster", params=task.key)
    assert first.status_code == 200
    assert first.headers["content-type"] == "image/jpeg"
    assert first.headers["cache-control"] == "private, max-age=3600"
    assert first.content[:2] == b"\xff\xd8"
    again = ann.get("poster", params=task.key, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert ann.head("poster", params=task.key).headers["content-length"] == str(len(first.content))


def test_a_poster_of_what_cannot_be_decoded_says_why(ann: httpx.Client, task: Task) -> None:
    answer = ann.get("poster", params=task.key)
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("No frame can be shown of this video: ")


def test_fifty_posters_at_once(server: Server, ann: httpx.Client, folder: Path) -> None:
    run, content = new_run(server), film(folder / "fifty", BRIGHT, width=854, height=480, seconds=2)
    tasks = [Task(server, "show", run, "dub", index) for index in range(50)]
    for task in tasks:
        handed_on(task, put(folder, content, key_of(task)))
    with ThreadPoolExecutor(6) as browser:  # as many connections as a browser has
        found = list(browser.map(lambda task: ann.get("poster", params=task.key).status_code, tasks))
    assert found == [200] * 50
