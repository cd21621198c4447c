"""Only a video that our own receipt vouches for is given out, whatever an XCom names."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.stored import NotServedError, find_copy
from tests.plugin.facts_support import JOB, KEY, OTHER_JOB
from tests.plugin.stored_support import MP4_HEAD, put, receipt_of
from tests.support.objectstore import BUCKET, aws_connection
from tests.support.places import Folder, Place

VIDEO = MP4_HEAD + bytes(range(256)) * 1000
STRANGER = replace(KEY, task_id="stranger")


@pytest.fixture(params=[Place, Folder], ids=["S3", "disk"])
def place(
    request: pytest.FixtureRequest, s3: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_PAGES", aws_connection(s3[0]))
    monkeypatch.setattr(Place, "conn_id", "aws_pages")
    made: Place = request.param(s3[1], tmp_path)
    return made


def refused(path: object, *, key: TaskKey = KEY, job_id: str = JOB) -> tuple[int, str]:
    with pytest.raises(NotServedError) as caught:
        find_copy(str(path), key=key, job_id=job_id)
    return caught.value.status, caught.value.reason


def test_a_video_with_its_receipt_is_given_out(place: Place) -> None:
    place.put(VIDEO)
    place.put(receipt_of(VIDEO, KEY), RECEIPT_SUFFIX)
    copy = find_copy(place.path, key=KEY, job_id=JOB)
    assert (copy.size, copy.mime) == (len(VIDEO), "video/mp4")
    with copy.opened() as reader:
        assert reader.read(0, 10) == VIDEO[:10]
        assert reader.read(1000, len(VIDEO)) == VIDEO[1000:]
        with pytest.raises(Exception, match=r"ends early|range is not"):
            reader.read(len(VIDEO), len(VIDEO) + 10)


@pytest.mark.parametrize(
    ("author", "job_id"),
    [
        pytest.param(KEY, OTHER_JOB, id="of this task"),
        pytest.param(STRANGER, JOB, id="of this job, by another task"),
    ],
)
def test_the_receipt_must_name_this_task_or_this_job(tmp_path: Path, author: TaskKey, job_id: str) -> None:
    assert find_copy(str(put(tmp_path, VIDEO, author, job_id=job_id)), key=KEY, job_id=JOB).size == len(VIDEO)


def test_the_video_of_another_task_is_not_given_out(place: Place) -> None:
    place.put(VIDEO)
    place.put(receipt_of(VIDEO, STRANGER, job_id=OTHER_JOB), RECEIPT_SUFFIX)
    assert refused(place.path) == (404, "The receipt beside the stored copy is of another task's video.")


def test_a_mapped_sibling_is_another_task(tmp_path: Path) -> None:
    stored = put(tmp_path, VIDEO, replace(KEY, map_index=1), job_id=OTHER_JOB)
    assert "another task's" in refused(stored, key=replace(KEY, map_index=0))[1]


def test_a_file_without_a_receipt_is_not_given_out(place: Place) -> None:
    place.put(VIDEO)
    assert refused(place.path) == (404, "The stored copy, or its receipt, is not there any more.")


def test_no_file_of_the_machine_is_given_out() -> None:
    for path in ("/etc/passwd", "file:///etc/passwd", "/proc/self/environ", "/dev/zero", "/etc"):
        assert refused(path)[0] == 404


def test_a_file_with_a_receipt_that_is_no_video_is_not_given_out(tmp_path: Path) -> None:
    stored = put(tmp_path, b"root:x:0:0:root:/root:/bin/bash\n" * 100, KEY)
    assert "no MP4 or QuickTime video" in refused(stored)[1]


@pytest.mark.parametrize(
    "receipt",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="another JSON"),
        pytest.param(b"x" * 100_000, id="far too large"),
        pytest.param(receipt_of(VIDEO, KEY, sha256="x\r\nSet-Cookie: a=b"), id="a hash that is none"),
    ],
)
def test_what_is_no_receipt_vouches_for_nothing(tmp_path: Path, receipt: bytes) -> None:
    stored = put(tmp_path, VIDEO, KEY)
    Path(f"{stored}{RECEIPT_SUFFIX}").write_bytes(receipt)
    assert refused(stored)[0] == 404


def test_a_file_that_was_replaced_since_is_not_given_out(place: Place) -> None:
    place.put(VIDEO + b"more")
    place.put(receipt_of(VIDEO, KEY), RECEIPT_SUFFIX)
    assert "it was replaced since" in refused(place.path)[1]


def test_one_of_the_same_size_is_told_by_the_mark_of_the_storage(
    s3: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_PAGES", aws_connection(s3[0]))
    monkeypatch.setattr(Place, "conn_id", "aws_pages")
    place = Place(s3[1], tmp_path)
    place.put(VIDEO)
    place.put(receipt_of(VIDEO, KEY, etag="0" * 32), RECEIPT_SUFFIX)
    assert "it was replaced since" in refused(place.path)[1]


@pytest.mark.parametrize("name", ["video", "receipt"])
def test_a_pipe_is_not_waited_on(tmp_path: Path, name: str) -> None:
    stored = put(tmp_path, VIDEO, KEY)
    piped = stored if name == "video" else Path(f"{stored}{RECEIPT_SUFFIX}")
    piped.unlink()
    os.mkfifo(piped)
    assert refused(stored) == (404, "What stands there is no file.")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("https://host/a.mp4", 502, id="the web"),
        pytest.param("simplecache::file:///etc/passwd", 404, id="a chain of filesystems"),
        pytest.param("nosuch://bucket/a.mp4", 502, id="a storage that nobody knows"),
        pytest.param("s3://nobody_knows@bucket/a.mp4", 502, id="a connection that nobody knows"),
        pytest.param("s3://user:password@bucket/a.mp4", 502, id="credentials"),
        pytest.param("", 502, id="nothing"),
    ],
)
def test_a_place_that_cannot_be_used_says_so(path: str, status: int) -> None:
    found, reason = refused(path)
    assert found == status
    assert "password@" not in reason
    assert reason.endswith(".")


def test_a_storage_that_does_not_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEAD", aws_connection("http://127.0.0.1:9"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    status, reason = refused(f"s3://aws_dead@{BUCKET}/a.mp4")
    assert status == 502
    assert reason.startswith("The stored copy cannot be read from the API server: ")


def test_a_local_file_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one(tmp_path: Path) -> None:
    stored = put(tmp_path, VIDEO, KEY)
    with find_copy(str(stored), key=KEY, job_id=JOB).opened() as reader:
        other = tmp_path / "other"
        other.write_bytes(b"\x07" * len(VIDEO))
        os.replace(other, stored)
        assert reader.read(0, len(VIDEO)) == VIDEO
