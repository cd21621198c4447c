"""The proxies of `docs/webhooks/`, real ones, let deliveries through to the receiver, and nothing else, unlogged."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from airflow_provider_lipsync.api.callback import LONGEST_TOKEN, Callback, make_token
from tests.docs.proxies import FILES, FOLDER, Proxy, running
from tests.sandbox.support import wait_for
from tests.support.scripted import answer, drop, scripted

PURCHASE = Callback(
    conn_id="lipsync_default",
    dag_id="weekly",
    run_id="scheduled__2026-01-05T00:00:00+00:00",
    task_id="render",
    map_index=-1,
    nonce="0123456789abcdef",
    expires_at=1_800_000_000,
)
TOKEN = make_token(PURCHASE, secret="a secret of the tests alone")
STRANGERS = "eNqLVsrJLCiuzEtOjQUAGNEEng.c2lnbmVkIGJ5IG5vYm9keSB3aG8ga25vd3MgdGhl"
PATH = f"/lipsync/webhooks/{TOKEN}"
BODY = b'{"id": "550e8400-e29b-41d4-a716-446655440000", "status": "completed"}'
LARGEST = 64 * 1024  # bytes that the receiver reads
LONGEST = f"{'a' * (LONGEST_TOKEN - 44)}.{'b' * 43}"
TOLD = answer(200, b"told by the backend")

# What a stranger may try; TOKEN stands for one that has the form of ours.
OTHERS = [
    "/",
    "/api/v2/dags",
    "/auth/token",
    "/execution/task-instances",
    "/lipsync/jobs",
    "/lipsync/webhooks",
    "/lipsync/webhooks/",
    "/lipsync/webhooks/nodot",
    "/lipsync/webhooks/.",
    "/lipsync/webhooks/..",
    "/lipsync/webhooks/a.b.c",
    "/lipsync/webhooks/TOKEN/",
    "/lipsync/webhooks/TOKEN/jobs",
    "/lipsync/webhooks/TOKEN?as=admin",
    "/lipsync/webhooks/TOKEN;as=admin",
    "/lipsync/webhooks/TOKEN%00",
    "/lipsync/webhooks/TOKEN%0d%0aCookie:x",
    "/lipsync/webhooks/TOKEN%20HTTP/1.1",
    "/lipsync/webhooks/%61.b",
    "/LIPSYNC/WEBHOOKS/TOKEN",
    "//lipsync/webhooks/TOKEN",
    "/lipsync//webhooks/TOKEN",
    "/lipsync/webhooks//TOKEN",
    "/./lipsync/webhooks/TOKEN",
    "/lipsync/webhooks/../webhooks/TOKEN",
    "/api/v2/../../lipsync/webhooks/TOKEN",
    "/api/v2/%2e%2e/%2e%2e/lipsync/webhooks/TOKEN",
    "/lipsync/webhooks/../../api/v2/dags",
    "/lipsync/webhooks/%2e%2e/%2e%2e/api/v2/dags",
    "/lipsync/webhooks/%2E%2E%2F%2E%2E%2Fapi%2Fv2%2Fdags",
    "/lipsync/webhooks/..%2f..%2fapi%2fv2%2fdags",
    "/lipsync/webhooks/..;/..;/api/v2/dags",
    "/lipsync/webhooks/..\\..\\api\\v2\\dags",
    "/lipsync/webhooks/%252e%252e/%252e%252e/api/v2/dags",
    "/lipsync%2fwebhooks%2fTOKEN",
    "/lipsync/webhooks%2fTOKEN",
    "/lipsync/webhooks/TOKEN/../../../api/v2/dags",
    "https://localhost/api/v2/dags",
    "https://localhost/lipsync/webhooks/../../api/v2/dags",
    "*",
    f"/lipsync/webhooks/{'a' * 40_000}.b",
]
METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post")


@pytest.fixture(scope="module", params=FILES)
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    with (
        scripted(TOLD) as backend,
        scripted(answer(401)) as login,
        running(request.param, folder, backend, login) as started,
    ):
        yield started


@pytest.fixture(autouse=True)
def _nothing_of_the_test_before(request: pytest.FixtureRequest) -> None:
    if "proxy" in request.fixturenames:
        request.getfixturevalue("proxy").heard()


def head_and_body(request: bytes) -> tuple[list[str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def test_a_delivery_reaches_the_receiver_as_it_was_sent(proxy: Proxy) -> None:
    assert proxy.send("POST", PATH, BODY) == (200, b"told by the backend")
    [request] = proxy.heard()
    [first, *headers], body = head_and_body(request)
    assert first.split()[:2] == ["POST", PATH]
    assert body == BODY
    assert {"content-type: application/json", f"content-length: {len(BODY)}"} <= {line.lower() for line in headers}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(f"/lipsync/webhooks/{LONGEST}", BODY, id="the longest token"),
        pytest.param(PATH, b" " * (LARGEST - len(BODY)) + BODY, id="the largest body"),
    ],
)
def test_what_the_receiver_reads_reaches_it_whole(path: str, body: bytes, proxy: Proxy) -> None:
    assert proxy.send("POST", path, body)[0] == 200
    [request] = proxy.heard()
    assert request.startswith(f"POST {path} HTTP/1.".encode())
    assert head_and_body(request)[1] == body


def test_a_delivery_that_does_not_tell_its_length_passes(proxy: Proxy) -> None:
    assert proxy.send("POST", PATH, iter([BODY[:20], BODY[20:]]))[0] == 200
    [request] = proxy.heard()
    assert BODY[:20] in request
    assert BODY[20:] in request


def test_nothing_else_does(proxy: Proxy) -> None:
    tried = [(method, path.replace("TOKEN", STRANGERS)) for method in ("GET", "POST") for path in OTHERS]
    tried += [(method, f"/lipsync/webhooks/{STRANGERS}") for method in METHODS]
    answers = {each: proxy.send(*each, BODY)[0] for each in tried}
    assert {each: status for each, status in answers.items() if status != 0 and not 400 <= status < 500} == {}
    assert proxy.heard() == []


def test_a_body_that_is_too_large_does_not(proxy: Proxy) -> None:
    assert 400 <= proxy.send("POST", PATH, b"x" * 100_000)[0] < 500
    assert proxy.heard() == []


def test_a_body_that_grows_too_large_never_reaches_it_whole(proxy: Proxy) -> None:
    status, _ = proxy.send("POST", PATH, iter([b"x" * 10_000] * 10))
    assert status == 0 or status >= 400
    heard = proxy.heard()
    assert [request for request in heard if request.endswith(b"0\r\n\r\n") or b"ontent-Length" in request] == []
    assert sum(map(len, heard)) < LARGEST + 5_000


def test_a_request_within_a_request_stays_a_body(proxy: Proxy) -> None:
    inner = b"0\r\n\r\nPOST /api/v2/dags HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    lengths = f"Content-Length: {len(inner)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with proxy.wire() as wire:
        wire.sendall(head.encode() + lengths.encode() + inner)
        while wire.recv(65_536):
            pass
    firsts = [request.split(b" HTTP")[0] for request in proxy.heard()]
    assert firsts in ([], [f"POST {PATH}".encode()])


def test_a_delivery_carries_no_login_to_airflow(proxy: Proxy) -> None:
    strangers = {"Cookie": "_token=stolen", "Authorization": "Bearer stolen"}
    assert proxy.send("POST", PATH, BODY, strangers)[0] == 200
    [request] = proxy.heard()
    assert b"stolen" not in request


def test_who_is_logged_in_has_the_rest_of_airflow_and_nobody_else(proxy: Proxy) -> None:
    if not proxy.has_login:
        assert proxy.send("GET", "/")[0] == 404
        assert proxy.login.requests == []
        return
    assert proxy.send("GET", "/")[0] == 401
    proxy.login.steps, before = [answer(202)], proxy.login.steps
    try:
        assert proxy.send("GET", "/", headers={"Cookie": "session=good"}) == (200, b"told by the backend")
    finally:
        proxy.login.steps = before
    assert b"session=good" in proxy.login.requests[-1]
    assert [request.split(b" HTTP")[0] for request in proxy.heard()] == [b"GET /"]


def test_the_token_is_in_no_log_whatever_goes_wrong(proxy: Proxy) -> None:
    assert proxy.send("POST", PATH, BODY)[0] == 200
    proxy.send("GET", PATH)
    proxy.send("POST", PATH, b"x" * 100_000)
    proxy.send("POST", PATH, iter([b"x" * 10_000] * 10))
    proxy.backend.steps = [drop]
    try:
        assert proxy.send("POST", PATH, BODY)[0] == 502
    finally:
        proxy.backend.steps = [TOLD]
    with proxy.wire() as wire:  # and gives up in the middle
        wire.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf".encode())
    shown = wait_for(proxy.logs, lambda text: re.search(r'POST 502|"status":502', text) is not None)
    payload, signature = TOKEN.split(".")
    assert [part for part in (payload, signature) if part in shown] == []


def test_all_four_say_the_same_of_what_passes() -> None:
    texts = {name: (FOLDER / name).read_text() for name in FILES}
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)
    assert {re.search(r"\^(?:POST )?(/lipsync/.*?\$)", text).group(1) for text in texts.values()} == {  # type: ignore[union-attr]
        r"/lipsync/webhooks/[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"
    }
