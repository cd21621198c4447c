"""The hook: from every form of a connection to a client, and a test that costs nothing."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_lipsync import LipsyncHook
from airflow_provider_lipsync.exceptions import LipsyncMisconfigured
from airflow_provider_lipsync.hooks.settings import read_connection
from tests.provider.conftest import Tell
from tests.support.scripted import Step, answer, drop, json_answer
from tests.support.vendor import JOB_ID, KEY, processing

VENDOR = "https://lipsync.studio/api/v1"


def conn(**changes: Any) -> Any:
    values: dict[str, Any] = {"conn_id": "c", "host": None, "schema": None, "port": None, "password": KEY}
    return SimpleNamespace(**{**values, "extra_dejson": {}, **changes})


@pytest.mark.parametrize(
    ("given", "url"),
    [
        pytest.param({}, VENDOR, id="nothing"),
        pytest.param({"host": "  "}, VENDOR, id="blank"),
        pytest.param({"host": "", "port": 0}, VENDOR, id="what the form sends"),
        pytest.param({"host": "lipsync.studio"}, VENDOR, id="a bare host"),
        pytest.param({"host": "lipsync.studio", "port": 0}, VENDOR, id="a bare host and port 0"),
        pytest.param({"host": "https://lipsync.studio"}, VENDOR, id="a URL without a path"),
        pytest.param({"host": "https://lipsync.studio/"}, VENDOR, id="a URL with a slash"),
        pytest.param({"host": "https://lipsync.studio/api/v1/"}, VENDOR, id="the whole URL"),
        pytest.param({"host": "lipsync.studio/api/v2"}, "https://lipsync.studio/api/v2", id="another path"),
        pytest.param({"host": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000/api/v1", id="the sandbox"),
        pytest.param(
            {"host": "127.0.0.1", "port": 9000, "schema": "http"}, "http://127.0.0.1:9000/api/v1", id="in parts"
        ),
        pytest.param({"host": "http://127.0.0.1:9000", "port": 1}, "http://127.0.0.1:9000/api/v1", id="two ports"),
        pytest.param({"host": "h", "schema": "api/v3"}, "https://h/api/v3", id="a path from a connection URI"),
        pytest.param({"host": "::1", "port": 9000, "schema": "HTTP"}, "http://[::1]:9000/api/v1", id="bare IPv6"),
        pytest.param({"extra_dejson": ["odd"]}, VENDOR, id="an extra that is a list"),
        pytest.param({"host": "http://[::1]:9000/x"}, "http://[::1]:9000/x", id="IPv6"),
    ],
)
def test_every_form_of_a_host(given: dict[str, Any], url: str) -> None:
    assert read_connection(conn(**given)).target.base_url == url


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"password": None}, "there is no API key", id="no key"),
        pytest.param({"password": " "}, "there is no API key", id="blank key"),
        pytest.param({"password": "sk_ä"}, "characters that no key has", id="odd key"),
        pytest.param({"host": "http://"}, "not an http", id="no host"),
        pytest.param({"host": "ftp://host"}, "not an http", id="another scheme"),
        pytest.param({"host": "host:port"}, "not a host or a URL", id="a port that is none"),
        pytest.param({"extra_dejson": {"http_timeout": "soon"}}, "http_timeout must be a number", id="timeout"),
        pytest.param(
            {"extra_dejson": {"max_connections": 0}}, "max_connections must be a number of at least 1", id="conns"
        ),
    ],
)
def test_a_connection_that_cannot_be_used_says_which_and_why(given: dict[str, Any], words: str) -> None:
    with pytest.raises(LipsyncMisconfigured, match=f"connection 'c': .*{words}"):
        read_connection(conn(**given))


def test_the_extras() -> None:
    extras = {
        "http_timeout": "5",
        "max_connections": 3,
        "typical_seconds_low": 1,
        "typical_seconds_high": "",
        "other": 1,
    }
    settings = read_connection(conn(extra_dejson=extras))
    assert (settings.http_timeout, settings.max_connections, settings.typical_seconds) == (5.0, 3, (1.0, 120.0))


def test_a_key_that_was_pasted_with_a_line_break_is_taken() -> None:
    assert read_connection(conn(password=f"{KEY}\n")).target.api_key == KEY


@pytest.mark.parametrize(
    "form",
    [
        lambda port: json.dumps({"conn_type": "lipsync", "host": f"http://127.0.0.1:{port}", "password": KEY}),
        lambda port: f"lipsync://:{KEY}@http%3A%2F%2F127.0.0.1%3A{port}%2Fapi%2Fv1",
        lambda port: json.dumps(
            {"conn_type": "lipsync", "schema": "http", "host": "127.0.0.1", "port": port, "password": KEY}
        ),
    ],
    ids=["JSON", "URI", "JSON in parts"],
)
def test_a_connection_from_the_environment(tell: Tell, monkeypatch: pytest.MonkeyPatch, form: Any) -> None:
    server = tell(processing())
    monkeypatch.setenv("AIRFLOW_CONN_MINE", form(int(server.url.split(":")[2].split("/")[0])))
    hook = LipsyncHook(lipsync_conn_id="mine")
    assert hook.get_conn() is hook.client
    assert hook.client.get_job(JOB_ID).id == JOB_ID
    hook.close()


def test_the_asynchronous_client_is_made_once(tell: Tell) -> None:
    tell(processing())

    async def look() -> str:
        hook = LipsyncHook()
        client = await hook.aget_client()
        assert client is await hook.aget_client()
        job = await client.get_job(JOB_ID)
        await hook.aclose()
        return job.id

    assert asyncio.run(look()) == JOB_ID


@pytest.mark.parametrize(
    ("step", "works", "words"),
    [
        pytest.param(json_answer(404, {"error": "no job"}), True, "answered and did not refuse the key", id="404"),
        pytest.param(answer(401, '{"error": "bad key"}'), False, "refused the API key (401). bad key", id="401"),
        pytest.param(answer(403), False, "refused the API key (403)", id="403"),
        pytest.param(answer(302), False, "HTTP 302", id="redirect"),
        pytest.param(answer(418), False, "HTTP 418", id="a teapot"),
        pytest.param(answer(200, "<html>"), False, "HTTP 200", id="a page"),
    ],
)
def test_trying_the_connection_costs_nothing(tell: Tell, step: Step, works: bool, words: str) -> None:
    server = tell(step)
    tried, message = LipsyncHook().test_connection()
    assert tried is works
    assert words in message
    assert all(request.startswith(b"GET ") for request in server.requests)
    assert KEY not in message


@pytest.mark.parametrize("step", [answer(500), drop], ids=["500", "dropped"])
def test_a_server_that_fails_is_told_with_its_status(tell: Tell, monkeypatch: pytest.MonkeyPatch, step: Step) -> None:
    tell(step)
    monkeypatch.setattr("time.sleep", lambda _: None)
    tried, message = LipsyncHook().test_connection()
    assert not tried
    assert "HTTP 500" in message or "no answer from the vendor" in message


def test_a_connection_that_cannot_be_used_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_LIPSYNC_DEFAULT", '{"conn_type": "lipsync", "host": "ftp://x", "password": "sk_x"}'
    )
    assert LipsyncHook().test_connection()[1].startswith("connection 'lipsync_default': the base URL")
    tried, message = LipsyncHook(lipsync_conn_id="no_such").test_connection()
    assert not tried
    assert "no_such" in message


def test_nothing_is_opened_by_making_a_hook() -> None:
    hook = LipsyncHook(lipsync_conn_id="no_such")
    hook.close()
    asyncio.run(hook.aclose())
