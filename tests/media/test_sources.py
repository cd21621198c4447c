"""A medium as the user names it: what is taken, what is refused without a look, what tells one content from another."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from airflow.sdk import Asset

from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncMediaUnavailable
from airflow_provider_lipsync.media.kinds import Kind
from airflow_provider_lipsync.media.sources import LocalSource, ObjectSource, WebSource
from tests.media.publishing_support import Store, memory_storage, store
from tests.support.named import source_of
from tests.support.objectstore import BUCKET, aws_connection
from tests.support.scripted import answer, scripted


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with store() as served:
        yield served


def found(value: object, field: str = "audio") -> Any:
    return source_of(field, value, required=True)


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        pytest.param(" https://host/a.mp3?sig=1 ", WebSource, "https://host/a.mp3?…", id="https"),
        pytest.param("HTTP://me:word@host/a.mp3", WebSource, "HTTP://host/a.mp3", id="http with credentials"),
        pytest.param("s3://conn@bucket/a.mp3", ObjectSource, "s3://bucket/a.mp3", id="s3"),
        pytest.param("gs://bucket/a.mp3", ObjectSource, "gs://bucket/a.mp3", id="gs, which is not installed"),
        pytest.param("/folder/a b.mp3", LocalSource, "/folder/a b.mp3", id="absolute path"),
        pytest.param("file:///folder/a.mp3", LocalSource, "/folder/a.mp3", id="file URL"),
        pytest.param("file://localhost/folder/a.mp3", LocalSource, "/folder/a.mp3", id="file URL with this host"),
        pytest.param("file://conn@/folder/a.mp3", LocalSource, "/folder/a.mp3", id="file URL with a connection"),
        pytest.param(Path("/folder/a.mp3"), LocalSource, "/folder/a.mp3", id="pathlib"),
        pytest.param(ObjectStoragePath("s3://bucket/a.mp3"), ObjectSource, "s3://bucket/a.mp3", id="ObjectStoragePath"),
        pytest.param(ObjectStoragePath("file:///x/a.mp3"), LocalSource, "/x/a.mp3", id="ObjectStoragePath of a disk"),
        pytest.param(Asset("s3://conn@bucket/a.mp3"), ObjectSource, "s3://bucket/a.mp3", id="Asset"),
        pytest.param(Asset("https://host/a.mp3"), WebSource, "https://host/a.mp3", id="Asset of a URL"),
    ],
)
def test_a_medium_may_be_a_url_a_place_in_a_storage_or_a_file(value: object, kind: type, shown: str) -> None:
    source = found(value)
    assert type(source) is kind
    assert (source.shown, source.field, source.kind) == (shown, "audio", Kind.AUDIO)


@pytest.mark.parametrize("value", [None, "", "  ", "None"])
def test_nothing_is_no_medium_and_refused_where_one_is_required(value: object) -> None:
    assert source_of("mask_image", value, required=False) is None
    with pytest.raises(LipsyncBadInput, match="image: required is a public http"):
        source_of("image", value, required=True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param("{{ ds }}", "the template was not rendered; got '{{ ds }}'", id="template"),
        pytest.param("s3://b/{% if x %}", "the template was not rendered", id="statement"),
        pytest.param("a.mp3", "allowed is a public http", id="relative path"),
        pytest.param(Path("a.mp3"), "allowed is a public http", id="relative pathlib"),
        pytest.param("file://folder/a.mp3", "file:///folder/file", id="file URL with two slashes"),
        pytest.param("/folder/", "not of a folder", id="folder"),
        pytest.param("https:///a.mp3", "needs a host", id="no host"),
        pytest.param("s3://bucket", "path of a file is required, such as s3://conn_id@bucket", id="bucket alone"),
        pytest.param("s3://conn@/key", "path of a file is required", id="no bucket"),
        pytest.param("s3://bucket/folder/", "path of a file is required", id="folder in a bucket"),
        pytest.param("s3://AKIA:secret@bucket/key", "never credentials; got 's3://bucket/key'", id="keys in the path"),
        pytest.param("/folder/a\nb.mp3", "a line break", id="line break"),
        pytest.param(7, "allowed is a public http", id="number"),
        pytest.param({"url": "x"}, "allowed is a public http", id="dict"),
        pytest.param("ftp//" + "x" * 200 + "SECRET", "…. Nothing was sent.", id="long"),
    ],
)
def test_what_names_no_medium_is_refused_without_a_look(value: object, words: str) -> None:
    with pytest.raises(LipsyncBadInput, match="audio: ") as caught:
        found(value)
    assert words in caught.value.message
    assert "SECRET" not in caught.value.message.upper()


def test_no_signature_stands_in_the_repr_of_a_source() -> None:
    assert "Signature" not in repr(found("https://host/a.mp3?X-Amz-Signature=1"))


PURE = """
import sys
from airflow_provider_lipsync.media.named import named_medium
for value in ("https://host/a", "s3://conn@b/k", "file:///x/a", "/x/a"):
    assert named_medium("audio", value, required=True)
heavy = {"httpx", "fsspec", "s3fs", "airflow", "upath", "botocore"} & set(sys.modules)
assert not heavy, heavy
"""


def test_naming_a_medium_imports_nothing_heavy() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    subprocess.run([sys.executable, "-c", PURE], check=True, env=bare, timeout=60)


def test_the_identity_of_a_url_is_the_url() -> None:
    assert found("https://host/a?id=1").identity() == "https://host/a?id=1"


def test_the_identity_of_a_file_is_its_content(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content)
    assert found(tmp_path / "a").identity() == found(tmp_path / "b").identity()
    assert found(tmp_path / "a").identity() == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_the_identity_of_an_object_changes_with_its_content_alone(s3: Store) -> None:
    uri = s3.put(b"one")
    key = uri.partition(f"{BUCKET}/")[2]
    before = found(uri).identity()
    assert before.startswith(f"s3://{BUCKET}/{key} ETag=")
    s3.client.put_object(Bucket=BUCKET, Key=key, Body=b"one", ContentType="audio/mpeg")
    assert found(uri).identity() == before
    s3.client.put_object(Bucket=BUCKET, Key=key, Body=b"two")
    assert found(uri).identity() != before


def test_the_identity_of_an_object_without_a_hash_is_its_age_and_size() -> None:
    fs = memory_storage()
    fs.pipe_file("/folder/a.mp3", b"one")
    before = found("memory://folder/a.mp3").identity()
    assert before.startswith("memory://folder/a.mp3 created=")
    assert before.endswith("size=3")
    fs.pipe_file("/folder/a.mp3", b"other")
    assert found("memory://folder/a.mp3").identity() != before


def test_the_identity_of_an_object_costs_one_head(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer(200, length=7, headers={"ETag": '"abc"'})) as server:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_ONE_HEAD", aws_connection(server.url.removesuffix("/api/v1")))
        assert found("s3://aws_one_head@bucket/key").identity() == 's3://bucket/key ETag="abc"'
        assert [request.split()[0] for request in server.requests] == [b"HEAD"]


def test_an_object_that_was_written_or_deleted_a_moment_ago_is_seen_so(s3: Store) -> None:
    uri = s3.put(b"x", name="b")
    folder, key = uri.rpartition("/")[0], uri.partition(f"{BUCKET}/")[2]
    first = found(f"{folder}/b")
    first.path.fs.ls(first.path.parent.path)  # fsspec remembers what a folder holds
    s3.client.put_object(Bucket=BUCKET, Key=key.replace("/b", "/c"), Body=b"later")
    assert found(f"{folder}/c").look().size == 5
    first.path.fs.ls(first.path.parent.path)
    s3.client.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(LipsyncBadInput, match="does not exist"):
        first.look()


def test_a_look_reads_the_first_bytes_alone(s3: Store, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "a").write_bytes(content)
    for value in (s3.put(content), tmp_path / "a"):
        look = found(value).look()
        assert (look.size, look.head) == (100_000, content[:4096])


@pytest.mark.parametrize("ask", ["look", "identity"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("{bucket}/no/such.mp3", "does not exist", id="no such key"),
        pytest.param("no-such-bucket/a.mp3", "bucket does not exist", id="no such bucket"),
        pytest.param("{bucket}/media", "it is a folder", id="folder"),
        pytest.param("a*b/a.mp3", "Invalid bucket name", id="no bucket's name"),
    ],
)
def test_an_object_that_cannot_be_had_is_told(s3: Store, ask: str, path: str, words: str) -> None:
    s3.put(b"x")
    source = found(f"s3://{s3.conn_id}@{path.format(bucket=BUCKET)}")
    with pytest.raises(LipsyncBadInput, match="audio: looking at s3://") as caught:
        getattr(source, ask)()
    assert words in caught.value.message
    assert s3.conn_id not in str(caught.value)


@pytest.mark.parametrize("ask", ["look", "identity"])
def test_a_storage_that_denies_is_told(monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    with scripted(answer(403)) as server:
        name = f"aws_denies_{ask}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", aws_connection(server.url.removesuffix("/api/v1")))
        with pytest.raises(LipsyncBadInput, match=r"audio: looking at s3://bucket/key .* access is denied"):
            getattr(found(f"s3://{name}@bucket/key"), ask)()


@pytest.mark.parametrize("ask", ["look", "identity"])
def test_a_storage_that_is_down_may_be_asked_again(monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    connection = json.loads(aws_connection(f"http://127.0.0.1:{port}"))
    connection["extra"]["config_kwargs"] = {"retries": {"total_max_attempts": 1}}  # not the seconds of its backoff
    name = f"aws_down_{ask}"
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    with pytest.raises(LipsyncMediaUnavailable, match="audio: looking at s3://bucket/key did not work"):
        getattr(found(f"s3://{name}@bucket/key"), ask)()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("ask", ["look", "identity"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(None, "does not exist", id="nothing"),
        pytest.param(Path.mkdir, "it is a folder", id="folder"),
        pytest.param(make_pipe, "no regular file", id="pipe"),
        pytest.param(lambda path: path.symlink_to(path), "Too many levels of symbolic links", id="circle"),
    ],
)
def test_a_file_that_cannot_be_had_is_told(tmp_path: Path, ask: str, make: Any, words: str) -> None:
    path = tmp_path / "a.mp3"
    if make:
        make(path)
    with pytest.raises(LipsyncBadInput, match="audio: ") as caught:
        getattr(found(path), ask)()
    assert words in caught.value.message
    assert str(path) in caught.value.message
