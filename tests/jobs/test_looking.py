"""The looks of the hot path mean what those of the package's client mean; the key goes nowhere but to the vendor."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_lipsync.api.client import LipsyncClient
from airflow_provider_lipsync.api.looking import Looker
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.api.retry import RetryPolicy
from airflow_provider_lipsync.api.settings import ClientSettings, Timeouts
from airflow_provider_lipsync.api.wire import Target
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncMisconfigured, LipsyncUnreachable
from tests.support.scripted import Step, answer, drop, json_answer, scripted
from tests.support.vendor import JOB_ID, KEY, completed, failed, processing

PATIENT = Timeouts(connect=20, read=20, write=20, pool=20, total=20)  # a busy machine may stand still for seconds
QUICK = replace(PATIENT, read=0.5)
GONE = json_answer(200, {"id": "another", "status": "processing"})


def look(url: str, *, timeouts: Timeouts = PATIENT) -> Job | LipsyncError | None:
    """Look by what is tested."""

    async def once() -> Job | LipsyncError | None:
        looker = Looker(ClientSettings(target=Target(base_url=url, api_key=KEY), timeouts=timeouts))
        try:
            return await looker.look(JOB_ID)
        finally:
            assert looker.in_flight == 0
            await looker.aclose()

    return asyncio.run(once())


def look_by_client(url: str) -> Job | LipsyncError:
    with LipsyncClient(KEY, base_url=url, timeouts=PATIENT, retry=RetryPolicy(attempts=1)) as client:
        try:
            return client.get_job(JOB_ID)
        except LipsyncError as error:
            return error


PACKED = gzip.compress(json.dumps({"id": JOB_ID, "status": "failed"}).encode())
ANSWERS = {
    "completed": completed(),
    "completed, no video": completed(output=None),
    "failed": failed(),
    "an unknown word": json_answer(200, {"id": JOB_ID, "status": "queued"}),
    "no status": json_answer(200, {"id": JOB_ID}),
    "another job": GONE,
    "not JSON": answer(200, "<html>processing</html>"),
    "a list": answer(200, "[]"),
    "a number": answer(200, "1"),
    "lists in lists": answer(200, "[" * 100_000),
    "objects in objects": answer(200, '{"id":' * 40_000),
    "not text": answer(200, b"\xff\xfe\x00{"),
    "nothing": answer(200),
    "too long": answer(200, " " * 300_000 + "{}"),
    "broken off": answer(200, '{"id": "' + JOB_ID, length=500),
    "broken off behind the word": answer(200, json.dumps({"id": JOB_ID, "status": "processing"})[:-1], length=500),
    "packed unasked": answer(200, PACKED, headers={"Content-Encoding": "gzip"}),
    "redirected": answer(302, headers={"Location": "http://127.0.0.1:1/elsewhere"}),
    "redirected nowhere": answer(302, headers={"Location": "http://[::1"}),
    **{str(status): answer(status, '{"error": "no"}') for status in (201, 400, 401, 402, 403, 404, 408, 410, 413)},
    **{str(status): answer(status, "no") for status in (418, 422, 429, 500, 502, 503)},
    "204": answer(204),
    "429, wait": answer(429, headers={"Retry-After": "7"}),
    "503, wait": answer(503, headers={"Retry-After": "9"}),
    "repeats the key": answer(401, f"the key {KEY} is bad"),
}


@pytest.mark.parametrize("step", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_means_what_it_means_to_the_client(step: Step) -> None:
    with scripted(step) as server:
        found, expected = look(server.url), look_by_client(server.url)
        assert len(server.requests) == 2
    if isinstance(expected, LipsyncError):
        assert isinstance(found, LipsyncError)
        assert type(found) is type(expected)
        assert found.details() == expected.details()
        assert found.message == expected.message
        assert KEY not in f"{found} {found!r}"
    else:
        assert found == expected


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "identity"}], ids=["plain", "said to be plain"])
def test_a_job_that_goes_on_is_nothing_to_tell(headers: dict[str, str]) -> None:
    body = json.dumps({"id": JOB_ID, "model": "lipsync", "status": "processing", "output": None})
    with scripted(answer(200, body, headers=headers)) as server:
        assert look(server.url) is None
        [request] = server.requests
    head = request.decode().lower()
    assert head.startswith(f"get /api/v1/jobs/{JOB_ID} http/1.1\r\n")
    assert f"\r\nauthorization: bearer {KEY}\r\n" in head
    assert "\r\naccept-encoding: identity\r\n" in head


def hang(seconds: float) -> Step:
    return lambda connection: time.sleep(seconds)


@pytest.mark.parametrize("step", [drop, hang(1.5)], ids=["hangs up", "hangs"])
def test_no_answer_says_nothing_about_the_job(step: Step) -> None:
    with scripted(step) as server:
        found = look(server.url, timeouts=QUICK)
    assert isinstance(found, LipsyncUnreachable)
    assert found.job_id == JOB_ID


def test_nobody_there_says_nothing_about_the_job() -> None:
    found = look("http://127.0.0.1:1/api/v1")
    assert isinstance(found, LipsyncUnreachable)


def test_a_netrc_of_the_machine_does_not_replace_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with scripted(processing()) as server:
        look(server.url)
        assert f"Bearer {KEY}".encode() in server.requests[0]


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


ELSEWHERE = "http://vendor.invalid:8080/api/v1"


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(no_proxies: pytest.MonkeyPatch) -> None:
    with scripted(processing()) as proxy, scripted(processing()) as server:
        no_proxies.setenv("HTTP_PROXY", proxy.url.removesuffix("/api/v1"))
        assert look(ELSEWHERE) is None
        assert proxy.requests[0].startswith(f"GET {ELSEWHERE}/jobs/{JOB_ID} ".encode())
        assert look(server.url) is None
        assert len(server.requests) == len(proxy.requests) == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", "http://user:word@", ""])
def test_a_proxy_is_used_where_httpx_uses_it(no_proxies: pytest.MonkeyPatch, name: str, scheme: str) -> None:
    with scripted(processing()) as proxy:
        no_proxies.setenv(name, scheme + proxy.url.removesuffix("/api/v1").removeprefix("http://"))
        look(ELSEWHERE)
        by_looker = len(proxy.requests)
        look_by_client(ELSEWHERE)
        assert by_looker == len(proxy.requests) - by_looker == (name != "HTTPS_PROXY")
        told = {line for head in proxy.requests for line in head.split(b"\r\n") if line.startswith(b"Proxy-Auth")}
        assert told == ({b"Proxy-Authorization: Basic dXNlcjp3b3Jk"} if "user" in scheme and by_looker else set())


@pytest.mark.parametrize("credentials", ["", "user:word@"], ids=["open", "with a password"])
def test_a_proxy_does_not_get_the_key_where_it_only_passes_bytes_on(
    no_proxies: pytest.MonkeyPatch, credentials: str
) -> None:
    with scripted(answer(502)) as proxy:
        no_proxies.setenv(
            "HTTPS_PROXY", f"http://{credentials}{proxy.url.removesuffix('/api/v1').removeprefix('http://')}"
        )
        found = look("https://vendor.invalid/api/v1")
        [request] = proxy.requests
        assert request.startswith(b"CONNECT vendor.invalid:443 ")
        assert KEY.encode() not in request
        assert (b"Proxy-Authorization: Basic" in request) == bool(credentials)
    assert isinstance(found, LipsyncUnreachable)
    assert "word" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    "exempt",
    [
        "vendor.invalid",
        ".invalid",
        "invalid",
        "VENDOR.INVALID",
        " x, vendor.invalid ",
        "*",
        "vendor.invalid:8080",
        "vendor.invalid:81",
        "dor.invalid",
        "*.invalid",
        "10.0.0.0/8",
        "other.invalid",
    ],
)
def test_no_proxy_exempts_what_it_exempts_for_httpx(no_proxies: pytest.MonkeyPatch, exempt: str) -> None:
    with scripted(processing()) as proxy:
        no_proxies.setenv("HTTP_PROXY", proxy.url.removesuffix("/api/v1"))
        no_proxies.setenv("NO_PROXY", exempt)
        found = look(ELSEWHERE)
        by_looker = len(proxy.requests)
        look_by_client(ELSEWHERE)
        assert by_looker == len(proxy.requests) - by_looker
        assert isinstance(found, LipsyncUnreachable) == (by_looker == 0)


@pytest.mark.parametrize("proxy", ["socks5://user:word@127.0.0.1:1", "http://user:word@[::1"], ids=["socks", "broken"])
def test_a_proxy_that_cannot_be_used_is_told_at_once(no_proxies: pytest.MonkeyPatch, proxy: str) -> None:
    no_proxies.setenv("ALL_PROXY", proxy)
    found = look(ELSEWHERE)
    assert isinstance(found, LipsyncMisconfigured)
    assert "no HTTP client can be made (proxy or certificates?)" in found.message
    assert "word" not in f"{found} {found!r}"


def test_looks_share_connections_up_to_the_bound() -> None:
    opened = most = 0
    all_closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened, most
        opened += 1
        most = max(most, opened)
        while (head := await reader.readline()) and head.startswith(b"GET"):
            while await reader.readline() != b"\r\n":
                pass
            job_id = head.split()[1].decode().rpartition("/")[2]
            body = json.dumps({"id": job_id, "status": "processing"}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        opened -= 1
        writer.close()
        if not opened:
            all_closed.set()

    async def story() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
            looker = Looker(ClientSettings(target=Target(base_url=url, api_key=KEY), max_connections=4))
            found = await asyncio.gather(*(looker.look(f"job-{number}") for number in range(200)))
            assert found == [None] * 200
            assert opened == most == 4
            await looker.aclose()
            await asyncio.wait_for(all_closed.wait(), 10)

    asyncio.run(story())
