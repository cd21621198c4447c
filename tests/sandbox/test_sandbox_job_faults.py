"""Faults of a job and of its webhook, and jobs that a test ends by hand."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from airflow_provider_lipsync.api.client import LipsyncClient
from airflow_provider_lipsync.api.models import ImageRequest, JobStatus
from airflow_provider_lipsync.api.retry import RetryPolicy
from airflow_provider_lipsync.exceptions import LipsyncUnknownJob
from airflow_provider_lipsync.sandbox import SandboxServer
from tests.sandbox.conftest import Media, Receiver
from tests.sandbox.support import IMAGE, Caller, wait_for, write_picture, write_wav

SPAN = 20.0  # seconds that an event may take on a busy machine


@pytest.fixture(scope="session")
def _under_hand() -> Iterator[SandboxServer]:
    with SandboxServer(canned=True, job_seconds=(600, 600)) as sandbox:
        yield sandbox


@pytest.fixture
def under_hand(_under_hand: SandboxServer) -> Iterator[Caller]:
    """A sandbox whose jobs end when a test says so."""
    _under_hand.reset()
    caller = Caller(_under_hand)
    yield caller
    caller.http.close()


def _submit(caller: Caller, *faults: dict[str, Any], webhook: str | None = None) -> str:
    caller.sandbox.set_faults(faults)
    return caller.submit("lipsync-image", webhook=webhook)


def _statuses(caller: Caller, job_id: str, count: int) -> list[str | int]:
    answers = [caller.http.get(f"/jobs/{job_id}") for _ in range(count)]
    return [answer.json()["status"] if answer.status_code == 200 else answer.status_code for answer in answers]


def test_a_job_that_never_ends_ends_when_it_is_finished(canned: Caller) -> None:
    job_id = _submit(canned, {"fault": "never_ends"})
    assert _statuses(canned, job_id, 3) == ["processing"] * 3
    assert canned.entry(job_id)["faults"] == ["never_ends"]
    assert canned.sandbox.unfetched() == []
    assert canned.sandbox.finish(job_id)["status"] == "completed"
    assert canned.query(job_id)["output"]
    assert canned.sandbox.unfetched() == [job_id]


@pytest.mark.parametrize("seconds", [(0, 0), (0.01, 0.01)])
def test_a_job_that_fails_says_why_and_is_charged_the_minimum(seconds: tuple[float, float]) -> None:
    faults = [{"fault": "fails", "error": "No face found", "times": 1}, {"fault": "fails"}]
    with SandboxServer(canned=True, job_seconds=seconds, faults=faults) as sandbox:
        caller = Caller(sandbox)
        first, second = (caller.finish(caller.submit("lipsync-image")) for _ in range(2))
        assert (first["status"], first["error"], first["output"]) == ("failed", "No face found", None)
        assert second["error"] == "Internal error"
        assert caller.entry(first["id"])["credits_charged"] == 10
        assert sandbox.unfetched() == []
        caller.http.close()


def test_a_job_that_fails_needs_no_media(rendering: Caller) -> None:
    rendering.sandbox.set_faults([{"fault": "fails", "error": "No face found"}])
    job = rendering.finish(rendering.submit("lipsync-image"))
    rendering.sandbox.clear_faults()
    assert job["error"] == "No face found"


def test_an_unknown_status_is_told_for_some_looks_or_for_ever(canned: Caller) -> None:
    some = _submit(canned, {"fault": "unknown_status", "looks": 2})
    assert _statuses(canned, some, 4) == ["queued", "queued", "completed", "completed"]
    ever = _submit(canned, {"fault": "unknown_status", "status_word": "on_hold"})
    assert _statuses(canned, ever, 4) == ["on_hold"] * 4
    job = canned.query(ever)
    assert (job["model"], job["output"], job["error"], job["executionTime"]) == ("lipsync", None, "", None)
    with LipsyncClient(canned.sandbox.key, base_url=canned.sandbox.base_url) as client:
        assert client.get_job(ever).status is JobStatus.UNKNOWN


def test_a_job_completed_without_output_names_none_and_is_charged(canned: Caller) -> None:
    job_id = _submit(canned, {"fault": "no_output"})
    job = canned.query(job_id)
    assert (job["status"], job["output"], job["model"]) == ("completed", None, "lipsync-image")
    assert httpx.get(f"{canned.sandbox.url}/outputs/{job_id}.mp4").status_code == 404
    assert canned.entry(job_id)["credits_charged"] == 10
    assert canned.sandbox.unfetched() == [job_id]


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        pytest.param({}, [404, 404, 404, 404], id="at once and for ever"),
        pytest.param({"after_looks": 2}, ["completed", "completed", 404, 404], id="after two looks"),
        pytest.param({"looks": 1}, [404, "completed", "completed", "completed"], id="for one look"),
        pytest.param({"after_looks": 1, "looks": 2}, ["completed", 404, 404, "completed"], id="in between"),
    ],
)
def test_a_job_vanishes(canned: Caller, fault: dict[str, Any], statuses: list[str | int]) -> None:
    job_id = _submit(canned, {"fault": "vanishes", **fault})
    assert _statuses(canned, job_id, 4) == statuses
    assert (canned.entry(job_id)["polls"], canned.entry(job_id)["credits_charged"]) == (4, 10)


def test_our_client_does_not_know_a_job_that_vanished(canned: Caller) -> None:
    job_id = _submit(canned, {"fault": "vanishes"})
    with (
        LipsyncClient(canned.sandbox.key, base_url=canned.sandbox.base_url) as client,
        pytest.raises(LipsyncUnknownJob),
    ):
        client.get_job(job_id)


@pytest.mark.parametrize(("status", "given"), [(403, {}), (404, {"status": 404}), (410, {"status": 410})])
def test_the_first_url_of_a_video_expires_and_a_new_look_gives_one_that_works(
    canned: Caller, status: int, given: dict[str, Any]
) -> None:
    job_id = _submit(canned, {"fault": "output_expires", **given})
    first = canned.query(job_id)["output"]
    assert canned.query(job_id)["output"] == first
    assert [httpx.get(first).status_code, httpx.head(first).status_code] == [status, status]
    assert canned.entry(job_id)["fetched"] == 0
    second = canned.query(job_id)["output"]
    assert second != first
    assert [httpx.get(url).status_code for url in (second, first, second, f"{first}?token=x")] == [
        200,
        status,
        200,
        status,
    ]
    assert canned.query(job_id)["output"] == second
    assert canned.sandbox.unfetched() == []


def test_a_url_may_expire_after_fetches_and_for_good(canned: Caller) -> None:
    job_id = _submit(canned, {"fault": "output_expires", "after_fetches": 2, "for_good": True})
    url = canned.query(job_id)["output"]
    assert [httpx.get(url).status_code for _ in range(4)] == [200, 200, 403, 403]
    assert canned.query(job_id)["output"] == url


def test_a_url_may_expire_some_time_after_the_job_was_completed(under_hand: Caller) -> None:
    job_id = _submit(under_hand, {"fault": "output_expires", "after_seconds": 0.5})
    completed = time.monotonic()
    url = under_hand.sandbox.finish(job_id)["output"]
    if httpx.get(url).status_code == 403:
        assert time.monotonic() - completed >= 0.5
    wait_for(lambda: httpx.get(url).status_code, lambda status: status == 403, SPAN)
    assert time.monotonic() - completed >= 0.5
    assert httpx.get(under_hand.query(job_id)["output"]).status_code == 200


def test_a_download_that_goes_on_meets_the_expired_url_too(canned: Caller) -> None:
    job_id = _submit(canned, {"fault": "output_expires", "after_fetches": 1})
    url = canned.query(job_id)["output"]
    assert httpx.get(url, headers={"Range": "bytes=0-99"}).status_code == 206
    assert httpx.get(url, headers={"Range": "bytes=100-"}).status_code == 403
    assert canned.sandbox.unfetched() == [job_id]


def test_a_lost_webhook_is_not_sent(under_hand: Caller, receiver: Receiver) -> None:
    lost = _submit(under_hand, {"fault": "webhook_lost", "times": 1}, webhook=receiver.url)
    sent = under_hand.submit("lipsync-image", webhook=receiver.url)
    under_hand.sandbox.finish(lost)
    under_hand.sandbox.finish(sent)
    assert receiver.got.get(timeout=SPAN)[2]["id"] == sent
    assert receiver.got.empty()
    assert (under_hand.entry(lost)["webhook_deliveries"], under_hand.entry(lost)["faults"]) == ([], ["webhook_lost"])


def test_a_doubled_webhook_is_sent_twice(canned: Caller, receiver: Receiver) -> None:
    job_id = _submit(canned, {"fault": "webhook_doubled"}, webhook=receiver.url)
    first, second = (receiver.got.get(timeout=SPAN)[2] for _ in range(2))
    assert first == second == canned.query(job_id)
    deliveries = wait_for(lambda: canned.entry(job_id)["webhook_deliveries"], lambda found: len(found) == 2, SPAN)
    assert [delivery["status"] for delivery in deliveries] == [200, 200]


def test_a_late_webhook_comes_after_its_time(canned: Caller, receiver: Receiver) -> None:
    started = time.monotonic()
    job_id = _submit(canned, {"fault": "webhook_late", "seconds": 0.5}, webhook=receiver.url)
    assert canned.query(job_id)["status"] == "completed"
    assert receiver.got.get(timeout=SPAN)[2]["id"] == job_id
    assert time.monotonic() - started >= 0.5


def test_a_late_webhook_ends_with_a_reset(canned: Caller, receiver: Receiver) -> None:
    _submit(canned, {"fault": "webhook_late"}, webhook=receiver.url)
    canned.sandbox.reset()
    other = canned.submit("lipsync-image", webhook=receiver.url)
    assert receiver.got.get(timeout=SPAN)[2]["id"] == other


def test_a_fault_of_webhooks_is_not_dealt_to_a_job_without_one(canned: Caller) -> None:
    job_id = _submit(canned, {"fault": "webhook_lost"})
    assert canned.entry(job_id)["faults"] == []
    assert canned.sandbox.faults()[0]["matched"] == 0


@contextlib.contextmanager
def _asking_back(ask: Callable[[str], Any]) -> Iterator[tuple[str, queue.Queue[tuple[dict[str, Any], Any]]]]:
    """A receiver that asks something while its delivery waits for the answer."""
    got: queue.Queue[tuple[dict[str, Any], Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.put((job, ask(job["id"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_early_webhook_comes_while_queries_still_say_processing(under_hand: Caller) -> None:
    under_hand.sandbox.set_faults([{"fault": "webhook_early"}])
    with _asking_back(lambda job_id: _statuses(under_hand, job_id, 1)) as (url, got):
        job_id = under_hand.submit("lipsync-image", webhook=url)
        under_hand.sandbox.finish(job_id)
        job, statuses = got.get(timeout=SPAN)
        assert (job["status"], statuses) == ("completed", ["processing"])
        assert under_hand.query(job_id) == job
        assert got.empty()
    assert len(under_hand.entry(job_id)["webhook_deliveries"]) == 1


def test_after_an_early_webhook_queries_may_say_processing_for_longer(under_hand: Caller, receiver: Receiver) -> None:
    job_id = _submit(under_hand, {"fault": "webhook_early", "seconds": 600}, webhook=receiver.url)
    ending = threading.Thread(target=_ignore_an_end, args=(under_hand.sandbox, job_id))
    ending.start()
    assert receiver.got.get(timeout=SPAN)[2]["status"] == "completed"
    wait_for(lambda: under_hand.entry(job_id)["webhook_deliveries"], bool, SPAN)
    assert under_hand.query(job_id)["status"] == "processing"
    with pytest.raises(ValueError, match="being finished, or was forgotten"):
        under_hand.sandbox.finish(job_id)
    under_hand.sandbox.reset()
    ending.join(SPAN)
    assert not ending.is_alive()


def _ignore_an_end(sandbox: SandboxServer, job_id: str) -> None:
    with contextlib.suppress(ValueError):
        sandbox.finish(job_id)


def test_an_early_webhook_of_a_job_that_takes_no_time_comes_before_the_answer_to_the_submit(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "webhook_early"}])
    is_answered = threading.Event()
    with _asking_back(lambda _: is_answered.is_set()) as (url, got):
        job_id = canned.submit("lipsync-image", webhook=url)
        is_answered.set()
        assert got.get(timeout=SPAN) == (canned.query(job_id), False)


def test_several_faults_hit_one_job(canned: Caller, receiver: Receiver) -> None:
    faults = ("vanishes", "no_output", "webhook_doubled")
    job_id = _submit(canned, *({"fault": fault} for fault in faults), webhook=receiver.url)
    assert _statuses(canned, job_id, 1) == [404]
    assert [receiver.got.get(timeout=SPAN)[2]["output"] for _ in range(2)] == [None, None]
    assert canned.entry(job_id)["faults"] == list(faults)


def test_a_job_is_finished_by_hand(under_hand: Caller, receiver: Receiver) -> None:
    job_id = under_hand.submit("lipsync-image", webhook=receiver.url)
    assert under_hand.query(job_id)["status"] == "processing"
    job = under_hand.sandbox.finish(job_id)
    assert job["status"] == "completed"
    assert under_hand.query(job_id) == job
    assert httpx.get(job["output"]).status_code == 200
    assert receiver.got.get(timeout=SPAN)[2] == job


@pytest.mark.parametrize(("error", "told"), [("", "Internal error"), ("No face found", "No face found")])
def test_a_job_is_failed_by_hand(under_hand: Caller, receiver: Receiver, error: str, told: str) -> None:
    job_id = under_hand.submit("lipsync-image", webhook=receiver.url)
    job = under_hand.sandbox.finish(job_id, "failed", error)
    assert (job["status"], job["error"], job["output"]) == ("failed", told, None)
    assert receiver.got.get(timeout=SPAN)[2] == under_hand.query(job_id) == job


def test_what_a_hand_says_counts_more_than_the_plan(under_hand: Caller) -> None:
    job_id = _submit(under_hand, {"fault": "fails"})
    assert under_hand.sandbox.finish(job_id)["status"] == "completed"


def test_a_job_that_is_rendered_is_finished_with_its_own_video(media: Media) -> None:
    picture = media.url(write_picture(media.folder / "hand.png", 320, 240))
    sound = media.url(write_wav(media.folder / "hand.wav", (6, 0.5)))
    with SandboxServer(job_seconds=(600, 600)) as sandbox:
        caller = Caller(sandbox)
        completed, failed = (caller.submit("lipsync-image", image=picture, audio=sound) for _ in range(2))
        assert sandbox.finish(failed, "failed", "Enough")["error"] == "Enough"
        assert sandbox.finish(completed)["status"] == "completed"
        assert caller.entry(completed)["seconds_charged"] == 6
        lost = caller.submit("lipsync-image", image="http://127.0.0.1:1/face.png")
        assert sandbox.finish(lost)["error"] == "Could not download image"
        caller.http.close()


def test_what_cannot_be_finished_is_said(under_hand: Caller) -> None:
    control = under_hand.sandbox.control_url
    job_id = under_hand.submit("lipsync-image")

    def finish(which: str, body: Any) -> tuple[int, str]:
        answer = httpx.post(f"{control}/jobs/{which}/finish", json=body)
        return answer.status_code, answer.json()["error"]

    assert finish("unknown", {"status": "completed"}) == (404, "No such job")
    for body in (
        {},
        [],
        {"status": "queued"},
        {"status": "completed", "error": "x"},
        {"status": "failed", "error": ""},
    ):
        status, words = finish(job_id, body)
        assert (status, words[:13]) == (422, "The body must")
    assert under_hand.query(job_id)["status"] == "processing"
    under_hand.sandbox.finish(job_id, "failed")
    assert finish(job_id, {"status": "completed"}) == (409, "The job is failed already")
    with pytest.raises(ValueError, match="No such job"):
        under_hand.sandbox.finish("unknown")


def test_jobs_by_the_hundred_are_finished_in_milliseconds_each(under_hand: Caller) -> None:
    ids = [under_hand.submit("lipsync-image") for _ in range(200)]
    started = time.monotonic()
    for job_id in ids:
        under_hand.sandbox.finish(job_id)
    assert (time.monotonic() - started) / len(ids) < 0.05
    assert under_hand.sandbox.unfetched() == ids


def test_our_client_rides_out_a_bad_day(canned: Caller) -> None:
    canned.sandbox.set_faults(
        [
            {"fault": "status", "status": 429, "retry_after": 1, "times": 1},
            {"fault": "unknown_status", "looks": 1},
            {"fault": "status", "on": "query", "status": 502, "sequence": [1, 3]},
            {"fault": "drop_answer", "on": "query", "sequence": [2]},
        ]
    )
    waits: list[float] = []
    with LipsyncClient(
        canned.sandbox.key, base_url=canned.sandbox.base_url, retry=RetryPolicy(), sleep=waits.append
    ) as client:
        job = client.submit(ImageRequest(**IMAGE))
        assert client.get_job(job.id).status is JobStatus.COMPLETED
    assert len(waits) == 4
    assert [rule["fired"] for rule in canned.sandbox.faults()] == [1, 1, 2, 1]
    assert canned.entry(job.id)["faults"] == ["unknown_status", "status", "drop_answer"]
