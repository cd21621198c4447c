"""The page of the webhooks names the settings that there are, and its figures and sentences are those of the code."""

from __future__ import annotations

import inspect
import json
import re

import pytest

from airflow_provider_lipsync import LipsyncImageOperator
from airflow_provider_lipsync.api.callback import LONGEST_TOKEN, SHORTEST_SECRET
from airflow_provider_lipsync.exceptions import LipsyncMisconfigured
from airflow_provider_lipsync.get_provider_info import get_provider_info
from airflow_provider_lipsync.hooks.settings import read_connection
from airflow_provider_lipsync.jobs import net, pace
from airflow_provider_lipsync.jobs.callbacks import MARGIN_SECONDS
from airflow_provider_lipsync.jobs.race import RESUME_SECONDS
from airflow_provider_lipsync.triggers import lipsync as trigger
from tests.docs.test_docs import ROOT

PAGE = (ROOT / "docs" / "webhooks.md").read_text()
CONNECTION = (ROOT / "docs" / "connection.md").read_text()
SECRET = "0123456789abcdef0123456789abcdef"


def conn(**extras: str) -> object:
    described = {"conn_id": "lipsync_default", "host": None, "schema": None, "port": None, "password": "sk_key_of_ours"}
    return type("Conn", (), {**described, "extra_dejson": extras})()


def test_it_names_every_setting_of_airflow_and_no_other() -> None:
    options = set(get_provider_info()["config"]["lipsync"]["options"])
    assert {name.lower() for name in re.findall(r"AIRFLOW__LIPSYNC__(\w+)=", PAGE)} == options
    [ini] = re.findall(r"```ini\n\s*\[lipsync\]\n(.*?)```", PAGE, flags=re.DOTALL)
    assert set(re.findall(r"^\s*(\w+) =", ini, flags=re.MULTILINE)) == options


def test_both_pages_name_every_extra_of_the_connection() -> None:
    [connection] = get_provider_info()["connection-types"]
    extras = {name for name in connection["conn-fields"] if name.startswith("webhook")}
    for page in (PAGE, CONNECTION):
        assert {name for name in re.findall(r"`(webhook_\w+)`", page) if name not in ("webhook_url",)} - {
            "webhook_conn_ids",
            "webhook_receiver",
        } == extras


def test_the_switch_is_as_it_says() -> None:
    assert LipsyncImageOperator(task_id="render", image="https://host/1", audio="https://host/2").use_webhook is None
    assert "| `None` (as it is) |" in PAGE


@pytest.mark.parametrize(
    ("said", "value", "means"),
    [
        (f"up to {LONGEST_TOKEN:,} characters", LONGEST_TOKEN, 6000),
        (f"at least {SHORTEST_SECRET} random characters", SHORTEST_SECRET, 16),
        ("one hour beyond the job's\n   deadline", MARGIN_SECONDS, 3600.0),
        ("in the first 7 seconds after", RESUME_SECONDS, 7.0),
        ("three times in a row in a triggerer", net._MOST_MISSES, 3),
        ("a tenth of that time on top", pace._MARGIN, 1.1),
        ("whenever it is a quarter older", pace._NET_SHARE, 0.25),
        ("six `poll_interval`s later at the earliest", pace._NET_INTERVALS, 6.0),
        ("5 minutes later at the latest", pace._NET_LONGEST, 300.0),
    ],
)
def test_its_figures_are_those_of_the_code(said: str, value: float, means: float) -> None:
    assert value == means
    assert said in PAGE


def test_it_quotes_what_is_really_logged() -> None:
    assert "No webhook has told of job %s: it was seen by a look." in inspect.getsource(trigger)
    assert "No webhook has told of job …: it was seen by a look" in PAGE
    logged = re.sub(r'"\s+"', "", inspect.getsource(net))
    assert "jobs in a row by the connection %r have ended without a webhook that told of them" in logged
    assert "jobs in a row … have ended without a webhook that told of them" in PAGE


@pytest.mark.parametrize(
    ("extras", "quoted"),
    [
        pytest.param({"webhook_base_url": "https://hooks.example.com"}, "one is missing", id="no secret"),
        pytest.param(
            {"webhook_base_url": "http://hooks.example.com", "webhook_secret": SECRET},
            "webhook_base_url must begin with https://",
            id="plain http",
        ),
    ],
)
def test_it_quotes_what_is_really_raised(extras: dict[str, str], quoted: str) -> None:
    with pytest.raises(LipsyncMisconfigured) as raised:
        read_connection(conn(**extras))  # type: ignore[arg-type]
    assert quoted in raised.value.message
    assert quoted in PAGE.replace("`", "")


def test_the_connection_that_it_shows_is_set_up_for_webhooks() -> None:
    [shown] = re.findall(r"LIPSYNC_DEFAULT='(\{.*?\})'", PAGE)
    settings = read_connection(conn(**json.loads(shown)["extra"]))  # type: ignore[arg-type]
    assert settings.webhook is not None
    assert settings.webhook.url_of("t").startswith("https://hooks.example.com/lipsync/webhooks/")


def test_airflow_masks_both_secrets_where_it_shows_a_connection() -> None:
    from airflow.sdk._shared.secrets_masker import redact

    shown = str(redact({"webhook_secret": SECRET, "webhook_secret_previous": SECRET}))
    assert SECRET not in shown


def test_nothing_managed_is_said_to_have_been_run() -> None:
    managed = PAGE.split("### Managed Airflow\n")[1].split("\n## ")[0]
    assert managed.lstrip().startswith("*None of this was run.*")
    elsewhere = PAGE.replace(managed, "")
    assert [name for name in ("MWAA", "Composer", "Astronomer") if name in elsewhere] == []
