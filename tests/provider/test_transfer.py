"""The transfer: whole or not at all, into S3 (moto, real HTTP) and a local disk."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_lipsync import LipsyncToObjectStorageOperator
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncJobFailed,
    LipsyncTransferFailed,
    LipsyncUnknownJob,
)
from tests.provider.conftest import Tell
from tests.support.objectstore import aws_connection
from tests.support.places import Place
from tests.support.scripted import Step, answer, drop, scripted
from tests.support.tasks import new_context
from tests.support.vendor import JOB_ID, KEY, completed, failed, job, processing
from tests.support.videos import LARGE, VIDEO, sha256_of, video_at

SHA = {len(content): sha256_of(content) for content in (VIDEO, LARGE)}


def store(place: Place, **changes: Any) -> Any:
    return LipsyncToObjectStorageOperator(task_id="publish", **({"job": JOB_ID, "output_path": place.path} | changes))


@pytest.mark.parametrize("content", [VIDEO, LARGE], ids=["small", "several parts"])
def test_a_video_is_stored_whole(tell: Tell, place: Place, content: bytes) -> None:
    with video_at(answer(200, content)) as url:
        tell(completed(url))
        result = store(place, job={"job_id": JOB_ID, "video_url": "https://old", "labels": {"client": "acme"}}).execute(
            new_context()
        )
    assert place.content() == content
    assert (result["size"], result["sha256"]) == (len(content), SHA[len(content)])
    assert (result["job_id"], result["status"], result["labels"]) == (JOB_ID, "completed", {"client": "acme"})
    assert result["output_path"] == place.path
    assert result["output_uri"] == place.path.replace("aws_mine@", "")
    assert len(result) == 11
    assert place.leftovers() == []


def cut(connection: socket.socket) -> None:
    """Promise a large video, hang up in the middle."""
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(LARGE)}\r\n\r\n".encode() + LARGE[: len(LARGE) - 99])


@pytest.mark.parametrize("content", [VIDEO, None], ids=["something stood there", "nothing stood there"])
def test_half_a_video_never_stands_under_the_final_name(tell: Tell, place: Place, content: bytes | None) -> None:
    if content:
        place.put(content)
    with video_at(cut) as url:
        tell(completed(url))
        with pytest.raises(LipsyncTransferFailed, match="video: at the vendor") as caught:
            store(place, if_exists="replace").execute(new_context())
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert place.content() == content
    assert place.leftovers() == []
    assert "secret" not in str(caught.value)


def test_a_download_that_breaks_off_is_begun_again(tell: Tell, place: Place) -> None:
    with video_at(cut, drop, answer(200, LARGE)) as url:
        tell(completed(url))
        assert store(place).execute(new_context())["sha256"] == SHA[len(LARGE)]
    assert place.content() == LARGE


def boxed(size: int) -> bytes:
    """An MP4 of two boxes, the second with a size of 64 bits."""
    head = b"\x00\x00\x00\x10ftypmp42\x00\x00\x00\x00"
    return head + b"\x00\x00\x00\x01mdat" + (size + 16).to_bytes(8, "big") + b"\x07" * size


@pytest.mark.parametrize("left_out", [0, 1, 99999])
def test_a_video_of_no_promised_length_is_whole_only_if_its_boxes_are(tell: Tell, place: Place, left_out: int) -> None:
    whole = boxed(100000)
    content = whole[: len(whole) - left_out]

    def unpromised(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + content)

    with video_at(unpromised) as url:
        tell(completed(url))
        if left_out:
            with pytest.raises(LipsyncTransferFailed, match="breaks off after"):
                store(place).execute(new_context())
        else:
            store(place).execute(new_context())
    assert place.content() == (None if left_out else whole)


@pytest.mark.parametrize("name", ["a b#1.mp4", "what?.mp4", "50%.mp4", "é.mp4"])
def test_a_name_with_odd_characters_keeps_its_address(tell: Tell, place: Place, name: str) -> None:
    place.key = name
    with video_at(answer(200, VIDEO)) as url:
        tell(completed(url))
        result = store(place, if_exists="replace").execute(new_context())
    assert result["output_uri"] == place.path.replace("aws_mine@", "")


def test_the_key_in_a_path_is_refused(tell: Tell, place: Place) -> None:
    server = tell(completed())
    with pytest.raises(LipsyncBadInput, match="in output_path") as caught:
        store(place, output_path=f"s3://bucket/{KEY}.mp4").execute(new_context())
    assert KEY not in str(caught.value)
    assert server.requests == []


def test_a_storage_that_nobody_knows_is_refused(tell: Tell, place: Place) -> None:
    tell(completed())
    with pytest.raises(LipsyncBadInput, match=r"output_path: 'nowhere://b/v.mp4' cannot be used"):
        store(place, output_path="nowhere://b/v.mp4").execute(new_context())


@pytest.mark.parametrize(
    ("step", "words"),
    [
        pytest.param(answer(403), "the video's URL has died", id="403"),
        pytest.param(answer(404), "the video's URL has died", id="404"),
        pytest.param(answer(410), "the video's URL has died", id="410"),
        pytest.param(answer(200, "<html>Sorry</html>"), "not an MP4", id="an error page with 200"),
        pytest.param(answer(200), "not an MP4", id="nothing"),
        pytest.param(answer(500), "answered 500", id="500"),
    ],
)
def test_what_is_no_video_is_not_stored(tell: Tell, place: Place, step: Step, words: str) -> None:
    with video_at(step) as url:
        tell(completed(url))
        with pytest.raises(LipsyncTransferFailed, match=words):
            store(place).execute(new_context())
    assert place.content() is None
    assert place.leftovers() == []


def test_this_very_video_is_reused(tell: Tell, place: Place) -> None:
    place.put(VIDEO)
    with video_at(answer(200, VIDEO)) as url:
        tell(completed(url))
        assert store(place).execute(new_context())["sha256"] == SHA[len(VIDEO)]


@pytest.mark.parametrize("if_exists", ["reuse", "fail"])
def test_another_video_is_not_touched(tell: Tell, place: Place, if_exists: str) -> None:
    place.put(b"the boss's holiday")
    with video_at(answer(200, VIDEO)) as url:
        tell(completed(url))
        with pytest.raises(LipsyncTransferFailed, match="Something else stands at"):
            store(place, if_exists=if_exists).execute(new_context())
    assert place.content() == b"the boss's holiday"


def test_another_video_is_replaced_if_asked(tell: Tell, place: Place) -> None:
    place.put(b"the boss's holiday")
    with video_at(answer(200, VIDEO)) as url:
        tell(completed(url))
        store(place, if_exists="replace").execute(new_context())
    assert place.content() == VIDEO


@pytest.mark.parametrize("fault", [answer(404), answer(500)], ids=["forgotten", "vendor down"])
def test_a_video_whose_job_cannot_be_asked_for_is_fetched_by_the_url_it_had(
    tell: Tell, place: Place, fault: Step
) -> None:
    tell(fault)
    with video_at(answer(200, VIDEO)) as url:
        given = {"job_id": JOB_ID, "model": "lipsync-image", "status": "completed", "video_url": url}
        assert store(place, job=given).execute(new_context())["model"] == "lipsync-image"
    assert place.content() == VIDEO


def test_an_id_alone_whose_job_nobody_knows_is_an_error(tell: Tell, place: Place) -> None:
    tell(answer(404))
    with pytest.raises(LipsyncUnknownJob):
        store(place).execute(new_context())


@pytest.mark.parametrize(
    ("found", "kind", "words", "for_good"),
    [
        pytest.param(processing(), LipsyncTransferFailed, "no video yet", False, id="processing"),
        pytest.param(job(status="polishing"), LipsyncTransferFailed, "no video yet", False, id="unknown status"),
        pytest.param(failed(), LipsyncJobFailed, "Invalid audio format", True, id="failed"),
    ],
)
def test_a_job_without_a_video(
    tell: Tell, place: Place, found: Step, kind: type[Exception], words: str, for_good: bool
) -> None:
    tell(found)
    with pytest.raises(kind, match=words) as caught:
        store(place).execute(new_context())
    assert isinstance(caught.value, AirflowFailException) is for_good


@pytest.mark.parametrize("path", ["", None, "s3://bucket/folder/", "{{ ds }}.mp4"])
def test_a_path_that_is_none_is_refused(tell: Tell, place: Place, path: Any) -> None:
    server = tell(completed())
    with pytest.raises(LipsyncBadInput, match="output_path: the path of a file is required"):
        store(place, output_path=path).execute(new_context())
    assert server.requests == []


def test_a_bucket_that_is_not_there_is_told(tell: Tell, s3: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_MINE", aws_connection(s3[0]))
    with video_at(answer(200, VIDEO)) as url:
        tell(completed(url))
        lost = LipsyncToObjectStorageOperator(
            task_id="publish", job=JOB_ID, output_path="s3://aws_mine@no-such-bucket/video.mp4"
        )
        with pytest.raises(LipsyncTransferFailed, match=r"no-such-bucket/video.mp4 did not work"):
            lost.execute(new_context())


def test_an_unknown_choice_is_refused_while_the_dag_is_read(place: Place) -> None:
    with pytest.raises(LipsyncBadInput, match="if_exists: allowed are reuse, replace, fail"):
        store(place, if_exists="ignore")


def test_a_redirect_is_followed_and_no_key_goes_with_it(tell: Tell, place: Place) -> None:
    with scripted(answer(200, VIDEO)) as storage:
        moved = answer(302, headers={"Location": f"{storage.url}/elsewhere.mp4"})
        with video_at(moved) as url:
            tell(completed(url))
            store(place).execute(new_context())
        assert b"authorization" not in storage.requests[0].lower()
    assert place.content() == VIDEO
