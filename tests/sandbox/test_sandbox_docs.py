"""docs/sandbox.md: what it says exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from airflow_provider_lipsync.sandbox import SandboxServer
from airflow_provider_lipsync.sandbox import __main__ as command_line
from airflow_provider_lipsync.sandbox.fault_options import read_rule
from airflow_provider_lipsync.sandbox.faults import OPTIONS, Fault, On, parse_plan
from tests.sandbox.support import Caller

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_its_options_are_those_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["--help"])
    real = set(re.findall(r"(?<!\w)--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert set(re.findall(r"`(--[a-z-]+)`", TEXT)) == real


@pytest.mark.parametrize("block", _blocks("python"))
def test_its_python_runs(block: str) -> None:
    exec(compile(block, "docs/sandbox.md", "exec"), {})


def test_its_connection_is_json_with_the_default_key() -> None:
    (text,) = re.findall(r"AIRFLOW_CONN_LIPSYNC_DEFAULT='(.*)'", TEXT)
    assert json.loads(text) == {"conn_type": "lipsync", "host": "http://127.0.0.1:9000", "password": "sk_sandbox_key"}


def test_its_ledger_has_the_keys_of_the_real_one(canned: Caller) -> None:
    canned.submit("lipsync-image")
    shown = json.loads(_blocks("json")[0])
    real = httpx.get(f"{canned.sandbox.control_url}/ledger").json()
    assert list(shown) == list(real)
    assert list(shown["submits"][0]) == list(real["submits"][0])


def test_its_samples_are_those_that_are_served(canned: Caller) -> None:
    page = httpx.get(canned.sandbox.control_url).json()
    assert {url.removeprefix(canned.sandbox.url) for url in page["samples"]} == set(
        re.findall(r"`(/samples/[\w.-]+)`", TEXT)
    )


def _rows(header: str) -> dict[str, list[str]]:
    """Return the rows of a table, by the name in their first column."""
    table = TEXT.partition(f"| {header} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("| ").split(" |")] for row in table]
    return {first.strip("`"): others for first, *others in cells}


def test_its_faults_are_all_that_there_are_each_with_its_fields() -> None:
    rows = _rows("fault | on")
    assert list(rows) == [fault.value for fault in Fault]
    for fault, (_, _, *fields) in rows.items():
        named = set(re.findall(r"(?:^|, | or )`(\w+)`", "".join(fields)))
        assert named == set(OPTIONS[Fault(fault)]), fault


def test_its_defaults_are_the_real_ones() -> None:
    words = {None: ("none", "half", "for ever"), True: ("true",), False: ("false",)}
    for fault, (_, _, *fields) in _rows("fault | on").items():
        for name, default in re.findall(r"`(\w+)` (`[^`]+`|half|for ever|[\w.]+)", "".join(fields)):
            option = OPTIONS[Fault(fault)].get(name)
            real = option.default if option is not None else None
            expected = words[real] if real is None or isinstance(real, bool) else (str(real),)
            if (fault, name) != (
                "output_expires",
                "after_fetches",
            ):  # none, which means 0 where after_seconds is none too
                assert default.strip("`") in expected, (fault, name)


def test_its_fields_of_a_rule_are_those_of_the_code() -> None:
    (rule,), _ = parse_plan([{"fault": "drop_answer", "on": "query"}])
    assert set(_rows("field | what it says")) == {name for name in vars(rule) if name != "options"}
    assert set(re.findall(r"`([\w-]+)`", _rows("field | what it says")["on"][0])) == set(On)


def test_its_plan_and_its_rules_can_be_read() -> None:
    assert len(parse_plan(json.loads(_blocks("json")[1]))[0]) == 3
    rules = re.findall(r"--fault '([^']+)'", TEXT)
    assert len(rules) == 3
    assert all(map(read_rule, rules))


def test_its_methods_are_those_of_the_server() -> None:
    named = set(re.findall(r"`(\w+)\([^`]*\)`", TEXT.partition("`SandboxServer(canned=")[2].partition("```python")[0]))
    real = {name for name in vars(SandboxServer) if not name.startswith("_") and callable(vars(SandboxServer)[name])}
    assert named == real
