"""Both clients against servers that do everything wrong, over real sockets: what each answer means, and that a POST is
never sent again unless it provably never left."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_lipsync.api.client import AsyncLipsyncClient, LipsyncClient
from airflow_provider_lipsync.api.models import ImageRequest, Job, JobStatus
from airflow_provider_lipsync.api.settings import Timeouts
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncBadInput,
    LipsyncError,
    LipsyncKeyRefused,
    LipsyncMisconfigured,
    LipsyncNoCredits,
    LipsyncRateLimited,
    LipsyncSubmitUncertain,
    LipsyncTooLarge,
    LipsyncUnknownJob,
    LipsyncUnreachable,
    LipsyncUnreadableAnswer,
    LipsyncVendorFault,
)
from tests.support.scripted import Step, answer, drop, json_answer, scripted

KEY = "sk_test_0123456789abcdef"
JOB_ID = "550e8400-e29b-41d4-a716-446655440000"
REQUEST = ImageRequest(image="https://host/face.png", audio="https://host/voice.mp3")
ACCEPTED = {"id": JOB_ID, "status": "processing"}
JOB = {"id": JOB_ID, "model": "lipsync-image", "output": None, "error": "", "executionTime": None, "timings": None}
QUICK = Timeouts(connect=2, read=0.5, write=2, pool=2, total=1)

Call = Callable[..., Any]


class SyncCalls:
    """The synchronous client, with its waits recorded instead of waited."""

    def __init__(self, url: str, **arguments: Any) -> None:
        self.waits: list[float] = []
        self.client = LipsyncClient(KEY, base_url=url, timeouts=QUICK, sleep=self.waits.append, **arguments)

    def submit(self, request: ImageRequest = REQUEST) -> Job:
        with self.client:
            return self.client.submit(request)

    def get_job(self, job_id: str = JOB_ID) -> Job:
        with self.client:
            return self.client.get_job(job_id)


class AsyncCalls:
    """The asynchronous client, likewise."""

    def __init__(self, url: str, **arguments: Any) -> None:
        self.waits: list[float] = []
        self.client = AsyncLipsyncClient(KEY, base_url=url, timeouts=QUICK, sleep=self._wait, **arguments)

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def submit(self, request: ImageRequest = REQUEST) -> Job:
        return asyncio.run(self._within(lambda: self.client.submit(request)))

    def get_job(self, job_id: str = JOB_ID) -> Job:
        return asyncio.run(self._within(lambda: self.client.get_job(job_id)))

    async def _within(self, call: Call) -> Job:
        async with self.client:
            job: Job = await call()
            return job


@pytest.fixture(params=[SyncCalls, AsyncCalls], ids=["sync", "async"])
def calls(request: pytest.FixtureRequest) -> type[SyncCalls]:
    return request.param  # type: ignore[no-any-return]


def slowly(connection: socket.socket) -> None:
    """Answer nothing until the client's patience has ended and it hangs up."""
    connection.recv(1)


def dripping(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    for _ in range(30):
        connection.sendall(b" ")
        time.sleep(0.1)


def huge(connection: socket.socket) -> None:
    """A hundred megabytes, or as much as the client takes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"x" * 1048576)


def test_a_submit_is_exactly_the_request_of_the_vendors_page(calls: type[SyncCalls]) -> None:
    request = ImageRequest(
        image="https://host/face.png",
        audio="https://host/voice.mp3",
        resolution="720p",
        seed=42,
        webhook="https://me/hook",
    )
    with scripted(json_answer(200, ACCEPTED)) as server:
        job = calls(server.url).submit(request)
    head, body = server.requests[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v1/lipsync-image HTTP/1.1\r\n")
    assert f"authorization: bearer {KEY}".encode() in head.lower()
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == {
        "webhook": "https://me/hook",
        "formState": {
            "image": "https://host/face.png",
            "audio": "https://host/voice.mp3",
            "resolution": "720p",
            "seed": 42,
        },
    }
    assert (job.id, job.status, job.model) == (JOB_ID, JobStatus.PROCESSING, "lipsync-image")


def test_extra_fields_are_added_and_override_known_ones(calls: type[SyncCalls]) -> None:
    request = ImageRequest(image="https://a/b", audio="https://a/c", extra_form_state={"resolution": "4k", "mood": 1})
    with scripted(json_answer(201, ACCEPTED)) as server:
        calls(server.url).submit(request)
    form_state = json.loads(server.requests[0].split(b"\r\n\r\n")[1])["formState"]
    assert form_state == {"image": "https://a/b", "audio": "https://a/c", "resolution": "4k", "mood": 1}


@pytest.mark.parametrize(
    ("step", "kind", "charged"),
    [
        pytest.param(json_answer(400, {"error": "bad"}), LipsyncBadInput, "no", id="400"),
        pytest.param(json_answer(401, {"error": "key"}), LipsyncKeyRefused, "no", id="401"),
        pytest.param(json_answer(402, {"error": "credits"}), LipsyncNoCredits, "no", id="402"),
        pytest.param(json_answer(403, {"error": "key"}), LipsyncKeyRefused, "no", id="403"),
        pytest.param(json_answer(404, {"error": "path"}), LipsyncMisconfigured, "no", id="404"),
        pytest.param(json_answer(413, {"error": "large"}), LipsyncTooLarge, "no", id="413"),
        pytest.param(json_answer(422, {"error": "bad"}), LipsyncBadInput, "no", id="422"),
        pytest.param(answer(302, headers={"Location": "/x"}), LipsyncMisconfigured, "no", id="redirect"),
        pytest.param(answer(308, headers={"Location": "/x"}), LipsyncMisconfigured, "no", id="permanent redirect"),
        pytest.param(answer(408), LipsyncSubmitUncertain, "unknown", id="408"),
        pytest.param(answer(409), LipsyncSubmitUncertain, "unknown", id="a 4xx that nobody documents"),
        pytest.param(answer(500, "<html>oops</html>"), LipsyncSubmitUncertain, "unknown", id="500"),
        pytest.param(answer(502), LipsyncSubmitUncertain, "unknown", id="502"),
        pytest.param(answer(503, headers={"Retry-After": "1"}), LipsyncSubmitUncertain, "unknown", id="503"),
        pytest.param(json_answer(200, {}), LipsyncSubmitUncertain, "unknown", id="200 without id"),
        pytest.param(json_answer(200, {"id": None}), LipsyncSubmitUncertain, "unknown", id="200 with null id"),
        pytest.param(json_answer(200, {"id": "a b/../c"}), LipsyncSubmitUncertain, "unknown", id="200 with odd id"),
        pytest.param(json_answer(200, [ACCEPTED]), LipsyncSubmitUncertain, "unknown", id="200 with a list"),
        pytest.param(answer(200, "<html>hello</html>"), LipsyncSubmitUncertain, "unknown", id="200 with HTML"),
        pytest.param(answer(200), LipsyncSubmitUncertain, "unknown", id="200 with nothing"),
        pytest.param(answer(200, '{"id": "550e', length=90), LipsyncSubmitUncertain, "unknown", id="cut inside the id"),
        pytest.param(answer(200, "[" * 100000), LipsyncSubmitUncertain, "unknown", id="deeply nested"),
        pytest.param(drop, LipsyncSubmitUncertain, "unknown", id="dropped"),
        pytest.param(slowly, LipsyncSubmitUncertain, "unknown", id="answer after the timeout"),
        pytest.param(dripping, LipsyncSubmitUncertain, "unknown", id="dripping"),
        pytest.param(huge, LipsyncSubmitUncertain, "unknown", id="100 MB"),
        pytest.param(
            lambda c: c.sendall(b"\x00\xff rubbish\r\n\r\n"), LipsyncSubmitUncertain, "unknown", id="not HTTP"
        ),
    ],
)
def test_what_an_answer_to_a_submit_means(
    calls: type[SyncCalls], step: Step, kind: type[LipsyncError], charged: str
) -> None:
    with scripted(step) as server, pytest.raises(LipsyncError) as caught:
        calls(server.url).submit()
    assert type(caught.value) is kind
    assert caught.value.charged == charged
    assert len(server.requests) == 1  # whatever it was, it was not sent again
    assert KEY not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(answer(200, json.dumps(ACCEPTED)[:-12], length=500), id="broke off behind the id"),
        pytest.param(json_answer(200, {"id": 12345, "status": "processing"}), id="a number for an id"),
        pytest.param(
            answer(200, gzip.compress(json.dumps(ACCEPTED).encode()), headers={"Content-Encoding": "gzip"}), id="packed"
        ),
        pytest.param(json_answer(202, {**ACCEPTED, "status": ["odd"], "error": 7}), id="odd fields"),
    ],
)
def test_an_id_that_was_paid_for_is_not_lost(calls: type[SyncCalls], step: Step) -> None:
    with scripted(step) as server:
        assert calls(server.url).submit().id in (JOB_ID, "12345")


def test_a_submit_that_never_left_is_sent_again(calls: type[SyncCalls]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    asking = calls(f"http://127.0.0.1:{port}/api/v1")
    with pytest.raises(LipsyncUnreachable, match="never reached the vendor") as caught:
        asking.submit()
    assert caught.value.charged is Charged.NO
    assert len(asking.waits) == 3


def test_a_host_that_does_not_exist_was_never_reached(calls: type[SyncCalls]) -> None:
    with pytest.raises(LipsyncUnreachable) as caught:
        calls("http://no-such-host.invalid/api/v1").submit()
    assert caught.value.charged is Charged.NO


def test_a_tls_failure_never_left(calls: type[SyncCalls]) -> None:
    with scripted(lambda c: c.sendall(b"not TLS at all")) as server, pytest.raises(LipsyncUnreachable):
        calls(server.url.replace("http:", "https:")).submit()


@pytest.mark.parametrize("location", ["https://xn--/", "http://\x01", "https://elsewhere/"])
def test_where_a_redirect_leads_is_not_even_read(calls: type[SyncCalls], location: str) -> None:
    with scripted(answer(302, headers={"Location": location})) as server, pytest.raises(LipsyncMisconfigured):
        calls(server.url).submit()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_a_matter_of_configuration(
    calls: type[SyncCalls], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(LipsyncMisconfigured, match="no HTTP client can be made"):
        calls("https://vendor.example/api/v1").submit()


def dripping_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(60):
        connection.sendall(f"X-{number}: x\r\n".encode())
        time.sleep(0.1)


def test_an_answer_whose_head_drips_is_given_up_by_the_asynchronous_client() -> None:
    with scripted(dripping_head) as server, pytest.raises(LipsyncSubmitUncertain, match="TimeoutError"):
        AsyncCalls(server.url).submit()


def test_a_key_is_not_even_repeated_in_part(calls: type[SyncCalls]) -> None:
    with scripted(answer(422, "x" * 280 + KEY)) as server, pytest.raises(LipsyncBadInput) as caught:
        calls(server.url).submit()
    assert KEY[:8] not in caught.value.vendor_message


def test_a_submit_refused_with_429_waits_as_asked_and_is_sent_again(calls: type[SyncCalls]) -> None:
    with scripted(answer(429, headers={"Retry-After": "3"}), json_answer(200, ACCEPTED)) as server:
        asking = calls(server.url)
        assert asking.submit().id == JOB_ID
    assert len(server.requests) == 2
    assert 3 <= asking.waits[0] <= 4


def test_a_submit_that_is_to_wait_longer_frees_the_worker(calls: type[SyncCalls]) -> None:
    with scripted(answer(429, headers={"Retry-After": "300"})) as server:
        asking = calls(server.url)
        with pytest.raises(LipsyncRateLimited, match="300 s") as caught:
            asking.submit()
    assert (len(server.requests), asking.waits, caught.value.retry_after) == (1, [], 300.0)
    assert caught.value.charged is Charged.NO


def test_every_submit_opens_a_fresh_connection_and_queries_share_one() -> None:
    opened: list[int] = []

    def alive(connection: socket.socket) -> None:
        opened.append(1)
        body = json.dumps({**JOB, "status": "processing"}).encode()
        for _ in range(3):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            if not connection.recv(65536):
                return

    with scripted(alive) as server, LipsyncClient(KEY, base_url=server.url, timeouts=QUICK) as client:
        for _ in range(3):
            client.get_job(JOB_ID)
        assert len(opened) == 1
    opened.clear()
    with scripted(alive) as server, LipsyncClient(KEY, base_url=server.url, timeouts=QUICK) as client:
        for _ in range(3):
            client.submit(REQUEST)
        assert len(opened) == 3


@pytest.mark.parametrize("value", [KEY, f"please use {KEY} to …"])
@pytest.mark.parametrize("field", ["prompt", "audio", "webhook", "extra_form_state"])
def test_a_request_that_holds_the_key_is_refused(calls: type[SyncCalls], field: str, value: str) -> None:
    held: Any = {"note": [value]} if field == "extra_form_state" else value
    request = ImageRequest(**{"image": "https://a/b", "audio": "https://a/c", field: held})
    with scripted(json_answer(200, ACCEPTED)) as server:
        with pytest.raises(LipsyncBadInput, match="API key stands in the request") as caught:
            calls(server.url).submit(request)
        assert server.requests == []
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("extra", [{"x": float("nan")}, {"x": object()}])
def test_a_request_that_is_not_json_is_refused(calls: type[SyncCalls], extra: dict[str, Any]) -> None:
    request = ImageRequest(image="https://a/b", audio="https://a/c", extra_form_state=extra)
    with scripted(json_answer(200, ACCEPTED)) as server:
        with pytest.raises(LipsyncBadInput, match="JSON"):
            calls(server.url).submit(request)
        assert server.requests == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            {**JOB, "model": "lipsync", "status": "processing"}, (JobStatus.PROCESSING, None, ""), id="processing"
        ),
        pytest.param(
            {**JOB, "status": "completed", "output": "https://v/r.mp4", "executionTime": 12345},
            (JobStatus.COMPLETED, "https://v/r.mp4", ""),
            id="completed",
        ),
        pytest.param(
            {**JOB, "status": "failed", "error": "Invalid audio format"},
            (JobStatus.FAILED, None, "Invalid audio format"),
            id="failed",
        ),
        pytest.param({**JOB, "status": "queued"}, (JobStatus.UNKNOWN, None, ""), id="a status that nobody documents"),
        pytest.param({**JOB, "status": {"a": 1}, "output": 7}, (JobStatus.UNKNOWN, None, ""), id="wrong types"),
        pytest.param({"id": JOB_ID}, (JobStatus.UNKNOWN, None, ""), id="hardly anything"),
        pytest.param({**JOB, "status": "COMPLETED"}, (JobStatus.UNKNOWN, None, ""), id="another case is another word"),
    ],
)
def test_what_a_job_looks_like(calls: type[SyncCalls], found: dict[str, Any], expected: tuple[Any, ...]) -> None:
    with scripted(json_answer(200, found)) as server:
        job = calls(server.url).get_job()
    assert (job.status, job.output, job.error) == expected
    assert server.requests[0].startswith(f"GET /api/v1/jobs/{JOB_ID} HTTP/1.1".encode())


@pytest.mark.parametrize(
    ("step", "kind", "sent"),
    [
        pytest.param(answer(401), LipsyncKeyRefused, 1, id="401"),
        pytest.param(answer(403), LipsyncKeyRefused, 1, id="403"),
        pytest.param(answer(404, "<html>gone</html>"), LipsyncUnknownJob, 1, id="404"),
        pytest.param(answer(302, headers={"Location": "https://elsewhere"}), LipsyncMisconfigured, 1, id="redirect"),
        pytest.param(answer(418), LipsyncUnreadableAnswer, 1, id="a 4xx that nobody documents"),
        pytest.param(answer(200, "<html>"), LipsyncUnreadableAnswer, 1, id="HTML"),
        pytest.param(json_answer(200, {**JOB, "id": "another"}), LipsyncUnreadableAnswer, 1, id="another job"),
        pytest.param(huge, LipsyncUnreadableAnswer, 1, id="100 MB"),
        pytest.param(answer(429, headers={"Retry-After": "1"}), LipsyncRateLimited, 4, id="429"),
        pytest.param(answer(500, "oops"), LipsyncVendorFault, 4, id="500"),
        pytest.param(answer(503), LipsyncVendorFault, 4, id="503"),
        pytest.param(drop, LipsyncUnreachable, 4, id="dropped"),
        pytest.param(slowly, LipsyncUnreachable, 4, id="too slow"),
    ],
)
def test_what_an_answer_to_a_query_means(
    calls: type[SyncCalls], step: Step, kind: type[LipsyncError], sent: int
) -> None:
    with scripted(step) as server, pytest.raises(LipsyncError) as caught:
        calls(server.url).get_job()
    assert type(caught.value) is kind
    assert caught.value.job_id == JOB_ID
    assert len(server.requests) == sent


def test_a_query_that_works_at_last_is_no_error(calls: type[SyncCalls]) -> None:
    with scripted(answer(500), drop, json_answer(200, {**JOB, "status": "processing"})) as server:
        assert calls(server.url).get_job().status is JobStatus.PROCESSING
    assert len(server.requests) == 3


def test_a_long_retry_after_of_a_query_is_cut(calls: type[SyncCalls]) -> None:
    with scripted(
        answer(429, headers={"Retry-After": "86400"}), json_answer(200, {**JOB, "status": "failed"})
    ) as server:
        asking = calls(server.url)
        asking.get_job()
    assert asking.waits == [60.0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param('{"error": "Invalid audio format"}', "Invalid audio format", id="error"),
        pytest.param('{"message": "no"}', "no", id="message"),
        pytest.param('{"detail": [{"msg": "field"}]}', '[{"msg": "field"}]', id="detail"),
        pytest.param('{"error": {"message": "inner", "code": 3}}', "inner", id="nested"),
        pytest.param("<html><style>a{}</style><h1>Bad\n gateway</h1></html>", "Bad gateway", id="HTML"),
        pytest.param(f"your key {KEY} is bad", "your key *** is bad", id="the key itself"),
        pytest.param("\x1b[31mred\x00", "[31mred", id="control characters"),
        pytest.param("é" * 5000, "é" * 299 + "…", id="bounded"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_the_vendors_words_are_kept_short_and_clean(calls: type[SyncCalls], body: str, words: str) -> None:
    with scripted(answer(422, body)) as server, pytest.raises(LipsyncBadInput) as caught:
        calls(server.url).submit()
    assert caught.value.vendor_message == words


def test_a_job_id_cannot_leave_its_place_in_the_url(calls: type[SyncCalls]) -> None:
    with scripted(answer(404)) as server, pytest.raises(LipsyncUnknownJob):
        calls(server.url).get_job("../../admin?x=1")
    assert server.requests[0].startswith(b"GET /api/v1/jobs/..%2F..%2Fadmin%3Fx%3D1 HTTP/1.1")


@pytest.mark.parametrize(
    ("key", "url"),
    [
        pytest.param("", "https://host/api/v1", id="no key"),
        pytest.param("sk_é", "https://host/api/v1", id="accent"),
        pytest.param("sk_a b", "https://host/api/v1", id="space"),
        pytest.param("sk_a\nb", "https://host/api/v1", id="line break"),
        pytest.param(KEY, "host/api/v1", id="no scheme"),
        pytest.param(KEY, "ftp://host", id="another scheme"),
        pytest.param(KEY, "https://", id="no host"),
        pytest.param(KEY, "https://ho st/api/v1", id="a space"),
        pytest.param(KEY, "https://xn--/api/v1", id="a host that cannot be written"),
        pytest.param(KEY, "https://host/api\x00/v1", id="a control character"),
        pytest.param(KEY, "https://host:port", id="a port that is none"),
        pytest.param(KEY, "https://lipsync..studio/api/v1", id="an empty label"),
        pytest.param(KEY, f"https://{'x' * 64}.studio/api/v1", id="a label that is too long"),
    ],
)
def test_what_no_client_can_be_made_from(key: str, url: str) -> None:
    with pytest.raises(LipsyncMisconfigured) as caught:
        LipsyncClient(key, base_url=url)
    assert not key or key not in str(caught.value)


def test_a_transport_can_be_given_and_the_client_closed_twice() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={**JOB, "status": "processing"}))
    client = LipsyncClient(KEY, transport=transport)
    assert client.get_job(JOB_ID).status is JobStatus.PROCESSING
    client.close()
    client.close()
    assert client.get_job(JOB_ID).id == JOB_ID
    client.close()


def test_the_key_is_in_no_repr() -> None:
    client = LipsyncClient(KEY)
    assert KEY not in repr(client.settings)


def test_the_first_line_of_an_error_is_for_the_person_on_call(calls: type[SyncCalls]) -> None:
    with scripted(drop) as server, pytest.raises(LipsyncSubmitUncertain) as caught:
        calls(server.url).submit()
    first = str(caught.value).splitlines()[0]
    assert first.startswith(
        "job unknown · charged: unknown · video: none · next: look for the job in the vendor's dashboard"
    )
