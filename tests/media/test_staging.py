"""Copies of local files: whole or not at all, with their Content-Type, and gone when the job is over."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lipsync.exceptions import LipsyncBadInput
from airflow_provider_lipsync.media.kinds import sniff
from airflow_provider_lipsync.media.places import place_of
from airflow_provider_lipsync.media.sources import LocalSource
from airflow_provider_lipsync.media.staging import Staging
from tests.media.publishing_support import Store, memory_storage, sample, store
from tests.support.objectstore import BUCKET

log = logging.getLogger("task")
NAME = "show/manual__2026-01-05~render~-1~0123456789abcdef"


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with store() as served:
        yield served


@pytest.fixture
def voice(tmp_path: Path) -> LocalSource:
    path = tmp_path / "any name.bin"
    path.write_bytes(sample("voice.wav"))
    return LocalSource(field="audio", path=path)


class Folder:
    """A place for copies, and what stands there."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def content(self) -> dict[str, bytes]:
        place = place_of(self.uri, field="staging_path")
        place.fs.invalidate_cache()
        return {path: place.fs.cat_file(path) for path in place.fs.find(place.path)}


@pytest.fixture(params=["s3", "disk", "memory"])
def folder(request: pytest.FixtureRequest, s3: Store, tmp_path: Path) -> Folder:
    match request.param:
        case "s3":
            return Folder(f"s3://{s3.conn_id}@{BUCKET}/staging/{request.node.name.partition('[')[0]}/")
        case "disk":
            return Folder(f"file://{tmp_path}/www")
        case _:
            memory_storage()
            return Folder("memory://staging")


def put(folder: Folder, source: LocalSource, *, name: str = NAME) -> Any:
    return Staging(folder.uri, name, log=log).put(source, sniff(source.look().head))


def test_a_copy_stands_under_its_field_its_content_and_its_format(folder: Folder, voice: LocalSource) -> None:
    place = put(folder, voice)
    content = sample("voice.wav")
    assert re.search(rf"/{NAME}/[0-9a-f]{{8}}/audio-{hashlib.sha256(content).hexdigest()[:16]}[.]wav$", place.path)
    assert list(folder.content().values()) == [content]


def test_the_copies_of_a_task_instance_go_and_those_of_others_stay(folder: Folder, voice: LocalSource) -> None:
    put(folder, voice)
    put(folder, LocalSource(field="left_audio", path=voice.path))
    other = put(folder, voice, name=f"{NAME}0")
    Staging(folder.uri, NAME, log=log).clear()
    assert [path.rpartition("/")[0] for path in folder.content()] == [other.path.rpartition("/")[0]]
    assert [path.strip("/") for path in folder.content()] == [other.path.strip("/")]


def test_a_purchase_that_came_to_nothing_takes_back_its_own_copies_alone(folder: Folder, voice: LocalSource) -> None:
    living = put(folder, voice)
    given_up = Staging(folder.uri, NAME, log=log)
    given_up.put(voice, sniff(voice.look().head))
    assert len(folder.content()) == 2
    given_up.give_up()
    assert [path.strip("/") for path in folder.content()] == [living.path.strip("/")]


def test_clearing_where_nothing_was_copied_is_quiet(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    Staging(folder.uri, NAME, log=log).clear()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("s3://{conn}@no-such-bucket/x", id="no such bucket"),
        pytest.param("s3://nobody_knows@bucket/x", id="no such connection"),
        pytest.param("gs://bucket/x", id="not installed"),
    ],
)
def test_what_cannot_be_removed_is_named_and_not_raised(
    s3: Store, uri: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = Staging(uri.format(conn=s3.conn_id), NAME, log=log)
    if "no-such-bucket" in uri:  # S3 says of a bucket that is gone what it says of an empty folder
        fs = place_of(uri.format(conn=s3.conn_id), field="x").fs
        monkeypatch.setattr(fs, "rm", lambda *_, **__: (_ for _ in ()).throw(PermissionError("Denied?sig=1")))
    staging.clear()
    told = [record.getMessage() for record in caplog.records if record.name == "task"]
    assert len(told) == 1
    assert f"/x/{NAME} could not be removed" in told[0]
    assert s3.conn_id not in told[0]
    assert "sig=1" not in told[0]


def test_copies_that_s3_does_not_let_go_are_named(
    s3: Store, voice: LocalSource, caplog: pytest.LogCaptureFixture
) -> None:
    """s3fs tells nobody that the storage refused to delete."""
    folder = Folder(f"s3://{s3.conn_id}@{BUCKET}/kept/denied")
    staging = Staging(folder.uri, NAME, log=log)
    staging.put(voice, sniff(voice.path.read_bytes()))
    denied = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/kept/*",
    }
    s3.client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
    try:
        staging.clear()
        assert len(folder.content()) == 1
        assert "could not be removed: remove them by hand. PermissionError: 1 still stand there" in caplog.text
    finally:
        s3.client.delete_bucket_policy(Bucket=BUCKET)


def test_a_copy_in_s3_has_its_content_type_also_in_several_parts(s3: Store, tmp_path: Path) -> None:
    large = tmp_path / "long.mp3"
    large.write_bytes(sample("voice.wav") + b"\x01\x02" * (10 * 1024 * 1024))
    source = LocalSource(field="audio", path=large)
    tracemalloc.start()
    try:
        place = put(Folder(f"s3://{s3.conn_id}@{BUCKET}/typed"), source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    head = s3.client.head_object(Bucket=BUCKET, Key=place.path.partition("/")[2])
    assert head["ContentType"] == "audio/wav"
    assert head["ContentLength"] == large.stat().st_size
    assert "-" in head["ETag"], "it was not sent in parts"
    assert peak < 200 * 1024 * 1024  # moto holds its own copies in this very process


@pytest.mark.parametrize("folder", ["s3", "disk"], indirect=True)  # fsspec's memory holds a file from its open on
def test_a_file_that_changes_while_it_is_copied_leaves_nothing(
    folder: Folder, voice: LocalSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = LocalSource.sha256

    def hash_then_change(source: LocalSource) -> str:
        digest = hashed(source)
        source.path.write_bytes(sample("voice.wav") + b"more")
        return digest

    monkeypatch.setattr(LocalSource, "sha256", hash_then_change)
    with pytest.raises(LipsyncBadInput, match="changed while it was read"):
        put(folder, voice)
    assert folder.content() == {}


@pytest.mark.parametrize("folder", ["s3", "disk"], indirect=True)
def test_a_task_that_is_ended_while_it_copies_leaves_nothing(
    folder: Folder, voice: LocalSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(BaseException):
        """Airflow's alarm of ``execution_timeout``, at any line."""

    def end(*_: object) -> None:
        raise Ended

    monkeypatch.setattr("airflow_provider_lipsync.media.staging._copy", end)
    with pytest.raises(Ended):
        put(folder, voice)
    assert folder.content() == {}


def test_a_place_that_refuses_the_copy_is_told(s3: Store, voice: LocalSource) -> None:
    with pytest.raises(LipsyncBadInput, match=r"audio: copying .* to s3://no-such-bucket/x/.* did not work"):
        put(Folder(f"s3://{s3.conn_id}@no-such-bucket/x"), voice)


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a/", "a b", "a\nb", "a//b", "./a"])
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a folder"):
        Staging("s3://bucket/x", name, log=log)
