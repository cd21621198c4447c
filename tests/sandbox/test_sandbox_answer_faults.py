"""Faults of an answer, as they look on a socket and to our own client, and what the ledger says of them."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_lipsync.api.client import AsyncLipsyncClient, LipsyncClient
from airflow_provider_lipsync.api.models import ImageRequest
from airflow_provider_lipsync.api.retry import RetryPolicy
from airflow_provider_lipsync.api.settings import Timeouts
from airflow_provider_lipsync.exceptions import (
    LipsyncPollFault,
    LipsyncRateLimited,
    LipsyncSubmitUncertain,
    LipsyncUnreachable,
    LipsyncUnreadableAnswer,
    LipsyncVendorFault,
)
from airflow_provider_lipsync.sandbox import SandboxServer, Settings, create_app
from airflow_provider_lipsync.sandbox.connection import build_protocol
from airflow_provider_lipsync.sandbox.server import bind
from airflow_provider_lipsync.sandbox.waits import Waits
from tests.sandbox.support import FORMS, IMAGE, Caller, exchange, wait_for

BODY = {"formState": IMAGE}
REQUEST = ImageRequest(**IMAGE)
ONCE = RetryPolicy(attempts=1)


def _post(caller: Caller, endpoint: str = "lipsync-image") -> bytes:
    return exchange(caller.sandbox.url, caller.sandbox.key, f"/api/v1/{endpoint}", {"formState": FORMS[endpoint]})


def _get(caller: Caller, path: str) -> bytes:
    return exchange(caller.sandbox.url, caller.sandbox.key, path)


def _body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def _client(sandbox: SandboxServer, **settings: Any) -> LipsyncClient:
    return LipsyncClient(sandbox.key, base_url=sandbox.base_url, **{"retry": ONCE, **settings})


def _only(caller: Caller) -> dict[str, Any]:
    (entry,) = caller.sandbox.ledger()
    return entry


@contextmanager
def _no_complaint_of_the_server(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING):
        yield
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


@contextmanager
def _serving(protocol: type[Any]) -> Iterator[str]:
    app = create_app(Settings(canned=True, faults=[{"fault": "drop_answer"}, {"fault": "truncated", "on": "query"}]))
    config = uvicorn.Config(app, http=build_protocol(protocol), loop="asyncio", lifespan="on", log_config=None)
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.mark.parametrize("name", ["h11", "httptools"])
def test_a_connection_is_closed_by_either_protocol_of_uvicorn(name: str, caplog: pytest.LogCaptureFixture) -> None:
    if name == "httptools":
        pytest.importorskip("httptools")
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
    else:
        Protocol = H11Protocol
    with _no_complaint_of_the_server(caplog), _serving(Protocol) as url:
        key = Settings().keys[0]
        assert exchange(url, key, "/api/v1/lipsync-image", BODY) == b""
        (entry,) = httpx.get(f"{url}/sandbox/ledger").json()["submits"]
        whole = json.dumps({"id": entry["job_id"]})[:-1].encode()
        answer = exchange(url, key, f"/api/v1/jobs/{entry['job_id']}")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert whole in answer
        assert not answer.endswith(b"}")


@pytest.mark.parametrize("endpoint", list(FORMS))
def test_a_dropped_submit_was_accepted_and_charged_and_not_a_byte_comes_back(
    canned: Caller, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    canned.sandbox.set_faults([{"fault": "drop_answer"}])
    with _no_complaint_of_the_server(caplog):
        assert _post(canned, endpoint) == b""
    entry = _only(canned)
    assert (entry["status"], entry["credits_charged"], entry["faults"]) == ("completed", 10, ["drop_answer"])
    assert canned.sandbox.unfetched() == [entry["job_id"]]
    assert canned.sandbox.refused() == []


def test_our_client_calls_a_dropped_submit_uncertain_and_does_not_send_it_again(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "drop_answer", "times": 1}])
    with _client(canned.sandbox, retry=RetryPolicy()) as client, pytest.raises(LipsyncSubmitUncertain):
        client.submit(REQUEST)
    assert len(canned.sandbox.ledger()) == 1


def test_a_connection_that_is_kept_alive_is_dropped_too(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "drop_answer", "on": "query", "sequence": [2]}])
    job_id = canned.submit("lipsync-image")
    canned.query(job_id)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        canned.query(job_id)
    assert canned.query(job_id)["status"] == "completed"
    assert canned.entry(job_id)["faults"] == ["drop_answer"]


def test_our_client_looks_again_after_a_dropped_query(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image")
    canned.sandbox.set_faults([{"fault": "drop_answer", "on": "query", "times": 2}])
    with _client(canned.sandbox) as client, pytest.raises(LipsyncUnreachable):
        client.get_job(job_id)
    with _client(canned.sandbox, retry=RetryPolicy(), sleep=lambda _: None) as client:
        assert client.get_job(job_id).status == "completed"
    assert canned.entry(job_id)["polls"] == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 520])
def test_a_submit_refused_with_a_status_is_not_charged(canned: Caller, status: int) -> None:
    canned.sandbox.set_faults([{"fault": "status", "status": status, "times": 1}])
    answer = canned.post("lipsync-image", BODY)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert "retry-after" not in answer.headers
    assert canned.sandbox.ledger() == []
    (refusal,) = canned.sandbox.refused()
    assert refusal["endpoint"] == "lipsync-image"
    assert (refusal["http_status"], refusal["faults"], refusal["body"]) == (status, ["status"], BODY)
    assert canned.post("lipsync-image", BODY).status_code == 200


def test_a_submit_accepted_behind_a_status_is_charged(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "status", "status": 502, "accepted": True}])
    with _client(canned.sandbox) as client, pytest.raises(LipsyncSubmitUncertain) as caught:
        client.submit(REQUEST)
    assert caught.value.status == 502
    assert (_only(canned)["credits_charged"], _only(canned)["faults"]) == (10, ["status"])
    assert canned.sandbox.refused() == []


def test_retry_after_comes_in_seconds(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "status", "status": 429, "retry_after": 3, "times": 1}])
    waits: list[float] = []
    with _client(canned.sandbox, retry=RetryPolicy(), sleep=waits.append) as client:
        job = client.submit(REQUEST)
    assert waits == [pytest.approx(3.5, abs=0.5)]
    assert _only(canned)["job_id"] == job.id
    assert canned.sandbox.refused()[0]["faults"] == ["status"]


def test_retry_after_comes_as_a_date(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "status", "status": 429, "retry_after_date": 30}])
    header = canned.post("lipsync-image", BODY).headers["retry-after"]
    assert header.endswith(" GMT")
    assert parsedate_to_datetime(header).timestamp() - time.time() == pytest.approx(30, abs=5)
    with _client(canned.sandbox) as client, pytest.raises(LipsyncRateLimited) as caught:
        client.submit(REQUEST)
    assert caught.value.retry_after == pytest.approx(30, abs=5)
    canned.sandbox.set_faults([{"fault": "status", "status": 503, "retry_after_date": -30}])
    header = canned.post("lipsync-image", BODY).headers["retry-after"]
    assert parsedate_to_datetime(header).timestamp() < time.time()


@pytest.mark.parametrize(("status", "error"), [(429, LipsyncRateLimited), (503, LipsyncVendorFault)])
def test_a_query_answered_with_a_status_says_nothing_of_the_job(
    canned: Caller, status: int, error: type[LipsyncPollFault]
) -> None:
    job_id = canned.submit("lipsync-image")
    canned.sandbox.set_faults([{"fault": "status", "on": "query", "status": status, "retry_after": 0, "times": 1}])
    with _client(canned.sandbox) as client:
        with pytest.raises(error) as caught:
            client.get_job(job_id)
        assert caught.value.retry_after == 0
        assert client.get_job(job_id).status == "completed"


def test_a_truncated_answer_promises_its_whole_length(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "truncated", "sequence": [1]}, {"fault": "truncated", "bytes": 10}])
    half, ten = _post(canned), _post(canned)
    whole = json.dumps({"id": canned.sandbox.ledger()[0]["job_id"], "status": "processing"}).encode()
    assert f"content-length: {len(whole)}\r\n".encode() in half
    assert _body(half) == whole[: len(whole) // 2]
    assert _body(ten) == json.dumps({"id": canned.sandbox.ledger()[1]["job_id"]}).encode()[:10]
    assert [entry["faults"] for entry in canned.sandbox.ledger()] == [["truncated"], ["truncated"]]


def test_a_truncated_answer_is_never_whole(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "truncated", "bytes": 100_000}])
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        canned.post("lipsync-image", BODY)


def test_our_client_takes_the_id_from_a_truncated_answer_if_it_is_there(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "truncated", "times": 1}, {"fault": "truncated", "bytes": 60}])
    with _client(canned.sandbox) as client:
        with pytest.raises(LipsyncSubmitUncertain):
            client.submit(REQUEST)
        assert client.submit(REQUEST).id == canned.sandbox.ledger()[1]["job_id"]


def test_a_malformed_answer_is_almost_json(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "malformed"}, {"fault": "malformed", "on": "query"}])
    answer = canned.post("lipsync-image", BODY)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match="Expecting property name"):
        answer.json()
    job_id = _only(canned)["job_id"]
    assert job_id in answer.text
    with _client(canned.sandbox) as client:
        with pytest.raises(LipsyncSubmitUncertain):
            client.submit(REQUEST)
        with pytest.raises(LipsyncUnreadableAnswer):
            client.get_job(job_id)


@pytest.mark.parametrize(("status", "accepted"), [(200, True), (502, True), (502, False)])
def test_a_page_in_place_of_an_answer(canned: Caller, status: int, accepted: bool) -> None:
    canned.sandbox.set_faults([{"fault": "html", "status": status, "accepted": accepted}])
    answer = canned.post("lipsync-image", BODY)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!DOCTYPE html>")
    assert [entry["faults"] for entry in canned.sandbox.ledger()] == ([["html"]] if accepted else [])
    assert [entry["faults"] for entry in canned.sandbox.refused()] == ([] if accepted else [["html"]])
    with _client(canned.sandbox) as client, pytest.raises(LipsyncSubmitUncertain):
        client.submit(REQUEST)


def test_a_page_in_place_of_a_job(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image")
    canned.sandbox.set_faults([{"fault": "html", "on": "query"}])
    with _client(canned.sandbox) as client, pytest.raises(LipsyncUnreadableAnswer):
        client.get_job(job_id)


def test_a_late_answer_was_accepted_at_once(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "late_answer", "seconds": 0.3}])
    started = time.monotonic()
    job_id = canned.submit("lipsync-image")
    assert time.monotonic() - started >= 0.3
    assert canned.entry(job_id)["faults"] == ["late_answer"]


def test_an_answer_after_the_timeout_is_uncertain_and_was_charged(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "late_answer"}])
    with _client(canned.sandbox, timeouts=Timeouts(read=0.2)) as client, pytest.raises(LipsyncSubmitUncertain):
        client.submit(REQUEST)
    assert (_only(canned)["credits_charged"], _only(canned)["faults"]) == (10, ["late_answer"])


def test_a_slow_drip_comes_byte_by_byte(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image")
    canned.sandbox.set_faults([{"fault": "slow_drip", "on": "query", "seconds_per_byte": 0.002}])
    with canned.http.stream("GET", f"/jobs/{job_id}") as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 50
    assert json.loads(b"".join(pieces))["id"] == job_id


def test_our_client_does_not_wait_for_a_drip_without_end(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "slow_drip", "seconds_per_byte": 0.05}])
    with _client(canned.sandbox, timeouts=Timeouts(total=0.2)) as client, pytest.raises(LipsyncSubmitUncertain):
        client.submit(REQUEST)
    assert _only(canned)["faults"] == ["slow_drip"]


class _Asking(threading.Thread):
    """A request that waits for its answer in the background."""

    def __init__(self, caller: Caller, path: str, body: Any) -> None:
        super().__init__()
        self._arguments = (caller.sandbox.url, caller.sandbox.key, path, body, 30)
        self.got = b"nothing yet"

    def run(self) -> None:
        self.got = exchange(*self._arguments)


@pytest.mark.parametrize(
    ("fault", "head"),
    [({"fault": "late_answer"}, b""), ({"fault": "slow_drip", "seconds_per_byte": 600}, b"HTTP/1.1 200")],
)
@pytest.mark.parametrize("end", ["reset", "stop"])
def test_an_answer_under_way_ends_with_a_reset_and_with_the_sandbox(
    fault: dict[str, Any], head: bytes, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    with _no_complaint_of_the_server(caplog), SandboxServer(canned=True, faults=[fault]) as sandbox:
        caller = Caller(sandbox)
        asking = _Asking(caller, "/api/v1/lipsync-image", BODY)
        asking.start()
        wait_for(sandbox.ledger, bool)
        started = time.monotonic()
        getattr(sandbox, end)()
        asking.join(5)
        assert time.monotonic() - started < 2
        assert asking.got.startswith(head)
        assert _body(asking.got) == b""
        caller.http.close()


def test_a_client_that_hangs_up_ends_the_wait() -> None:
    heard = asyncio.Event()

    async def receive() -> dict[str, Any]:
        heard.set()
        return {"type": "http.disconnect"}

    assert asyncio.run(Waits().wait(600, receive)) is False
    assert heard.is_set()


def test_a_request_that_is_refused_anyway_is_neither_hit_nor_counted(canned: Caller) -> None:
    canned.sandbox.set_faults([{"fault": "drop_answer"}, {"fault": "drop_answer", "on": "query"}])
    assert canned.post("lipsync-image", {}).status_code == 422
    assert canned.http.get("/jobs/unknown").status_code == 404
    assert httpx.post(f"{canned.sandbox.base_url}/lipsync-image", json=BODY).status_code == 401
    assert [(rule["matched"], rule["fired"]) for rule in canned.sandbox.faults()] == [(0, 0), (0, 0)]
    assert [refusal["faults"] for refusal in canned.sandbox.refused()] == [[], []]


def test_a_rule_may_name_one_endpoint_or_one_job(canned: Caller) -> None:
    first, second = canned.submit("lipsync-image"), canned.submit("lipsync-image")
    status = {"fault": "status", "status": 500}
    canned.sandbox.set_faults([status | {"on": "lipsync-video"}, status | {"on": "query", "job_id": second}])
    canned.submit("lipsync-image")
    assert canned.post("lipsync-video", {"formState": FORMS["lipsync-video"]}).status_code == 500
    assert canned.query(first)["status"] == "completed"
    assert canned.http.get(f"/jobs/{second}").status_code == 500


def test_the_ledger_lists_a_video_that_nobody_fetched_whole(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image")
    canned.sandbox.set_faults(
        [
            {"fault": "drop_answer", "on": "output", "sequence": [1]},
            {"fault": "html", "on": "output", "sequence": [2]},
            {"fault": "status", "on": "output", "sequence": [3]},
            {"fault": "truncated", "on": "output", "sequence": [4], "bytes": 1000},
        ]
    )
    path = f"/outputs/{job_id}.mp4"
    assert _get(canned, path) == b""
    assert b"<!DOCTYPE html>" in _get(canned, path)[:400]
    assert _get(canned, path).startswith(b"HTTP/1.1 503 ")
    beginning = _body(_get(canned, path))
    assert len(beginning) == 1000
    assert canned.entry(job_id)["fetched"] == 1
    assert canned.entry(job_id)["faults"] == ["drop_answer", "html", "status", "truncated"]
    assert canned.sandbox.unfetched() == [job_id]
    rest = httpx.get(canned.sandbox.url + path, headers={"Range": "bytes=1000-"})
    assert rest.status_code == 206
    assert canned.sandbox.unfetched() == []
    assert httpx.get(canned.sandbox.url + path).content == beginning + rest.content


def test_a_video_may_come_late_or_slowly(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image")
    url = canned.query(job_id)["output"]
    canned.sandbox.set_faults([{"fault": "slow_drip", "on": "output"}])
    with httpx.stream("GET", url) as answer:
        assert len(next(answer.iter_raw())) == 1
    assert canned.sandbox.unfetched() == [job_id]
    canned.sandbox.set_faults([{"fault": "late_answer", "on": "output", "seconds": 0.1}])
    assert len(httpx.get(url).content) > 1000
    assert canned.sandbox.unfetched() == []


def test_an_application_that_is_called_in_process_raises_what_httpx_says_of_a_real_connection() -> None:
    faults = [
        {"fault": "drop_answer", "sequence": [1]},
        {"fault": "truncated", "sequence": [2]},
        {"fault": "slow_drip", "sequence": [3], "seconds_per_byte": 0},
    ]
    app = create_app(Settings(canned=True, faults=faults))

    async def run() -> dict[str, Any]:
        transport = httpx.ASGITransport(app)
        settings: dict[str, Any] = {"base_url": "http://sandbox.test/api/v1", "retry": ONCE, "transport": transport}
        async with app.router.lifespan_context(app), AsyncLipsyncClient("sk_sandbox_key", **settings) as client:
            for _ in range(2):
                with pytest.raises(LipsyncSubmitUncertain, match="RemoteProtocolError"):
                    await client.submit(REQUEST)
            job = await client.submit(REQUEST)
            assert (await client.get_job(job.id)).status == "completed"
        ledger: dict[str, Any] = app.state.store.as_dict()
        return ledger

    ledger = asyncio.run(run())
    assert [entry["faults"] for entry in ledger["submits"]] == [["drop_answer"], ["truncated"], ["slow_drip"]]
