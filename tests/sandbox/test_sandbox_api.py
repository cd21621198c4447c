"""The calls as the vendor's page gives them: shapes, keys, refusals that are not about formState."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest

from airflow_provider_lipsync.sandbox import SandboxServer
from tests.sandbox.support import FORMS, IMAGE, Caller, wait_for

JOB_KEYS = ["id", "model", "status", "output", "error", "executionTime", "timings"]


@pytest.fixture
def slow() -> Iterator[Caller]:
    """A sandbox whose jobs do not end while a test looks."""
    with SandboxServer(canned=True, job_seconds=(600, 600)) as sandbox:
        caller = Caller(sandbox)
        yield caller
        caller.http.close()


@pytest.mark.parametrize("endpoint", FORMS)
def test_a_submit_is_answered_with_id_and_status_alone(canned: Caller, endpoint: str) -> None:
    response = canned.post(endpoint, {"formState": FORMS[endpoint]})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["id", "status"]
    assert str(UUID(response.json()["id"])) == response.json()["id"]
    assert response.json()["status"] == "processing"


def test_a_processing_job_has_the_shape_of_the_vendors_page(slow: Caller) -> None:
    job_id = slow.submit("lipsync-image")
    assert slow.query(job_id) == {
        "id": job_id,
        "model": "lipsync",
        "status": "processing",
        "output": None,
        "error": "",
        "executionTime": None,
        "timings": None,
    }


@pytest.mark.parametrize("endpoint", FORMS)
def test_a_completed_job_has_the_shape_of_the_vendors_page(canned: Caller, endpoint: str) -> None:
    job_id = canned.submit(endpoint)
    job = canned.query(job_id)
    assert list(job) == JOB_KEYS
    assert isinstance(job.pop("executionTime"), int)
    assert job == {
        "id": job_id,
        "model": endpoint,
        "status": "completed",
        "output": f"{canned.sandbox.url}/outputs/{job_id}.mp4",
        "error": "",
        "timings": None,
    }


def test_a_failed_job_has_the_shape_of_the_vendors_page(rendering: Caller) -> None:
    job_id = rendering.submit("lipsync-image", image="http://127.0.0.1:1/face.png")
    assert rendering.finish(job_id) == {
        "id": job_id,
        "model": "lipsync-image",
        "status": "failed",
        "output": None,
        "error": "Could not download image",
        "executionTime": None,
        "timings": None,
    }


def test_a_job_takes_its_time_divided_by_the_speed() -> None:
    with SandboxServer(canned=True, job_seconds=(30, 30), speed=60) as sandbox:
        caller = Caller(sandbox)
        started = time.monotonic()
        job_id = caller.submit("lipsync-image")
        assert caller.query(job_id)["status"] == "processing"
        job = caller.finish(job_id)
        assert 0.5 <= time.monotonic() - started < 3
        assert 500 <= job["executionTime"] < 3000
        caller.http.close()


def test_job_times_are_the_vendors_typical_ones_unless_set() -> None:
    assert SandboxServer().settings.job_range == (30, 120)
    assert SandboxServer(speed=60).settings.job_range == (0.5, 2)
    assert SandboxServer(canned=True).settings.job_range == (0, 0)


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="bearer without key"),
        pytest.param("Bearer sk_wrong_secret", id="wrong key"),
        pytest.param("sk_first_key", id="no scheme"),
        pytest.param("Basic sk_first_key", id="other scheme"),
        pytest.param("Bearer sk_first_ke", id="part of a key"),
        pytest.param("Bearer sk_first_key2", id="more than a key"),
        pytest.param("Bearer \xfc\xfc".encode("latin-1"), id="not ascii"),
    ],
)
def test_without_a_valid_key_every_call_is_refused(canned: Caller, authorization: str | bytes | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization)]
    base = canned.sandbox.base_url
    answers = [httpx.post(f"{base}/{endpoint}", json={}, headers=headers) for endpoint in FORMS]  # type: ignore[arg-type]
    answers.append(httpx.get(f"{base}/jobs/{uuid4()}", headers=headers))  # type: ignore[arg-type]
    for answer in answers:
        assert answer.status_code == 401
        assert list(answer.json()) == ["error"]
        assert "sk_" not in answer.text
    assert canned.sandbox.ledger() == []
    assert [refusal["key_id"] for refusal in canned.sandbox.refused()] == [None] * 3


def test_a_job_belongs_to_the_key_that_submitted_it(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image")
    other = Caller(canned.sandbox, key="sk_second_key")
    response = other.http.get(f"/jobs/{job_id}")
    assert (response.status_code, response.json()) == (404, {"error": "Job not found"})
    assert canned.query(job_id)["id"] == job_id
    other.submit("lipsync-image")
    assert [entry["key_id"] for entry in canned.sandbox.ledger()] == ["key-1", "key-2"]
    other.http.close()


@pytest.mark.parametrize("job_id", ["00000000-0000-4000-8000-000000000000", "no-uuid", "%2e%2e", "é", "x" * 500])
def test_an_unknown_job_is_404(canned: Caller, job_id: str) -> None:
    response = canned.http.get(f"/jobs/{job_id}")
    assert (response.status_code, response.json()) == (404, {"error": "Job not found"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/lipsync-image", 405, id="GET of a submit"),
        pytest.param("DELETE", "/jobs/00000000-0000-4000-8000-000000000000", 405, id="no cancel"),
        pytest.param("GET", "/jobs", 404, id="no list"),
        pytest.param("GET", "/balance", 404, id="no balance"),
        pytest.param("POST", "/lipsync-image/", 404, id="slash too many"),
        pytest.param("POST", "/lipsync-audio", 404, id="unknown submit"),
    ],
)
def test_what_the_api_does_not_have_is_refused_in_json(canned: Caller, method: str, path: str, status: int) -> None:
    response = canned.http.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.parametrize(
    ("content", "content_type", "message"),
    [
        pytest.param(b"", "application/json", "not valid JSON", id="empty"),
        pytest.param(b"{", "application/json", "not valid JSON", id="truncated"),
        pytest.param(b"\xff\xfe{", "application/json", "not valid JSON", id="not utf-8"),
        pytest.param(b'{"formState": {"seed": NaN}}', "application/json", "not valid JSON", id="NaN"),
        pytest.param(b"[" * 100_000, "application/json", "not valid JSON", id="deep"),
        pytest.param(b'{"formState": {"seed": ' + b"9" * 5000 + b"}}", "application/json", "not valid", id="huge int"),
        pytest.param(b"[]", "application/json", "must be a JSON object", id="array"),
        pytest.param(b'"x"', "application/json", "must be a JSON object", id="string"),
        pytest.param(b"null", "application/json", "must be a JSON object", id="null"),
        pytest.param(b"{}", "text/plain", "application/json", id="text/plain"),
        pytest.param(b"a=b", "application/x-www-form-urlencoded", "application/json", id="a form"),
    ],
)
def test_a_body_that_is_no_json_object_is_400(canned: Caller, content: bytes, content_type: str, message: str) -> None:
    response = canned.http.post("/lipsync-image", content=content, headers={"Content-Type": content_type})
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert canned.sandbox.ledger() == []


def test_a_charset_after_the_content_type_is_fine(canned: Caller) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    content = b'{"formState": {"image": "http://a/b", "audio": "http://a/c"}}'
    assert canned.http.post("/lipsync-image", content=content, headers=headers).status_code == 200


@pytest.mark.parametrize("chunked", [pytest.param(False, id="with a length"), pytest.param(True, id="chunked")])
def test_a_body_over_the_limit_is_413(canned: Caller, chunked: bool) -> None:
    body = b'{"formState": {"prompt": "' + b"x" * 1_500_000 + b'"}}'
    content = iter([body[:700_000], body[700_000:]]) if chunked else body
    headers = {"Content-Type": "application/json"}
    response = canned.http.post("/lipsync-image", content=content, headers=headers)
    assert response.status_code == 413
    assert "larger than" in response.json()["error"]
    assert canned.sandbox.ledger() == []


@pytest.mark.parametrize("chunked", [pytest.param(False, id="with a length"), pytest.param(True, id="chunked")])
def test_a_huge_body_is_not_read_to_its_end(canned: Caller, chunked: bool) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(2000):
            sent += 100_000
            yield b" " * 100_000

    headers = {"Content-Type": "application/json"} | ({} if chunked else {"Content-Length": "200000000"})
    try:
        status = canned.http.post("/lipsync-image", content=body(), headers=headers).status_code
    except httpx.TransportError:  # the connection was closed while the client was still sending
        status = 413
    assert status == 413
    assert sent < 50_000_000
    assert wait_for(canned.sandbox.refused, bool)[-1]["http_status"] == 413


def test_what_a_body_holds_can_always_be_shown_again(canned: Caller) -> None:
    content = b'{"formState": {"image": "http://a/b", "audio": "http://a/c", "prompt": "\\ud800 \xc3\xa9", "n": 1e400}}'
    headers = {"Content-Type": "application/json"}
    assert canned.http.post("/lipsync-image", content=content, headers=headers).status_code == 200
    assert canned.sandbox.ledger()[0]["body"]["formState"]["prompt"] == "\ud800 é"


def test_a_key_in_a_body_is_shown_by_its_name_alone(canned: Caller) -> None:
    canned.submit("lipsync-image", prompt=f"say {canned.sandbox.key}")
    canned.post("lipsync-image", {"formState": {**IMAGE, "order": 1, "resolution": canned.sandbox.key}})
    shown = httpx.get(f"{canned.sandbox.control_url}/ledger").text
    assert canned.sandbox.key not in shown
    assert "say [key-1]" in shown
