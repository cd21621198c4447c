"""``output_path`` of the operators: the video is kept, with its receipt, and nothing is bought twice."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Asset, AssetAlias

from airflow_provider_lipsync import LipsyncImageOperator
from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncJobFailed,
    LipsyncMediaUnavailable,
    LipsyncOutputExists,
    LipsyncSubmitUncertain,
    LipsyncTransferFailed,
)
from airflow_provider_lipsync.media.download import _IN_VAIN
from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX, Receipt
from airflow_provider_lipsync.media.sinks import DiskSink, ObjectSink
from tests.support.objectstore import BUCKET
from tests.support.places import Folder, Place
from tests.support.scripted import Step, answer
from tests.support.shop import Shop, begin, shop
from tests.support.tasks import Tries, run_task, succeed
from tests.support.vendor import JOB_ID, KEY, connection
from tests.support.videos import OTHER, VIDEO, sha256_of, video_at

FAULTS = [answer(500)] * _IN_VAIN  # until a download is given up
CONTENTS = {"image": "https://cdn.invalid/host.png", "audio": "https://cdn.invalid/speech.mp3"}


def task_for(place: Place, **changes: Any) -> Any:
    fields = {**CONTENTS, "output_path": place.path, "poll_interval": 0.01, **changes}
    return LipsyncImageOperator(task_id="render", **fields)


def receipt_of(place: Place) -> Receipt | None:
    content = place.beside(RECEIPT_SUFFIX)
    return None if content is None else Receipt.from_bytes(content)


def deliver(place: Place, tries: Tries, **changes: Any) -> Any:
    """One try that ends well."""
    task, context = task_for(place, **changes), tries.next()
    result = run_task(task, context)
    succeed(task, context)
    return result


def another_run(**changes: Any) -> Any:
    """The context of another run's task instance."""
    context = Tries(**changes).next()
    context["ti"].run_id = "manual__2026-01-12"
    return context


def test_the_video_is_stored_and_described(vendor: Shop, place: Place, deferrable: bool) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        result = deliver(place, Tries(), deferrable=deferrable)
    assert place.content() == VIDEO
    assert (result["output_path"], result["output_uri"]) == (place.path, place.path.replace("aws_mine@", ""))
    assert (result["sha256"], result["size"]) == (sha256_of(VIDEO), len(VIDEO))
    receipt = receipt_of(place)
    assert receipt is not None
    assert (receipt.job_id, receipt.sha256, receipt.size) == (vendor.jobs[0], result["sha256"], result["size"])
    assert (receipt.model, receipt.execution_time) == ("lipsync-image", 12345)
    assert str(receipt.author) == "show.render of manual__2026-01-05"
    assert set(receipt.fingerprint or ()) == {"audio", "endpoint", "image", "resolution"}
    assert set(receipt.versions) == {"airflow-provider-lipsync", "apache-airflow"}


def test_a_receipt_holds_no_key_no_input_and_no_signature(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, Tries(), audio="https://cdn.invalid/speech.mp3?X-Amz-Signature=abcdef&X-Amz-Date=1")
    told = (place.beside(RECEIPT_SUFFIX) or b"").decode()
    assert not [secret for secret in (KEY, "abcdef", "cdn.invalid", "sig=") if secret in told]


def test_another_run_takes_what_was_rendered(vendor: Shop, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        first = deliver(place, Tries())
        again = task_for(place).execute(context := another_run())
    assert len(vendor.jobs) == 1
    assert again == first | {"video_url": None}
    assert context["ti"].xcoms["job_id"] == vendor.jobs[0]
    told = capsys.readouterr().out
    assert "Nothing is bought" in told
    assert f"Job {vendor.jobs[0]} rendered it for show.render of manual__2026-01-05" in told
    assert "Saved: the credits of a job" in told


def test_a_signature_or_a_receiver_that_changed_is_no_other_input(vendor: Shop, place: Place) -> None:
    def signed(number: int) -> dict[str, str]:
        return {
            "audio": f"https://cdn.invalid/speech.mp3?X-Amz-Signature={number}&X-Amz-Date={number}",
            "webhook_url": f"https://receiver.invalid/{number}",
        }

    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, Tries(), **signed(1))
        task_for(place, **signed(2)).execute(another_run())
    assert len(vendor.jobs) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"audio": "https://cdn.invalid/other.mp3"}, "audio", id="another sound"),
        pytest.param({"seed": 7, "resolution": "720p"}, "resolution, seed", id="another seed and size"),
        pytest.param({"extra_form_state": {"mood": "calm"}}, "mood", id="a field more"),
    ],
)
def test_other_inputs_are_an_error_before_anything_is_paid(
    vendor: Shop, place: Place, change: dict[str, Any], words: str
) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, Tries())
        with pytest.raises(LipsyncOutputExists, match=rf"made of other inputs \({words}\)") as caught:
            task_for(place, **change).execute(another_run())
    assert str(caught.value).startswith("job none · charged: no · video: none")
    assert isinstance(caught.value, AirflowFailException)
    assert len(vendor.jobs) == 1
    assert place.content() == VIDEO


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        pytest.param(lambda place: place.remove(RECEIPT_SUFFIX), "it has no receipt", id="no receipt"),
        pytest.param(lambda place: place.put(b"{", RECEIPT_SUFFIX), "receipt cannot be read", id="rubbish"),
        pytest.param(lambda place: place.put(b"", RECEIPT_SUFFIX), "receipt cannot be read", id="empty"),
        pytest.param(
            lambda place: place.put(b'{"format": "lipsync-receipt", "version": 2}', RECEIPT_SUFFIX),
            "no lipsync-receipt of version 1",
            id="a later version",
        ),
        pytest.param(lambda place: place.put(OTHER), "receipt is of another file", id="another file of that size"),
        pytest.param(lambda place: place.put(VIDEO + b"."), "receipt is of another file", id="a longer file"),
    ],
)
def test_what_no_receipt_describes_is_never_taken(
    vendor: Shop, place: Place, spoilt: Callable[[Place], None], words: str
) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, tries := Tries())
        spoilt(place)
        standing = place.content()
        with pytest.raises(LipsyncOutputExists, match=words):
            task_for(place).execute(another_run())
        with pytest.raises(LipsyncOutputExists, match=words):  # nor its own, once it is another file
            task_for(place).execute(tries.next(cleared=True))
    assert len(vendor.jobs) == 1
    assert place.content() == standing


def test_a_receipt_whose_video_is_gone_says_nothing(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, Tries())
        place.remove()
        run_task(task_for(place), another_run())
    assert len(vendor.jobs) == 2
    assert place.content() == VIDEO


def test_fail_takes_not_even_the_same(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, Tries(), if_exists="fail")
        with pytest.raises(LipsyncOutputExists, match='if_exists is "fail"'):
            task_for(place, if_exists="fail").execute(another_run())
    assert len(vendor.jobs) == 1


def test_replace_buys_and_the_old_video_stands_until_the_new_one_is_whole(vendor: Shop, place: Place) -> None:
    place.put(OTHER)
    with video_at(*FAULTS, answer(200, VIDEO)) as url:
        vendor.output = url
        tries = Tries(retries=1)
        with pytest.raises(LipsyncTransferFailed):
            run_task(task_for(place, if_exists="replace"), tries.next())
        assert (place.content(), receipt_of(place)) == (OTHER, None)
        run_task(task_for(place, if_exists="replace"), tries.next())
    assert len(vendor.jobs) == 1
    assert place.content() == VIDEO


@pytest.mark.parametrize("if_exists", ["reuse", "fail", "replace"])
def test_a_clear_after_a_delivery_replaces_its_own_video(vendor: Shop, place: Place, if_exists: str) -> None:
    with video_at(answer(200, VIDEO), answer(200, OTHER)) as url:
        vendor.output = url
        tries = Tries()
        deliver(place, tries, if_exists=if_exists)
        task, context = task_for(place, if_exists=if_exists), tries.next(cleared=True)
        result = run_task(task, context)
    assert len(vendor.jobs) == 2
    assert place.content() == OTHER
    assert result["sha256"] == sha256_of(OTHER)
    receipt = receipt_of(place)
    assert receipt is not None
    assert receipt.sha256 == sha256_of(OTHER)


def test_a_clear_of_a_task_that_bought_nothing_buys_nothing(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, Tries())
        other = Tries()
        for cleared in (False, True):
            task, context = task_for(place), other.next(cleared=cleared)
            context["ti"].run_id = "manual__2026-01-12"
            task.execute(context)
            succeed(task, context)
    assert len(vendor.jobs) == 1


@pytest.mark.parametrize("cleared", [False, True], ids=["retry", "clear"])
def test_a_download_that_failed_never_buys_again(vendor: Shop, place: Place, cleared: bool) -> None:
    with video_at(*FAULTS, answer(200, VIDEO)) as url:
        vendor.output = url
        tries = Tries(retries=1)
        with pytest.raises(LipsyncTransferFailed) as caught:
            run_task(task_for(place), tries.next())
        assert str(caught.value).startswith(f"job {vendor.jobs[0]} · charged: yes · video: at the vendor")
        run_task(task_for(place), tries.next(cleared=cleared))
    assert len(vendor.jobs) == 1
    assert place.content() == VIDEO


class Killed(BaseException):
    """What SIGKILL would have done."""


def killed_at(monkeypatch: pytest.MonkeyPatch, name: str, *, before: bool, call: int = 1) -> None:
    """Die at the first call, or a later one, of a function of jobs.keeping."""
    import airflow_provider_lipsync.jobs.keeping as module

    real, calls = getattr(module, name), itertools.count(1)

    def die(*args: Any, **options: Any) -> Any:
        if next(calls) < call:
            return real(*args, **options)
        monkeypatch.setattr(module, name, real)
        if not before:
            real(*args, **options)
        raise Killed

    monkeypatch.setattr(module, name, die)


@pytest.mark.parametrize("cleared", [False, True], ids=["retry", "clear"])
@pytest.mark.parametrize("before", [True, False], ids=["before its receipt", "after its receipt"])
def test_a_death_between_the_video_and_the_result_costs_nothing(
    vendor: Shop, place: Place, monkeypatch: pytest.MonkeyPatch, before: bool, cleared: bool
) -> None:
    with video_at(answer(200, VIDEO), answer(410)) as url:  # by then the URL has died
        vendor.output = url
        tries = Tries(retries=1)
        killed_at(monkeypatch, "write_receipt", before=before, call=2)
        with pytest.raises(Killed):
            run_task(task_for(place), tries.next())
        assert place.content() == VIDEO
        result = run_task(task_for(place), tries.next(cleared=cleared))
    assert len(vendor.jobs) == 1
    assert result["sha256"] == sha256_of(VIDEO)
    receipt = receipt_of(place)
    assert receipt is not None
    assert receipt.job_id == vendor.jobs[0]


@pytest.mark.parametrize("new_stands", [False, True], ids=["the old one stands", "the new one stands"])
def test_a_death_while_a_video_is_replaced_leaves_it_to_the_next_try(
    vendor: Shop, place: Place, monkeypatch: pytest.MonkeyPatch, new_stands: bool
) -> None:
    with video_at(answer(200, VIDEO), answer(200, OTHER)) as url:
        vendor.output = url
        tries = Tries(retries=1)
        deliver(place, tries)
        if new_stands:
            killed_at(monkeypatch, "store_video", before=False)
        else:
            killed_at(monkeypatch, "write_receipt", before=False)
        with pytest.raises(Killed):
            run_task(task_for(place), tries.next(cleared=True))
        assert place.content() == (OTHER if new_stands else VIDEO)
        with pytest.raises(LipsyncOutputExists):  # nobody else may put another in its place
            task_for(place, seed=1).execute(another_run())
        run_task(task_for(place), tries.next())
    assert len(vendor.jobs) == 2
    assert place.content() == OTHER
    receipt = receipt_of(place)
    assert receipt is not None
    assert receipt.sha256 == sha256_of(OTHER)


def test_a_stored_video_is_handed_on_even_if_the_vendor_forgot_the_job(
    vendor: Shop, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        tries = Tries(retries=1)
        killed_at(monkeypatch, "write_receipt", before=False, call=2)
        with pytest.raises(Killed):
            run_task(task_for(place), tries.next())
        vendor.status = "gone"
        result = run_task(task_for(place), tries.next())
    assert result["sha256"] == sha256_of(VIDEO)
    assert len(vendor.jobs) == 1


def test_a_url_that_died_is_asked_for_again(vendor: Shop, place: Place) -> None:
    with video_at(answer(403)) as dead, video_at(answer(200, VIDEO)) as fresh:
        task, context = task_for(place), Tries().next()
        vendor.output = dead
        resume = begin(task, context, vendor)
        told = Job(id=vendor.jobs[0], status=JobStatus.COMPLETED, raw_status="completed", output=dead)
        vendor.output = fresh
        resume({"job": told.as_dict()})
    assert len(vendor.jobs) == 1
    assert place.content() == VIDEO


def test_a_url_that_is_dead_for_good_names_the_job(vendor: Shop, place: Place) -> None:
    with video_at(answer(410)) as url:
        vendor.output = url
        tries = Tries(retries=1)
        for _ in range(2):
            with pytest.raises(LipsyncTransferFailed, match="410") as caught:
                run_task(task_for(place), tries.next())
            assert str(caught.value).startswith(f"job {vendor.jobs[0]} · charged: yes · video: at the vendor")
            assert "sig=" not in str(caught.value)
    assert len(vendor.jobs) == 1


def test_a_bucket_that_is_not_there_is_told_before_anything_is_paid(vendor: Shop, place: Place) -> None:
    place.key = f"../{BUCKET}/no"
    path = f"s3://aws_mine@no-such-bucket/{place.key}"
    with pytest.raises(LipsyncBadInput, match=r"output_path: .*no-such-bucket.* cannot be used"):
        task_for(place, output_path=path).execute(Tries().next())
    assert vendor.jobs == []


def test_a_folder_in_the_way_is_told_before_anything_is_paid(vendor: Shop, place: Place) -> None:
    place.key = f"{place.key}/inner.mp4"
    place.put(VIDEO)
    with pytest.raises(LipsyncBadInput, match="a folder stands there"):
        task_for(place, output_path=place.path.removesuffix("/inner.mp4")).execute(Tries().next())
    assert vendor.jobs == []


def test_a_storage_that_does_not_answer_stops_the_purchase_and_is_retried(
    vendor: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with video_at(answer(503)) as url:
        extra = {"endpoint_url": url.split("/api")[0], "config_kwargs": {"retries": {"max_attempts": 0}}}
        login = {"conn_type": "aws", "login": "a", "password": "b", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DOWN", json.dumps(login))
        task = LipsyncImageOperator(task_id="render", **CONTENTS, output_path="s3://aws_down@bucket/v.mp4")
        with pytest.raises(LipsyncMediaUnavailable, match="it is not known whether a video stands") as caught:
            task.execute(Tries().next())
    assert not isinstance(caught.value, AirflowFailException)
    assert vendor.jobs == []


def test_two_runs_at_the_same_time_pay_twice_at_the_most_and_mix_nothing(
    vendor: Shop, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with video_at(answer(200, VIDEO)) as url, video_at(answer(200, OTHER)) as other_url:
        resume = begin(task_for(place), another_run(), vendor)
        vendor.output = url
        first = deliver(place, Tries())
        vendor.output = other_url
        result = resume()
    assert len(vendor.jobs) == 2
    assert place.content() == VIDEO
    assert (result["sha256"], result["job_id"]) == (first["sha256"], vendor.jobs[1])
    assert f"This task's own, of job {vendor.jobs[0]}, was paid for, too" in capsys.readouterr().out


def overtaken_by(place: Place, receipt: bytes) -> Step:
    """A video that comes while another task stores its own there."""

    def step(connection: socket.socket) -> None:
        place.put(OTHER)
        place.put(receipt, RECEIPT_SUFFIX)
        answer(200, VIDEO)(connection)

    return step


@pytest.mark.parametrize("if_exists", ["reuse", "fail"])
@pytest.mark.parametrize("same", [True, False], ids=["the same inputs", "other inputs"])
def test_a_video_that_came_during_the_download_is_never_overwritten(
    vendor: Shop, place: Place, same: bool, if_exists: str
) -> None:
    with video_at(answer(200, OTHER)) as url:
        vendor.output = url
        deliver(place, Tries(), **({} if same else {"seed": 1}))
        others = place.beside(RECEIPT_SUFFIX) or b""
        place.remove(), place.remove(RECEIPT_SUFFIX)
    with video_at(overtaken_by(place, others)) as url:
        vendor.output = url
        task, context = task_for(place, if_exists=if_exists), another_run()
        if same and if_exists == "reuse":
            assert run_task(task, context)["job_id"] == vendor.jobs[0]
        else:
            with pytest.raises(LipsyncOutputExists) as caught:
                run_task(task, context)
            assert str(caught.value).startswith(f"job {vendor.jobs[1]} · charged: yes · video: at the vendor")
    assert (place.content(), place.beside(RECEIPT_SUFFIX)) == (OTHER, others)


def test_a_video_of_a_sandbox_is_never_taken_for_a_real_one(
    vendor: Shop, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with video_at(answer(200, VIDEO)) as url, shop() as real:
        vendor.output = url
        deliver(place, Tries())
        monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", connection(real.url))
        with pytest.raises(LipsyncOutputExists, match="rendered by another API"):
            task_for(place).execute(another_run())
    assert real.jobs == []


def test_a_file_that_a_person_put_there_after_a_death_is_not_the_tasks_own(
    vendor: Shop, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with video_at(answer(200, VIDEO), answer(200, OTHER)) as url:
        vendor.output = url
        tries = Tries(retries=1)
        deliver(place, tries)
        killed_at(monkeypatch, "write_receipt", before=False)
        with pytest.raises(Killed):
            run_task(task_for(place), tries.next(cleared=True))
        place.put(b"the boss's holiday")
        with pytest.raises(LipsyncOutputExists):
            run_task(task_for(place), tries.next())
    assert place.content() == b"the boss's holiday"


def test_a_replacement_that_fails_leaves_the_old_video_its_receipt(
    vendor: Shop, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(sink: Any, before_commit: Callable[[], None]) -> None:
        before_commit()
        raise OSError("the storage is full")

    with video_at(answer(200, VIDEO), answer(200, OTHER)) as url:
        vendor.output = url
        tries = Tries()
        deliver(place, tries)
        before = place.beside(RECEIPT_SUFFIX)
        with monkeypatch.context() as patch:
            finish = (ObjectSink.finish, DiskSink.finish)
            small = lambda sink, then: (finish[isinstance(sink, DiskSink)] if is_small(sink) else refuse)(sink, then)  # noqa: E731
            patch.setattr(ObjectSink, "finish", small)
            patch.setattr(DiskSink, "finish", small)
            with pytest.raises(LipsyncTransferFailed, match="the storage is full"):
                run_task(task_for(place), tries.next(cleared=True))
        assert (place.content(), place.beside(RECEIPT_SUFFIX)) == (VIDEO, before)
        assert task_for(place).execute(another_run())["sha256"] == sha256_of(VIDEO)


def is_small(sink: Any) -> bool:
    """Whether it takes a receipt, not a video."""
    name = sink._path.name if isinstance(sink, DiskSink) else sink._name
    return str(name).endswith(RECEIPT_SUFFIX)


def test_a_retry_that_breaks_early_names_the_job_that_is_kept(
    vendor: Shop, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = Tries(retries=1)
    begin(task_for(place), tries.next(), vendor)
    with pytest.raises(LipsyncBadInput, match="bought by an earlier try, is kept") as caught:
        task_for(place, output_path="s3://no_conn@b/v.mp4").execute(tries.next())
    assert str(caught.value).startswith(f"job {vendor.jobs[0]} · charged: yes")


def test_an_uncertain_submit_need_not_be_asked_about_where_the_video_stands(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output, vendor.refuses = url, 500
        tries = Tries(retries=1)
        with pytest.raises(LipsyncSubmitUncertain):
            run_task(task_for(place), tries.next())
        vendor.refuses = None
        context = another_run()
        run_task(task_for(place), context)
        assert task_for(place).execute(tries.next())["sha256"] == sha256_of(VIDEO)
    assert len(vendor.jobs) == 1


def test_a_job_that_a_person_found_and_the_vendor_forgot_is_there_if_it_was_stored(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        tries = Tries()
        deliver(place, tries)
        vendor.status = "gone"
        task = task_for(place, resume_job_id=vendor.jobs[0])
        assert task.execute(tries.next(cleared=True))["sha256"] == sha256_of(VIDEO)


def test_a_path_that_renders_anew_is_the_one_that_was_checked(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        task = task_for(place)
        resume = begin(task, Tries().next(), vendor)
        task.output_path = "s3://no_conn@elsewhere/now.mp4"
        assert resume()["output_path"] == place.path
    assert place.content() == VIDEO


@pytest.mark.parametrize("name", ["x" * 250 + ".mp4", "x" * 240 + ".mp4", "f/" * 600 + "v.mp4"])
def test_a_name_that_has_no_room_is_refused_before_anything_is_paid(vendor: Shop, place: Place, name: str) -> None:
    if isinstance(place, Folder) is name.startswith("f/"):
        pytest.skip("a disk bounds each name, S3 the whole of it")
    place.key = name
    if isinstance(place, Folder):
        with pytest.raises(LipsyncBadInput, match="cannot be used"):
            task_for(place).execute(Tries().next())
    elif len(name) > 1000:
        with pytest.raises(LipsyncBadInput, match="names of 1024 bytes"):
            task_for(place).execute(Tries().next())
    assert vendor.jobs == []


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_paid(vendor: Shop, place: Place) -> None:
    with pytest.raises(LipsyncBadInput, match="cannot be used"):
        task_for(place, output_path="file:///proc/nowhere/v.mp4").execute(Tries().next())
    assert vendor.jobs == []


def test_without_memory_a_receipt_is_asked_before_a_person_is(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, Tries(store=None))
        tries = Tries(store=None, retries=1)
        tries.next()
        assert task_for(place).execute(tries.next())["job_id"] == vendor.jobs[0]
        place.remove()
        tries = Tries(store=None, retries=1)
        tries.next()
        with pytest.raises(LipsyncSubmitUncertain):
            task_for(place).execute(tries.next())
    assert len(vendor.jobs) == 1


def test_the_receipt_of_a_deferred_job_says_what_was_bought_not_what_is_asked_now(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        task = task_for(place)
        resume = begin(task, Tries(store=None).next(), vendor)
        task.audio = "https://cdn.invalid/rendered-anew.mp3"
        resume()
        assert task_for(place).execute(another_run())["job_id"] == vendor.jobs[0]
    assert len(vendor.jobs) == 1


def test_a_job_that_a_person_found_is_stored_without_a_claim_on_its_inputs(vendor: Shop, place: Place) -> None:
    with video_at(answer(200, VIDEO)) as url:
        vendor.output = url
        deliver(place, Tries(), resume_job_id=JOB_ID)
        receipt = receipt_of(place)
        assert receipt is not None
        assert receipt.fingerprint is None
        with pytest.raises(LipsyncOutputExists, match="not known what it was made of"):
            task_for(place).execute(another_run())
    assert vendor.jobs == []


def test_a_job_that_failed_leaves_nothing(vendor: Shop, place: Place) -> None:
    vendor.status = "failed"
    with pytest.raises(LipsyncJobFailed, match="Invalid audio format"):
        run_task(task_for(place), Tries().next())
    assert (place.content(), place.leftovers()) == (None, [])


def test_asset_events_tell_what_was_stored(vendor: Shop, place: Place) -> None:
    from airflow.sdk.execution_time.context import OutletEventAccessors

    asset, alias = Asset("s3://videos/weekly"), AssetAlias("weekly")
    for _ in ("bought", "reused"):
        with video_at(answer(200, VIDEO)) as url:
            vendor.output = url
            context = Tries().next() if place.content() is None else another_run()
            context["outlet_events"] = events = OutletEventAccessors()
            result = run_task(task_for(place, outlets=[asset, alias]), context)
        names = ("job_id", "output_uri", "sha256", "size", "credits_estimated", "labels")
        told = {name: result[name] for name in names}
        assert events[asset].extra == told
        (event,) = events[alias].asset_alias_events
        assert (event.dest_asset_key.uri, event.extra) == (result["output_uri"], told)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"if_exists": "ignore"}, "if_exists: allowed are", id="if_exists"),
        pytest.param({"wait_for_completion": False}, "needs wait_for_completion=True", id="nobody waits"),
    ],
)
def test_an_output_that_cannot_be_is_refused_while_the_dag_is_read(
    place: Place, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(LipsyncBadInput, match=words):
        task_for(place, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"output_path": "{{ ds }}.mp4"}, "the path of a file is required", id="unrendered"),
        pytest.param({"output_path": "s3://bucket/folder/"}, "the path of a file is required", id="a folder"),
        pytest.param({"output_path": "None"}, "the path of a file is required", id="a template's none"),
        pytest.param({"output_path": "nowhere://b/v.mp4"}, "cannot be used", id="an unknown storage"),
        pytest.param({"output_path": "s3://no_conn@b/v.mp4"}, "no Airflow connection 'no_conn'", id="no connection"),
        pytest.param({"output_path": "s3://AKIAKEY:S3CRET@b/v.mp4"}, "never credentials", id="credentials"),
        pytest.param({"output_path": "https://h/v.mp4"}, "a place in a storage is required", id="a URL"),
        pytest.param(
            {"output_options": {"Taging": "a=b"}}, "does not know 'Taging'|a local disk takes none", id="typo"
        ),
        pytest.param({"output_options": ["x"]}, "output_options: a dict", id="options"),
        pytest.param({"output_options": {"Tagging": f"k={KEY}"}}, "in output_options", id="the key"),
        pytest.param({"output_path": f"nowhere://b/{KEY}.mp4"}, "in output_path", id="the key in a bad path"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_paid(
    vendor: Shop, place: Place, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(LipsyncBadInput, match=words) as caught:
        task_for(place, **changes).execute(Tries().next())
    assert vendor.jobs == []
    assert not [secret for secret in (KEY, "S3CRET") if secret in str(caught.value)]
