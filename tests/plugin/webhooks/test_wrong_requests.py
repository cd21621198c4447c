"""Whatever is wrong gets one and the same answer, as if there were no receiver, and touches no database."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider_lipsync.api.callback import LONGEST_TOKEN, Callback, make_token
from tests.plugin.webhooks.conftest import SECRETS, Purchase, Stage
from tests.sandbox.support import wait_for

JSON = {"Content-Type": "application/json"}
JOB = {"id": "550e8400-e29b-41d4-a716-446655440000", "status": "completed"}


@pytest.fixture(scope="module")
def purchase(stages: Callable[..., Stage]) -> Purchase:
    """One that waits: a right request would resume it."""
    stage = stages("sqlite")
    stage.call("hurry", look_again=[])
    return stage.purchase("folder", job_id=stage.ended()).defer()


def flipped(token: str, at: int) -> str:
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


# What is wrong: from a purchase that waits to a request that would be right but for this.
WRONG: dict[str, Callable[[Purchase], dict[str, Any]]] = {
    "another method, GET": lambda p: {"method": "GET"},
    "another method, PUT": lambda p: {"method": "PUT"},
    "another method, DELETE": lambda p: {"method": "DELETE"},
    "another method, OPTIONS": lambda p: {"method": "OPTIONS"},
    "another method, of WebDAV": lambda p: {"method": "PROPFIND"},
    "no token": lambda p: {"token": ""},
    "no token at all, a dot": lambda p: {"token": "."},
    "a word": lambda p: {"token": "token"},
    "a payload alone": lambda p: {"token": p.token().partition(".")[0]},
    "a signature alone": lambda p: {"token": "." + p.token().partition(".")[2]},
    "a payload that was changed": lambda p: {"token": flipped(p.token(), 5)},
    "a signature that was changed": lambda p: {"token": flipped(p.token(), len(p.token()) - 20)},
    "a signature cut short": lambda p: {"token": p.token()[:-1]},
    "something behind it": lambda p: {"token": p.token() + "A"},
    "padding behind it": lambda p: {"token": p.token() + "="},
    "a slash behind it": lambda p: {"token": p.token() + "/"},
    "in another case": lambda p: {"token": p.token().swapcase()},
    "far too long": lambda p: {"token": "A" * (LONGEST_TOKEN + 1) + "." + "A" * 43},
    "not ASCII": lambda p: {"token": "%C3%A4." + p.token().partition(".")[2]},
    "a zero byte": lambda p: {"token": p.token() + "%00"},
    "percent-encoded": lambda p: {"token": p.token().replace(".", "%2E")},
    "expired": lambda p: {"token": p.token(expires_at=int(time.time()) - 1)},
    "signed by another secret": lambda p: {"token": p.token(secret="another secret, as long as ours")},
    "signed by another connection's secret": lambda p: {"token": p.token(secret=SECRETS["vendor_store"])},
    "of a connection that is not allowed": lambda p: {
        "token": p.token(conn_id="vendor_stranger", secret=SECRETS["vendor_stranger"])
    },
    "of a connection without a secret": lambda p: {"token": p.token(conn_id="vendor_plain")},
    "no content type": lambda p: {"headers": {}},
    "a form": lambda p: {"headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    "plain text, as a browser can send it across origins": lambda p: {"headers": {"Content-Type": "text/plain"}},
    "something like JSON": lambda p: {"headers": {"Content-Type": "application/json-seq"}},
    "packed": lambda p: {"headers": {**JSON, "Content-Encoding": "gzip"}},
    "nothing": lambda p: {"content": b""},
    "no JSON": lambda p: {"content": b"completed"},
    "half an object": lambda p: {"content": json.dumps(JOB).encode()[:-1]},
    "two objects": lambda p: {"content": json.dumps(JOB).encode() * 2},
    "UTF-16": lambda p: {"content": json.dumps(JOB).encode("utf-16")},
    "no UTF-8": lambda p: {"content": b'{"id": "a", "status": "\xff"}'},
    "a list": lambda p: {"content": b"[1]"},
    "null": lambda p: {"content": b"null"},
    "a number of many digits": lambda p: {"content": b'{"id": "a", "status": "completed", "n": ' + b"9" * 5000 + b"}"},
    "no id": lambda p: {"content": b'{"status": "completed"}'},
    "a number for an id": lambda p: {"content": b'{"id": 7, "status": "completed"}'},
    "an id that cannot be": lambda p: {"content": b'{"id": "../jobs", "status": "completed"}'},
    "an id that is far too long": lambda p: {"content": json.dumps({**JOB, "id": "a" * 129}).encode()},
    "no status": lambda p: {"content": json.dumps({"id": JOB["id"]}).encode()},
    "a number for a status": lambda p: {"content": json.dumps({**JOB, "status": 1}).encode()},
    "too deep": lambda p: {"content": json.dumps(JOB).encode()[:-1] + b', "x": ' + b"[" * 25 + b"]" * 25 + b"}"},
    "far too deep": lambda p: {"content": b"[" * 60_000},
    "far too deep, in objects": lambda p: {"content": b'{"a":' * 12_000},
    "too large": lambda p: {"content": json.dumps({**JOB, "x": "x" * 65_536}).encode()},
    "too large, in pieces": lambda p: {"content": iter([json.dumps(JOB).encode(), *[b" " * 8192] * 9])},
}


def sent(purchase: Purchase, wrong: dict[str, Any]) -> httpx.Response:
    right: dict[str, Any] = {
        "token": purchase.token(),
        "headers": JSON,
        "content": json.dumps({**JOB, "id": purchase.job_id}).encode(),
    }
    return purchase.stage.post(**{**right, **wrong})


def told(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """All of an answer but its date."""
    return answer.status_code, answer.content, {name: v for name, v in answer.headers.items() if name != "date"}


@pytest.fixture(scope="module")
def as_without(stages: Callable[..., Stage]) -> tuple[int, bytes, dict[str, str]]:
    """What a path is answered that there is not, where nothing is received."""
    off = stages("sqlite", ("AIRFLOW__LIPSYNC__WEBHOOK_RECEIVER", "False"))
    return told(off.post("token", JOB))


@pytest.mark.parametrize("name", WRONG)
def test_it_is_answered_as_if_there_were_no_receiver_and_no_database_is_touched(
    purchase: Purchase, as_without: tuple[int, bytes, dict[str, str]], name: str
) -> None:
    purchase.stage.call("statements")
    answer = sent(purchase, WRONG[name](purchase))
    assert purchase.stage.call("statements") == []
    assert told(answer) == as_without
    assert answer.status_code == 404


def test_what_was_wrong_has_resumed_nothing_and_the_right_one_is_taken(purchase: Purchase) -> None:
    """After all of the above, so that none of them was refused for another reason than its own."""
    assert (purchase.state, purchase.told(), purchase.stage.looks(purchase.job_id)) == ("deferred", None, 0)
    purchase.stage.call("statements")
    assert sent(purchase, {}).status_code == 200
    assert purchase.stage.call("statements") != []
    assert purchase.state == "scheduled"


@pytest.mark.parametrize(
    "right",
    [
        pytest.param({"headers": {"Content-Type": "Application/JSON; charset=utf-8"}}, id="content type with more"),
        pytest.param({"headers": {**JSON, "Cookie": "_token=stranger", "Origin": "https://evil.example"}}, id="cookie"),
        pytest.param({"pieces": True}, id="in pieces, without a length"),
        pytest.param({"more": {"x": {"a": [1, [2, [3]]]}, "words": '"[{' * 100}}, id="fields that nobody knows"),
    ],
)
def test_what_a_vendor_may_send_is_taken(one_stage: Stage, right: dict[str, Any]) -> None:
    purchase = one_stage.purchase("folder", job_id=one_stage.ended()).defer()
    body = json.dumps({**JOB, "id": purchase.job_id, **right.pop("more", {})}).encode()
    changes = {"content": iter([body[:10], body[10:]])} if right.pop("pieces", False) else {"content": body}
    assert sent(purchase, {**changes, **right}).status_code == 200
    assert purchase.state == "scheduled"


def test_a_body_that_drips_is_not_waited_for(one_stage: Stage) -> None:
    one_stage.call("patience", seconds=0.5)
    purchase = one_stage.purchase("folder", job_id=one_stage.ended()).defer()
    parts = urlsplit(one_stage.server.url)
    head = (
        f"POST /lipsync/webhooks/{purchase.token()} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 404 ")
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head.encode())  # and one that hangs up
    assert purchase.state == "deferred"
    one_stage.call("patience", seconds=10.0)


def test_every_secret_is_tried_on_a_token_that_is_forged(one_stage: Stage) -> None:
    """So that the time of a refusal tells nothing; which secret signs a right one does not matter either."""
    forged = make_token(
        Callback(conn_id="nobody", dag_id="d", run_id="r", task_id="t", map_index=-1, nonce="n", expires_at=2**31),
        secret="a secret that nobody here knows",
    )
    for token in (forged, one_stage.purchase("folder", job_id="x").token()):
        compared, believed = one_stage.call("comparisons", token=token)
        assert compared == believed > 0


def test_the_log_tells_how_many_were_refused_once_and_nothing_of_what_they_sent(one_stage: Stage) -> None:
    one_stage.call("tell_refusals")
    before = len(one_stage.server.log())
    for number in range(30):
        one_stage.post(f"evil-{number}", {"id": "evil", "status": "evil"})
        one_stage.post(f"evil-{number}.evil", {"id": "evil", "status": "evil"})
    one_stage.call("tell_refusals")
    lines = wait_for(one_stage.server.log, lambda log: "forged" in log[before:])[before:].splitlines()
    [first, second] = [line for line in lines if "no webhooks of ours" in line]
    assert "malformed: 1." in first
    assert "forged: 30, malformed: 29." in second
    assert not [line for line in lines if "evil" in line and "request finished" not in line]  # Airflow's own


def test_a_refused_job_is_told_by_its_reason(one_stage: Stage) -> None:
    purchase = one_stage.purchase("folder", job_id=one_stage.ended())
    one_stage.call("tell_refusals")
    assert purchase.deliver("6fa459ea-ee8a-3ca4-894e-db77e160355e").status_code == 404
    one_stage.call("tell_refusals")
    wait_for(one_stage.server.log, lambda log: "another job: 1" in log)
