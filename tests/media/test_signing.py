"""Presigned URLs: which version, which region, which host, and how long the credentials behind them last."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiobotocore.credentials import AioDeferredRefreshableCredentials, AioRefreshableCredentials
from aiobotocore.session import get_session
from airflow.sdk.io import attach
from s3fs import S3FileSystem

from airflow_provider_lipsync.exceptions import LipsyncMediaUnavailable
from airflow_provider_lipsync.media.places import place_of
from airflow_provider_lipsync.media.signing import CannotSignError, presigned, signing_storage
from tests.media.publishing_support import Store, memory_storage, store
from tests.support.objectstore import BUCKET, aws_connection

log = logging.getLogger("task")
names = itertools.count()


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with store() as served:
        yield served


def signed(place: Any, lifetime: float = 3600.0) -> tuple[Any, dict[str, str]]:
    parts = urlsplit(presigned(place, field="audio", lifetime=lifetime, log=log))
    return parts, {name: values[0] for name, values in parse_qs(parts.query).items()}


def connected(patch: pytest.MonkeyPatch, key: str = "key.mp3", *, bucket: str = BUCKET, **changes: Any) -> Any:
    """Return a place of a connection of its own, with these extras."""
    name = f"aws_signing_{next(names)}"
    connection = json.loads(aws_connection("http://unused"))
    extra = {"region_name": "us-east-1"} | changes.pop("extra", {})
    patch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection | changes | {"extra": extra}))
    return place_of(f"s3://{name}@{bucket}/{key}", field="audio")


def test_a_url_is_signed_by_version_4_where_the_library_would_take_version_2(s3: Store) -> None:
    place = place_of(s3.put(b"content"), field="audio")
    assert "AWSAccessKeyId=" in place.fs.sign(place.path), "the library has changed: is signing_storage still needed?"
    _, query = signed(place)
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Credential"].endswith("/us-east-1/s3/aws4_request")


def test_the_filesystem_of_others_stays_as_it_is(s3: Store) -> None:
    place = place_of(s3.put(b"content"), field="audio")
    before = dict(place.fs.config_kwargs)
    signed(place)
    assert place.fs.config_kwargs == before
    assert "AWSAccessKeyId=" in place.fs.sign(place.path)


def test_a_version_that_the_connection_chose_is_kept(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"endpoint_url": s3.url, "config_kwargs": {"signature_version": "s3"}}
    _, query = signed(connected(monkeypatch, extra=chosen))
    assert "Signature" in query
    assert "X-Amz-Signature" not in query


@pytest.mark.parametrize(
    ("asked", "given"),
    [pytest.param(60, 900, id="less than it must"), pytest.param(7200, 7200, id="allowed"), (10**7, 604800)],
)
def test_a_url_lives_at_least_15_minutes_and_at_most_7_days(s3: Store, asked: float, given: int) -> None:
    _, query = signed(place_of(s3.put(b"content"), field="audio"), lifetime=asked)
    assert query["X-Amz-Expires"] == str(given)


@pytest.fixture
def amazon(s3: Store, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Extras of a connection to Amazon's own hosts, which are played by moto as a proxy."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.us-east-1.amazonaws.com")
    return {"config_kwargs": {"proxies": {"http": s3.url}}}


def test_at_amazon_the_region_of_the_bucket_is_signed_for(
    s3: Store, amazon: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"LocationConstraint": "eu-west-1"}
    s3.client.create_bucket(Bucket="lipsync-europe", CreateBucketConfiguration=there)
    parts, query = signed(connected(monkeypatch, bucket="lipsync-europe", extra=amazon))
    assert query["X-Amz-Credential"].endswith("/eu-west-1/s3/aws4_request")
    assert parts.hostname == "lipsync-europe.s3.us-east-1.amazonaws.com"


def test_at_amazon_the_host_is_the_regions_and_not_the_global_one(
    amazon: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    nowhere = {"proxies": {"https": "http://127.0.0.1:1"}, "retries": {"total_max_attempts": 1}}
    place = connected(monkeypatch, extra={"region_name": "eu-central-1", "config_kwargs": nowhere})
    storage = signing_storage(place)
    assert storage.cache_regions
    storage.cache_regions = False  # the bucket cannot be asked here
    assert urlsplit(storage.sign(place.path)).hostname == f"{BUCKET}.s3.eu-central-1.amazonaws.com"


def test_a_bucket_with_dots_in_its_name_gets_no_host_of_its_own(
    s3: Store, amazon: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.client.create_bucket(Bucket="lipsync.dotted")
    place = connected(monkeypatch, bucket="lipsync.dotted", extra=amazon)
    assert "s3" not in signing_storage(place).config_kwargs


class Role:
    """Credentials that end, and can be renewed as often as they are asked for."""

    def __init__(self, *lives: timedelta | Exception) -> None:
        self.lives, self.renewals = list(lives), 0

    def metadata(self, life: timedelta) -> dict[str, str]:
        end = datetime.now(UTC) + life
        number = self.renewals
        return {
            "access_key": f"ASIA{number}",
            "secret_key": "s",
            "token": f"token{number}",
            "expiry_time": end.isoformat(),
        }

    async def renew(self) -> dict[str, str]:
        self.renewals += 1
        life = self.lives[min(self.renewals, len(self.lives) - 1)]
        if isinstance(life, Exception):
            raise life
        return self.metadata(life)

    def credentials(self) -> Any:
        first = self.lives[0]
        assert isinstance(first, timedelta)
        return AioRefreshableCredentials.create_from_metadata(self.metadata(first), self.renew, "sts-assume-role")


def place_by(credentials: Any, s3: Store, patch: pytest.MonkeyPatch) -> Any:
    """Return a place of a storage that holds its credentials as Airflow's connection with a role does."""
    session = get_session()
    session._credentials = credentials
    session.set_config_variable("region", "us-east-1")
    name = f"aws_role_{next(names)}"
    patch.setenv(f"AIRFLOW_CONN_{name.upper()}", aws_connection(s3.url))
    attach("s3", conn_id=name, fs=S3FileSystem(session=session, endpoint_url=s3.url))
    return place_of(f"s3://{name}@{BUCKET}/key.mp3", field="audio")


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("lives", "renewals", "warned"),
    [
        pytest.param([120 * MINUTE], 0, False, id="they last"),
        pytest.param([16 * MINUTE, 120 * MINUTE], 1, False, id="shorter than the URL, renewed"),
        pytest.param([5 * MINUTE, 60.5 * MINUTE], 1, False, id="about to end, renewed"),
        pytest.param([16 * MINUTE, 16 * MINUTE], 1, False, id="no longer ones are given, but long enough"),
        pytest.param([14 * MINUTE, 14 * MINUTE], 1, True, id="no longer ones are given"),
        pytest.param([14 * MINUTE, OSError("no contact")], 1, True, id="the renewal fails"),
    ],
)
def test_credentials_that_end_before_the_url_are_renewed_else_warned_of(
    s3: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lives: list[Any],
    renewals: int,
    warned: bool,
) -> None:
    role = Role(*lives)
    place = place_by(role.credentials(), s3, monkeypatch)
    asked = role.renewals
    _, query = signed(place)
    assert role.renewals - asked >= renewals if warned else role.renewals - asked == renewals
    renewed = not isinstance(lives[-1], Exception)
    assert query["X-Amz-Security-Token"] == f"token{role.renewals if renewed else 0}"
    told = [record.getMessage() for record in caplog.records if record.name == "task"]
    assert bool(told) is warned
    if warned:
        end = datetime.now(UTC) + 14 * MINUTE
        assert (
            f"audio: the URL of s3://{BUCKET}/key.mp3 dies with the credentials that sign it, at {end:%Y-%m-%d}"
            in told[0]
        )
    assert not any("token" in text.lower() for text in told)


def test_credentials_that_are_only_had_when_asked_for_are_had(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    role = Role(timedelta(), 120 * MINUTE)
    place = place_by(AioDeferredRefreshableCredentials(role.renew, "assume-role-with-web-identity"), s3, monkeypatch)
    assert signed(place)[1]["X-Amz-Security-Token"] == "token1"


def test_credentials_that_have_ended_and_cannot_be_renewed_are_told(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_by(Role(-MINUTE, OSError("no contact")).credentials(), s3, monkeypatch)
    with pytest.raises(LipsyncMediaUnavailable, match=r"audio: signing a URL of s3://.*no contact"):
        signed(place)


def test_the_library_is_left_to_renew_in_its_own_time(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = Role(16 * MINUTE, 120 * MINUTE).credentials()
    before = credentials._advisory_refresh_timeout
    signed(place_by(credentials, s3, monkeypatch))
    assert credentials._advisory_refresh_timeout == before


def test_temporary_credentials_of_unknown_end_are_warned_of(
    s3: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    signed(connected(monkeypatch, extra={"endpoint_url": s3.url, "aws_session_token": "token-of-someone"}))
    told = [record.getMessage() for record in caplog.records if record.name == "task"]
    assert len(told) == 1
    assert "temporary credentials that do not say when they end" in told[0]


def test_no_credentials_sign_nothing(s3: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    place = connected(monkeypatch, login=None, password=None, extra={"endpoint_url": s3.url})
    with pytest.raises(CannotSignError, match="no credentials"):
        signed(place)


class TokenOnly:
    """A filesystem that has no key to sign with."""

    protocol = "memory"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def sign(self, path: str, expiration: int) -> str:
        raise self.error


def refused(error: Exception) -> Any:
    class Place:
        protocol, path, fs = "gs", "bucket/key", TokenOnly(error)

    return Place()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(AttributeError("you need a private key to sign credentials"), id="Google, a token"),
        pytest.param(ImportError("google.cloud.storage"), id="Google, no library"),
        pytest.param(ValueError("account_key must be provided"), id="Azure, no key"),
        pytest.param(NotImplementedError("Sign is not implemented"), id="fsspec"),
    ],
)
def test_a_storage_that_has_no_key_cannot_sign(error: Exception) -> None:
    with pytest.raises(CannotSignError):
        signed(refused(error))


def test_a_storage_that_fails_while_it_signs_may_be_asked_again() -> None:
    with pytest.raises(LipsyncMediaUnavailable, match="signing a URL of gs://bucket/key did not work"):
        signed(refused(ConnectionError("reset")))


def test_memory_and_the_local_disk_cannot_sign(tmp_path: Path) -> None:
    memory_storage()
    for uri in ("memory://folder/key", f"file://{tmp_path}/key"):
        with pytest.raises(CannotSignError):
            signed(place_of(uri, field="audio"))
