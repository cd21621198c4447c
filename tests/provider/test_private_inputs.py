"""Private media as inputs of an operator: signed or staged just before the submit, and gone when the job is over."""

from __future__ import annotations

import json
import urllib.request
import wave
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Asset, ObjectStoragePath

from airflow_provider_lipsync import LipsyncImageOperator
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncInputChanged,
    LipsyncJobFailed,
    LipsyncJobTimeout,
    LipsyncLedgerUnavailable,
    LipsyncMisconfigured,
    LipsyncNoCredits,
    LipsyncSubmitUncertain,
)
from tests.support.objectstore import BUCKET, aws_connection
from tests.support.shop import Shop, begin
from tests.support.tasks import FakeStateStore, Tries, run_task, succeed
from tests.support.vendor import connection

STAGING = f"s3://aws_mine@{BUCKET}/staging"
IMAGE = "https://cdn.invalid/host.png"


class Studio:
    """Where the inputs are: this machine, and a bucket."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.client, self.folder = client, folder

    def speech(self, name: str = "speech.wav", *, seconds: float = 1.0) -> Path:
        """A sound on this machine; of another length it is another sound."""
        path = self.folder / name
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(b"\x00\x00" * int(8000 * seconds))
        return path

    def upload(self, path: Path, key: str) -> str:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        return f"s3://aws_mine@{BUCKET}/{key}"

    def staged(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix="staging/").get("Contents", [])
        return [one["Key"] for one in found]


@pytest.fixture
def studio(s3: tuple[str, Any], vendor: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_MINE", aws_connection(s3[0]))
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(vendor.url, staging_path=STAGING))
    vendor.output = "https://cdn.invalid/result.mp4"
    return Studio(s3[1], tmp_path)


def task_for(audio: Any, **changes: Any) -> Any:
    return LipsyncImageOperator(task_id="render", **{"image": IMAGE, "audio": audio, "poll_interval": 0.01} | changes)


def sent(vendor: Shop) -> str:
    """The URL of the sound in the last submit."""
    url: str = vendor.bodies[-1]["formState"]["audio"]
    return url


def fetched(url: str) -> bytes:
    """What the vendor would get; by a client that logs nothing."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
        content: bytes = answer.read()
        return content


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was logged, but for what the storage's own server says of itself."""
    return "\n".join(line for line in capsys.readouterr().out.splitlines() if "[werkzeug]" not in line)


def test_a_local_file_can_be_fetched_while_the_job_runs_and_is_gone_afterwards(vendor: Shop, studio: Studio) -> None:
    speech = studio.speech()
    resume = begin(task_for(str(speech)), Tries().next(), vendor)
    assert fetched(sent(vendor)) == speech.read_bytes()
    assert len(studio.staged()) == 1
    resume()
    assert studio.staged() == []


@pytest.mark.parametrize(
    "write",
    [str, lambda path: f"file://{path}", lambda path: path, lambda path: ObjectStoragePath(f"file://{path}")],
    ids=["an absolute path", "a URL", "a Path", "an ObjectStoragePath"],
)
def test_a_local_file_may_be_written_in_each_of_these_ways(vendor: Shop, studio: Studio, write: Any) -> None:
    run_task(task_for(write(studio.speech())), Tries().next())
    assert len(vendor.jobs) == 1
    assert studio.staged() == []


@pytest.mark.parametrize("write", [str, ObjectStoragePath, Asset], ids=["a text", "an ObjectStoragePath", "an Asset"])
def test_an_object_is_signed_just_before_the_submit(
    vendor: Shop, studio: Studio, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = studio.speech()
    store, tries = FakeStateStore(), Tries()
    tries.store = store
    path = studio.upload(speech, "private/speech.wav")
    context = tries.next()
    resume = begin(task_for(write(path)), context, vendor)
    url = sent(vendor)
    assert fetched(url) == speech.read_bytes()
    result = resume()
    assert urlsplit(url).path == f"/{BUCKET}/private/speech.wav"
    secrets = [value for pair in urlsplit(url).query.split("&") for value in [pair.partition("=")[2]] if len(value) > 8]
    assert secrets
    log = told(capsys)
    assert "goes to the vendor as a presigned URL" in log
    for text in (log, json.dumps(result), json.dumps(context["ti"].xcoms), json.dumps(store.rows)):
        assert not [secret for secret in secrets if secret in text]
    assert studio.staged() == []


def test_media_of_extra_form_state_are_media_too(vendor: Shop, studio: Studio) -> None:
    task = task_for("https://cdn.invalid/passed-over.mp3", extra_form_state={"audio": str(studio.speech()), "mood": 1})
    resume = begin(task, Tries().next(), vendor)
    assert sent(vendor).startswith("http://127.0.0.1:")
    assert vendor.bodies[-1]["formState"]["mood"] == 1
    resume()
    assert studio.staged() == []


def test_without_a_place_to_stage_a_local_file_is_refused(
    vendor: Shop, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(vendor.url))
    with pytest.raises(LipsyncBadInput, match=r"audio: .*the connection has no staging_path") as caught:
        task_for(str(studio.speech())).execute(Tries().next())
    assert isinstance(caught.value, AirflowFailException)
    assert vendor.jobs == []


def test_a_local_file_needs_somebody_who_waits(vendor: Shop, studio: Studio) -> None:
    with pytest.raises(LipsyncBadInput, match="audio: a local file needs wait_for_completion=True"):
        task_for(str(studio.speech()), wait_for_completion=False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda path: path.unlink(), "does not exist", id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), "is empty", id="empty"),
        pytest.param(lambda path: path.write_text("<html>404</html>"), "audio: ", id="an error page"),
        pytest.param(
            lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64)), "audio: .*picture", id="a picture"
        ),
    ],
)
@pytest.mark.parametrize("where", ["disk", "S3"])
def test_media_that_cannot_be_are_refused_before_anything_is_paid(
    vendor: Shop, studio: Studio, make: Any, words: str, where: str
) -> None:
    path = studio.speech()
    make(path)
    if where == "S3":
        given = f"s3://aws_mine@{BUCKET}/private/bad.wav"
        studio.client.delete_object(Bucket=BUCKET, Key="private/bad.wav")
        if path.exists():
            studio.upload(path, "private/bad.wav")
    else:
        given = str(path)
    tries = Tries()
    with pytest.raises(LipsyncBadInput, match=words) as caught:
        task_for(given).execute(tries.next())
    assert str(caught.value).startswith("job none · charged: no · video: none")
    assert (vendor.jobs, tries.store.rows, studio.staged()) == ([], {}, [])


def test_a_job_that_failed_leaves_no_copy(vendor: Shop, studio: Studio) -> None:
    vendor.status = "failed"
    with pytest.raises(LipsyncJobFailed):
        run_task(task_for(str(studio.speech())), Tries().next())
    assert studio.staged() == []


def test_a_submit_that_was_refused_leaves_no_copy(vendor: Shop, studio: Studio) -> None:
    vendor.refuses = 402
    with pytest.raises(LipsyncNoCredits):
        run_task(task_for(str(studio.speech())), Tries().next())
    assert studio.staged() == []


def test_a_ledger_that_cannot_be_written_leaves_no_copy(vendor: Shop, studio: Studio) -> None:
    class Full(FakeStateStore):
        def set(self, key: str, value: Any, *, retention: Any) -> None:
            raise OSError("no space left")

    with pytest.raises(LipsyncLedgerUnavailable):
        run_task(task_for(str(studio.speech())), Tries(store=Full()).next())
    assert (vendor.jobs, studio.staged()) == ([], [])


def test_a_copy_stays_while_a_job_may_want_it(vendor: Shop, studio: Studio) -> None:
    vendor.refuses = 500
    with pytest.raises(LipsyncSubmitUncertain):
        run_task(task_for(str(studio.speech())), Tries().next())
    assert len(studio.staged()) == 1
    studio.client.delete_object(Bucket=BUCKET, Key=studio.staged()[0])


def test_a_copy_stays_when_the_time_is_up_and_goes_with_the_try_that_ends(vendor: Shop, studio: Studio) -> None:
    vendor.status, tries = "processing", Tries(retries=1)
    speech = str(studio.speech())
    with pytest.raises(LipsyncJobTimeout):
        run_task(task_for(speech, job_timeout=0.05), tries.next())
    assert len(studio.staged()) == 1
    vendor.status = "completed"
    run_task(task_for(speech, job_timeout=0.05), tries.next())
    assert (len(vendor.jobs), studio.staged()) == (1, [])


@pytest.mark.parametrize("cleared", [False, True], ids=["retry", "clear"])
@pytest.mark.parametrize("where", ["disk", "S3"])
def test_a_job_is_waited_for_though_its_inputs_are_gone(
    vendor: Shop, studio: Studio, where: str, cleared: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = studio.speech()
    given = str(speech) if where == "disk" else studio.upload(speech, "private/passing.wav")
    tries = Tries(retries=1)
    begin(task_for(given), tries.next(), vendor)  # and nobody comes back
    speech.unlink()
    studio.client.delete_object(Bucket=BUCKET, Key="private/passing.wav")
    run_task(task_for(given), tries.next(cleared=cleared))
    assert (len(vendor.jobs), studio.staged()) == (1, [])
    assert "It cannot be told whether audio" in told(capsys)


@pytest.mark.parametrize("where", ["disk", "S3"])
def test_other_bytes_under_the_same_name_are_another_input(vendor: Shop, studio: Studio, where: str) -> None:
    def given(seconds: float) -> str:
        speech = studio.speech(seconds=seconds)
        return str(speech) if where == "disk" else studio.upload(speech, "private/changing.wav")

    tries = Tries(retries=2)
    begin(task_for(given(1.0)), tries.next(), vendor)
    vendor.status = "processing"
    with pytest.raises(LipsyncInputChanged, match="audio changed"):
        run_task(task_for(given(2.0)), tries.next())
    vendor.status = "completed"
    run_task(task_for(given(1.0)), tries.next())
    assert len(vendor.jobs) == 1


def test_the_same_bytes_in_another_file_are_the_same_input(vendor: Shop, studio: Studio) -> None:
    tries = Tries(retries=1)
    begin(task_for(str(studio.speech("a.wav"))), tries.next(), vendor)
    run_task(task_for(str(studio.speech("b.wav"))), tries.next())
    assert len(vendor.jobs) == 1


def test_a_clear_of_a_delivered_task_with_inputs_that_are_gone_says_so(vendor: Shop, studio: Studio) -> None:
    speech, tries = studio.speech(), Tries()
    task, context = task_for(str(speech)), tries.next()
    run_task(task, context)
    succeed(task, context)
    speech.unlink()
    with pytest.raises(LipsyncBadInput, match="does not exist"):
        run_task(task_for(str(speech)), tries.next(cleared=True))
    assert len(vendor.jobs) == 1


def test_a_connection_that_names_no_place_is_told(
    vendor: Shop, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(vendor.url, staging_path="s3://no_conn@b/x"))
    with pytest.raises(LipsyncMisconfigured, match="staging_path: there is no Airflow connection 'no_conn'"):
        task_for(str(studio.speech())).execute(Tries().next())
    assert vendor.jobs == []


def test_a_storage_that_cannot_sign_uses_the_public_base(
    vendor: Shop, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = tmp_path / "public"
    public.mkdir()
    bases = {f"file://{public}/": "https://cdn.invalid/files/"}
    settings = {"staging_path": f"file://{public}/staging", "public_url_base": bases}
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(vendor.url, **settings))
    resume = begin(task_for(str(studio.speech())), Tries().next(), vendor)
    assert sent(vendor).startswith("https://cdn.invalid/files/staging/show/")
    (copy,) = [path for path in public.rglob("*") if path.is_file()]
    assert sent(vendor).endswith(copy.name)
    resume()
    assert not [path for path in public.rglob("*") if path.is_file()]
