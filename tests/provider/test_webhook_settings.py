"""The extras of the webhook receiver: both or none, a secret that is one, https save on this very machine."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lipsync.exceptions import LipsyncMisconfigured
from airflow_provider_lipsync.hooks.settings import read_connection
from tests.provider.test_hook import conn
from tests.support.vendor import KEY

SECRET = "9e107d9d372bb6826bd81d3542a419d6"
BASE = "https://airflow.example.com"
BOTH = {"webhook_base_url": BASE, "webhook_secret": SECRET}


def test_both_make_a_receiver_and_none_makes_none() -> None:
    webhook = read_connection(conn(extra_dejson=BOTH)).webhook
    assert webhook is not None
    assert webhook.url_of("a.b") == "https://airflow.example.com/lipsync/webhooks/a.b"
    assert webhook.secrets == (SECRET,)
    assert read_connection(conn()).webhook is None
    empty = {"webhook_base_url": "", "webhook_secret": None, "webhook_secret_previous": " "}
    assert read_connection(conn(extra_dejson=empty)).webhook is None


def test_the_secret_before_is_believed_too_and_airflow_may_live_below_a_path() -> None:
    extras = BOTH | {"webhook_secret_previous": SECRET[::-1], "webhook_base_url": f"{BASE}/team/ "}
    webhook = read_connection(conn(extra_dejson=extras)).webhook
    assert webhook is not None
    assert webhook.secrets == (SECRET, SECRET[::-1])
    assert webhook.url_of("t") == f"{BASE}/team/lipsync/webhooks/t"


def test_secrets_are_never_shown() -> None:
    settings = read_connection(conn(extra_dejson=BOTH | {"webhook_secret_previous": SECRET[::-1]}))
    assert SECRET not in repr(settings)
    assert SECRET[::-1] not in repr(settings)


@pytest.mark.parametrize("host", ["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"])
def test_without_tls_only_between_this_machine_and_itself(host: str) -> None:
    extras = BOTH | {"webhook_base_url": "http://127.0.0.1:8080"}
    assert read_connection(conn(host=host, extra_dejson=extras)).webhook is not None


@pytest.mark.parametrize(
    ("given", "extras", "words"),
    [
        pytest.param({}, {"webhook_base_url": BASE}, "go together", id="no secret"),
        pytest.param({}, {"webhook_secret": SECRET}, "go together", id="no address"),
        pytest.param({}, {"webhook_secret_previous": SECRET}, "go together", id="the one before alone"),
        pytest.param({}, BOTH | {"webhook_secret": "short"}, "at least 16 characters", id="short"),
        pytest.param({}, BOTH | {"webhook_secret": KEY}, "not the API key", id="the API key"),
        pytest.param({}, BOTH | {"webhook_secret_previous": "short"}, "previous must be", id="short before"),
        pytest.param({}, BOTH | {"webhook_secret": 5}, "webhook_secret must be a text", id="a number"),
        pytest.param({}, BOTH | {"webhook_base_url": "http://airflow.example.com"}, "begin with https", id="http"),
        pytest.param({}, BOTH | {"webhook_base_url": "http://127.0.0.1:8080"}, "begin with", id="http, far vendor"),
        pytest.param(
            {"host": "http://127.0.0.1:9000"},
            BOTH | {"webhook_base_url": "http://airflow.example.com"},
            "begin with https",
            id="http, far receiver",
        ),
        pytest.param({}, BOTH | {"webhook_base_url": "airflow.example.com"}, "must be a URL", id="no scheme"),
        pytest.param({}, BOTH | {"webhook_base_url": f"{BASE}?x=1"}, "must be a URL", id="a query"),
        pytest.param({}, BOTH | {"webhook_base_url": "https://u:p@airflow.example.com"}, "must be a URL", id="a user"),
    ],
)
def test_what_cannot_be_used_is_told_and_no_secret_repeated(
    given: dict[str, Any], extras: dict[str, Any], words: str
) -> None:
    with pytest.raises(LipsyncMisconfigured, match=f"connection 'c': .*{words}") as error:
        read_connection(conn(extra_dejson=extras, **given))
    assert SECRET not in str(error.value)
    assert KEY not in str(error.value)
