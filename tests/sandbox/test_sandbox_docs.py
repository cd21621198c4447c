"""docs/sandbox.md: what it says exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from airflow_provider_lipsync.sandbox import __main__ as command_line
from tests.sandbox.support import Caller

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_its_options_are_those_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["--help"])
    real = set(re.findall(r"(?<!\w)--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert set(re.findall(r"`(--[a-z-]+)`", TEXT)) == real


def test_its_python_runs() -> None:
    (block,) = _blocks("python")
    exec(compile(block, "docs/sandbox.md", "exec"), {})


def test_its_connection_is_json_with_the_default_key() -> None:
    (text,) = re.findall(r"AIRFLOW_CONN_LIPSYNC_DEFAULT='(.*)'", TEXT)
    assert json.loads(text) == {"conn_type": "lipsync", "host": "http://127.0.0.1:9000", "password": "sk_sandbox_key"}


def test_its_ledger_has_the_keys_of_the_real_one(canned: Caller) -> None:
    canned.submit("lipsync-image")
    (block,) = _blocks("json")
    shown = json.loads(block)
    real = httpx.get(f"{canned.sandbox.control_url}/ledger").json()
    assert list(shown) == list(real)
    assert list(shown["submits"][0]) == list(real["submits"][0])


def test_its_samples_are_those_that_are_served(canned: Caller) -> None:
    page = httpx.get(canned.sandbox.control_url).json()
    assert {url.removeprefix(canned.sandbox.url) for url in page["samples"]} == set(
        re.findall(r"`(/samples/[\w.-]+)`", TEXT)
    )
