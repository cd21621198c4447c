"""The fault plan from outside: over HTTP, from the command line, from Python."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_lipsync.sandbox import SandboxServer
from tests.sandbox.support import IMAGE, Caller

MODULE = "airflow_provider_lipsync.sandbox"


def _url(caller: Caller) -> str:
    return f"{caller.sandbox.control_url}/faults"


def test_a_plan_is_put_shown_counted_and_taken_away(canned: Caller) -> None:
    assert httpx.get(_url(canned)).json() == {"seed": None, "faults": []}
    rule = {"fault": "status", "on": "submit", "times": 1, "status": 429, "accepted": False, "retry_after": 2}
    put = httpx.put(_url(canned), json=[rule])
    assert (put.status_code, put.json()["faults"]) == (200, [{**rule, "matched": 0, "fired": 0}])
    statuses = [canned.post("lipsync-image", {"formState": IMAGE}).status_code for _ in range(3)]
    assert statuses == [429, 200, 200]
    assert httpx.get(_url(canned)).json()["faults"] == [{**rule, "matched": 3, "fired": 1}]
    assert httpx.delete(_url(canned)).json() == {"seed": None, "faults": []}
    assert canned.sandbox.faults() == []


def test_a_plan_with_a_seed_hits_the_same_requests_again(canned: Caller) -> None:
    def run(seed: int) -> list[int]:
        canned.sandbox.set_faults([{"fault": "status", "rate": 0.5}], seed=seed)
        return [canned.post("lipsync-image", {"formState": IMAGE}).status_code for _ in range(30)]

    first = run(7)
    assert set(first) == {200, 503}
    assert run(7) == first
    assert run(8) != first
    assert httpx.get(_url(canned)).json()["seed"] == 8


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([{"fault": "explode"}], "faults[0].fault: must be one of drop_answer, "),
        ([{"fault": "html"}, {"fault": "html", "rate": 7}], "faults[1].rate: must be a number from 0 to 1, got 7"),
        ({"faults": [], "seed": "x"}, "seed: must be an integer, or null, got x"),
        ("html", "faults: must be an array of rules, got html"),
    ],
)
def test_a_bad_plan_is_refused_and_the_old_one_stays(canned: Caller, plan: Any, message: str) -> None:
    canned.sandbox.set_faults([{"fault": "html"}])
    answer = httpx.put(_url(canned), json=plan)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(message)
    assert [rule["fault"] for rule in canned.sandbox.faults()] == ["html"]


def test_a_plan_that_is_no_json_is_refused(canned: Caller) -> None:
    headers = {"Content-Type": "application/json"}
    answer = httpx.put(_url(canned), content=b"[", headers=headers)
    assert (answer.status_code, answer.json()) == (400, {"error": "The body is not valid JSON"})
    answer = httpx.put(_url(canned), content=b"[]")
    assert (answer.status_code, answer.json()) == (400, {"error": "Content-Type must be application/json"})


def test_python_says_why_a_plan_is_refused(canned: Caller) -> None:
    with pytest.raises(
        ValueError, match=r"^faults\[0\]\.seconds: no field of html on submit; there are fault, on, rate"
    ):
        canned.sandbox.set_faults([{"fault": "html", "seconds": 1}])


def test_a_reset_puts_the_plan_from_the_start_back_with_nothing_counted() -> None:
    with SandboxServer(canned=True, faults=[{"fault": "status", "rate": 0.5}], fault_seed=5) as sandbox:
        caller = Caller(sandbox)
        first = [caller.post("lipsync-image", {"formState": IMAGE}).status_code for _ in range(20)]
        sandbox.set_faults([{"fault": "html"}])
        sandbox.reset()
        (rule,) = sandbox.faults()
        assert (rule["fault"], rule["matched"], rule["fired"]) == ("status", 0, 0)
        assert [caller.post("lipsync-image", {"formState": IMAGE}).status_code for _ in range(20)] == first
        sandbox.clear_faults()
        assert sandbox.faults() == []
        caller.http.close()


def test_a_plan_a_ledger_and_a_reset_take_milliseconds(canned: Caller) -> None:
    rules = [{"fault": "drop_answer", "rate": 0.0}] * 20
    started = time.monotonic()
    for _ in range(50):
        canned.sandbox.set_faults(rules)
        canned.sandbox.ledger()
        canned.sandbox.reset()
    assert (time.monotonic() - started) / 50 < 0.1


def test_the_sandbox_tells_where_its_faults_are(canned: Caller) -> None:
    page = httpx.get(canned.sandbox.control_url).json()
    assert page["faults"] == f"GET, PUT, DELETE {_url(canned)}"


def test_the_command_line_takes_rules_a_file_and_a_seed(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps([{"fault": "vanishes", "looks": 1}]))
    command = [sys.executable, "-m", MODULE, "--port", "0", "--canned", "--fault-plan", str(file), "--fault-seed", "3"]
    command += ["--fault", "submit:status,status=503,sequence=1+3", "--fault", "query:drop_answer,rate=0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "(canned videos, 0-0 s a job; 3 fault rules; state in memory, lost at exit)" in line
            url = line.split()[3].removesuffix("/api/v1")
            plan = httpx.get(f"{url}/sandbox/faults").json()
            assert plan["seed"] == 3
            assert [rule["fault"] for rule in plan["faults"]] == ["vanishes", "status", "drop_answer"]
            headers = {"Authorization": "Bearer sk_sandbox_key"}
            submits = [
                httpx.post(f"{url}/api/v1/lipsync-image", json={"formState": IMAGE}, headers=headers) for _ in "123"
            ]
            assert [answer.status_code for answer in submits] == [503, 200, 503]
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fault", "submit:explode"), "--fault 'submit:explode': fault: must be one of drop_answer, status"),
        (("--fault", "query:never_ends"), "--fault 'query:never_ends': on: must be one of submit, lipsync-video"),
        (("--fault", "html,rate=2"), "--fault 'html,rate=2': rate: must be a number from 0 to 1, got 2"),
        (("--fault-plan", "/nowhere/plan.json"), "--fault-plan /nowhere/plan.json: No such file or directory"),
        (("--fault-seed", "x"), "argument --fault-seed: invalid int value: 'x'"),
    ],
)
def test_the_command_line_refuses_a_bad_plan_in_one_clear_line(arguments: tuple[str, ...], message: str) -> None:
    command = [sys.executable, "-m", MODULE, "--port", "0", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode in (1, 2)
    assert message in result.stderr.splitlines()[-1]
    assert result.stdout == ""
