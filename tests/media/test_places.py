"""Places in a storage: what can be used, what is shown of them, and what a storage's errors mean."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ParamValidationError

from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError, LipsyncMediaUnavailable
from airflow_provider_lipsync.media.places import fault, location, place_of, shown, words
from tests.media.publishing_support import Store, memory_storage, store


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with store() as served:
        yield served


def test_a_place_of_a_known_connection_can_be_used(s3: Store) -> None:
    uri = s3.put(b"content")
    assert place_of(uri, field="audio").read_bytes() == b"content"
    assert place_of(ObjectStoragePath(uri), field="audio").read_bytes() == b"content"


def test_an_absolute_path_is_a_place_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a b.mp3").write_bytes(b"content")
    for text in (f"{tmp_path}/a b.mp3", f"file://{tmp_path}/a b.mp3"):
        place = place_of(text, field="output_path")
        assert place.read_bytes() == b"content"
        assert location(place) == f"file://{tmp_path}/a b.mp3"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        pytest.param("gs://bucket/key", "Is apache-airflow-providers-google installed", id="gs"),
        pytest.param("gcs://bucket/key", "Is apache-airflow-providers-google installed", id="gcs"),
        pytest.param("abfs://box/key", "Is apache-airflow-providers-microsoft-azure installed", id="abfs"),
        pytest.param("az://box/key", "Is apache-airflow-providers-microsoft-azure installed", id="az"),
        pytest.param("hdfs://host/key", "No filesystem registered for scheme hdfs", id="hdfs"),
        pytest.param(
            "nonsense://host/key", "'nonsense://host/key' cannot be used: ValueError: ", id="no filesystem at all"
        ),
        pytest.param("s3://nobody_knows@bucket/key", "no Airflow connection 'nobody_knows'", id="unknown connection"),
        pytest.param("s3://", "a place in a storage is required", id="no bucket"),
        pytest.param("folder/file", "a place in a storage is required", id="relative path"),
        pytest.param("", "a place in a storage is required", id="nothing"),
        pytest.param("s3://b/{{ ds }}", "a place in a storage is required", id="not rendered"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused(uri: str, words: str) -> None:
    with pytest.raises(LipsyncBadInput, match="left_audio: ") as caught:
        place_of(uri, field="left_audio")
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("s3://conn@bucket/a b.mp3", "s3://bucket/a b.mp3", id="connection id"),
        pytest.param("https://user:word@host/a?X-Amz-Signature=1", "https://host/a?…", id="credentials and query"),
        pytest.param("/folder/a.mp3", "/folder/a.mp3", id="local"),
    ],
)
def test_what_is_shown_of_a_path_holds_no_secret(path: str, expected: str) -> None:
    assert shown(path) == expected


def test_a_place_has_one_name_however_it_was_written() -> None:
    memory_storage()
    assert location("s3a://conn@bucket/key") == location("s3://bucket/key") == "s3://bucket/key"
    assert location(ObjectStoragePath("s3a://bucket/key")) == "s3://bucket/key"
    assert location(ObjectStoragePath("memory://folder/key")) == location("memory://folder/key")


def test_the_words_of_an_error_hold_no_signature() -> None:
    error = OSError("cannot open\nhttps://me:word@host/key?X-Amz-Signature=abc&X-Amz-Date=1 'x?sig=2'" + "y" * 999)
    said = words(error)
    assert said.startswith("OSError: cannot open https://host/key?… 'x?…'")
    assert len(said) < 320


def client_error(status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": "Some", "Message": "words"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "HeadObject"
    )


class AzureError(Exception):
    status_code = 403


class GoogleError(Exception):
    code = "503"


class NoContactError(Exception):
    code = "AuthorizationFailed"


class Unheard(Exception):
    """Of a storage that nobody thought of."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(FileNotFoundError("key"), LipsyncBadInput, id="not found"),
        pytest.param(PermissionError("Forbidden"), LipsyncBadInput, id="denied"),
        pytest.param(IsADirectoryError("key"), LipsyncBadInput, id="folder"),
        pytest.param(OSError(errno.EINVAL, "Bad Request"), LipsyncBadInput, id="400"),
        pytest.param(OSError(errno.EREMCHG, "Moved"), LipsyncBadInput, id="301"),
        pytest.param(
            caused(OSError(errno.EIO, "?"), client_error(403)), LipsyncBadInput, id="a code that s3fs ignores"
        ),
        pytest.param(NoCredentialsError(), LipsyncBadInput, id="no credentials"),
        pytest.param(ParamValidationError(report="bucket"), LipsyncBadInput, id="no bucket's name"),
        pytest.param(AzureError(), LipsyncBadInput, id="Azure 403"),
        pytest.param(OSError(errno.EBUSY, "Slow down"), LipsyncMediaUnavailable, id="503"),
        pytest.param(OSError(errno.EREMOTEIO, "Internal"), LipsyncMediaUnavailable, id="500"),
        pytest.param(caused(OSError(errno.EIO, "?"), client_error(429)), LipsyncMediaUnavailable, id="429"),
        pytest.param(EndpointConnectionError(endpoint_url="http://x"), LipsyncMediaUnavailable, id="refused"),
        pytest.param(TimeoutError("late"), LipsyncMediaUnavailable, id="timeout"),
        pytest.param(GoogleError(), LipsyncMediaUnavailable, id="Google 503"),
        pytest.param(NoContactError(), LipsyncMediaUnavailable, id="a code that is no status"),
        pytest.param(Unheard(), LipsyncMediaUnavailable, id="unheard of"),
    ],
)
def test_an_error_of_a_storage_is_the_users_to_mend_or_passes(error: Exception, kind: type[LipsyncError]) -> None:
    found = fault(error, field="audio", doing="reading s3://bucket/key")
    assert type(found) is kind
    assert found.message.startswith("audio: reading s3://bucket/key did not work")
    assert found.charged == "no"
