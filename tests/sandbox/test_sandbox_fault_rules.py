"""Rules of a fault plan: what is taken, what is refused with which words, which request they hit."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lipsync.api.models import Endpoint
from airflow_provider_lipsync.sandbox import SandboxServer, Settings
from airflow_provider_lipsync.sandbox.fault_options import read_plan, read_rule
from airflow_provider_lipsync.sandbox.fault_plan import FaultPlan
from airflow_provider_lipsync.sandbox.faults import ANSWER_FAULTS, OPTIONS, Fault, On, parse_plan


def _plan(*rules: dict[str, Any], seed: int | None = None) -> FaultPlan:
    return FaultPlan(*parse_plan({"faults": rules, "seed": seed}))


def _hits(plan: FaultPlan, count: int, on: On = On.QUERY, job_id: str = "one") -> list[int]:
    return [number for number in range(1, count + 1) if plan.deal_look(on, job_id) is not None]


WRONG = [
    pytest.param({"fault": "explode"}, "fault: must be one of drop_answer, status, late_answer", id="unknown fault"),
    pytest.param({}, "fault: required, but missing", id="no fault"),
    pytest.param({"fault": 7}, "fault: must be one of", id="fault of a wrong type"),
    pytest.param("drop_answer", "must be an object, got drop_answer", id="no object"),
    pytest.param(
        {"fault": "drop_answer", "on": "jobs"}, "on: must be one of submit, lipsync-video", id="unknown place"
    ),
    pytest.param({"fault": "never_ends", "on": "query"}, "for never_ends, got query", id="a job's fault on a query"),
    pytest.param({"fault": "webhook_lost", "on": "output"}, "for webhook_lost, got output", id="webhook on output"),
    pytest.param({"fault": "malformed", "on": "output"}, "for malformed, got output", id="broken JSON of a video"),
    pytest.param(
        {"fault": "drop_answer", "rate": 1.5}, "rate: must be a number from 0 to 1, got 1.5", id="rate over 1"
    ),
    pytest.param({"fault": "drop_answer", "rate": -0.1}, "rate: must be a number from 0 to 1", id="rate below 0"),
    pytest.param({"fault": "drop_answer", "rate": True}, "rate: must be a number from 0 to 1", id="rate true"),
    pytest.param({"fault": "drop_answer", "rate": float("nan")}, "rate: must be a number from 0 to 1", id="rate nan"),
    pytest.param({"fault": "drop_answer", "sequence": []}, "sequence: must be an array of integers", id="no sequence"),
    pytest.param({"fault": "drop_answer", "sequence": [0]}, "sequence: must be an array of integers", id="the 0th"),
    pytest.param({"fault": "drop_answer", "times": 0}, "times: must be an integer from 1, got 0", id="no times"),
    pytest.param({"fault": "drop_answer", "times": 1, "rate": 1}, "times: not together with rate", id="two of three"),
    pytest.param(
        {"fault": "drop_answer", "job_id": "a"}, "job_id: no field of drop_answer on submit", id="submit of a job"
    ),
    pytest.param(
        {"fault": "drop_answer", "seconds": 1}, "seconds: no field of drop_answer on submit", id="unknown field"
    ),
    pytest.param(
        {"fault": "status", "on": "query", "accepted": True},
        "accepted: no field of status on query",
        id="a query accepted",
    ),
    pytest.param({"fault": "status", "status": 200}, "status: must be an integer from 400 to 599", id="status 200"),
    pytest.param({"fault": "status", "accepted": 1}, "accepted: must be true or false, got 1", id="accepted 1"),
    pytest.param(
        {"fault": "status", "retry_after": 1, "retry_after_date": 1},
        "retry_after_date: not together with retry_after",
        id="both forms of Retry-After",
    ),
    pytest.param(
        {"fault": "status", "retry_after": 1.5}, "retry_after: must be an integer of seconds", id="half a second"
    ),
    pytest.param(
        {"fault": "html", "status": 302}, "status: must be 200, or an integer from 400", id="page that redirects"
    ),
    pytest.param({"fault": "late_answer", "seconds": -1}, "seconds: must be a number of seconds from 0", id="before"),
    pytest.param({"fault": "late_answer", "seconds": 1e9}, "seconds: must be a number of seconds from 0", id="decades"),
    pytest.param({"fault": "truncated", "bytes": -1}, "bytes: must be an integer from 0, got -1", id="bytes"),
    pytest.param({"fault": "fails", "error": ""}, "error: must be a string that is not empty", id="no error"),
    pytest.param(
        {"fault": "unknown_status", "status_word": "failed"},
        "status_word: must be a string that is no status",
        id="a known word",
    ),
    pytest.param({"fault": "vanishes", "looks": 0}, "looks: must be an integer from 1, or null", id="no look"),
    pytest.param(
        {"fault": "output_expires", "after_seconds": 1, "after_fetches": 1},
        "after_fetches: not together with after_seconds",
        id="two ends of a URL",
    ),
    pytest.param({"fault": "output_expires", "status": 500}, "status: must be 403, 404 or 410", id="gone with 500"),
]


@pytest.mark.parametrize(("rule", "message"), WRONG)
def test_a_rule_that_makes_no_sense_is_refused_and_the_field_named(rule: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^faults\[1\]") as caught:
        parse_plan([{"fault": "drop_answer"}, rule])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        pytest.param("drop_answer", "faults: must be an array of rules, got drop_answer", id="text"),
        pytest.param({"rules": []}, "the plan: must be one of faults, seed, got rules", id="unknown field"),
        pytest.param({"faults": {}}, "faults: must be an array of rules", id="an object of rules"),
        pytest.param({"faults": [], "seed": 1.5}, "seed: must be an integer, or null, got 1.5", id="seed"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(plan: Any, message: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        parse_plan(plan)
    assert message in str(caught.value)


@pytest.mark.parametrize("make", [SandboxServer, Settings])
def test_a_bad_plan_is_refused_before_anything_starts(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^faults\[0\]\.rate: must be a number from 0 to 1, got 2$"):
        make(faults=[{"fault": "drop_answer", "rate": 2}])
    with pytest.raises(ValueError, match=r"^seed: must be an integer"):
        make(fault_seed="x")


@pytest.mark.parametrize("fault", list(Fault))
def test_a_rule_as_it_is_shown_is_the_rule_again(fault: Fault) -> None:
    (rule,), _ = parse_plan([{"fault": fault.value, "on": "lipsync-image", "sequence": [1, 3]}])
    assert parse_plan([rule.as_dict()])[0] == (rule,)
    assert rule.as_dict() | {"fault": fault.value, "on": "lipsync-image", "sequence": [1, 3]} == rule.as_dict()


def test_every_fault_has_its_options() -> None:
    assert set(OPTIONS) == set(Fault)


def test_a_rule_without_a_choice_hits_every_request() -> None:
    assert _hits(_plan({"fault": "drop_answer", "on": "query"}), 4) == [1, 2, 3, 4]


def test_times_hits_the_first_requests() -> None:
    assert _hits(_plan({"fault": "drop_answer", "on": "query", "times": 2}), 5) == [1, 2]


def test_a_sequence_hits_the_requests_that_it_names() -> None:
    assert _hits(_plan({"fault": "drop_answer", "on": "query", "sequence": [1, 3]}), 5) == [1, 3]


def test_a_rate_hits_its_share_and_the_same_ones_with_the_same_seed() -> None:
    rule = {"fault": "drop_answer", "on": "query", "rate": 0.1}
    found = _hits(_plan(rule, seed=7), 2000)
    assert found == _hits(_plan(rule, seed=7), 2000)
    assert found != _hits(_plan(rule, seed=8), 2000)
    assert 140 < len(found) < 260
    assert _hits(_plan(rule | {"rate": 0}), 100) == []
    assert _hits(_plan(rule | {"rate": 1}), 3) == [1, 2, 3]


def test_what_a_rate_hits_hangs_on_no_other_request() -> None:
    rules = [{"fault": "drop_answer", "on": on, "rate": 0.5} for on in ("query", "output")]
    alone, mixed = _plan(*rules, seed=1), _plan(*rules, seed=1)
    found = []
    for number in range(1, 51):
        mixed.deal_look(On.OUTPUT, "one")
        found += [number] if mixed.deal_look(On.QUERY, "one") is not None else []
    assert found == _hits(alone, 50)


def test_a_rule_looks_at_its_own_requests_alone() -> None:
    plan = _plan({"fault": "status", "on": "lipsync-video"}, {"fault": "html", "on": "query", "job_id": "one"})
    assert plan.deal_submit(Endpoint.IMAGE) is None
    assert plan.deal_look(On.QUERY, "two") is None
    assert plan.deal_look(On.OUTPUT, "one") is None
    assert [line["matched"] for line in plan.as_dict()["faults"]] == [0, 0]
    assert plan.deal_submit(Endpoint.VIDEO) is not None
    assert plan.deal_look(On.QUERY, "one") is not None


def test_the_first_of_two_rules_hits_and_both_count() -> None:
    plan = _plan({"fault": "drop_answer", "sequence": [2]}, {"fault": "html", "sequence": [2, 3]})
    dealt = [plan.deal_submit(Endpoint.IMAGE) for _ in range(3)]
    assert [rule and rule.fault for rule in dealt] == [None, Fault.DROP_ANSWER, Fault.HTML]
    assert [(line["matched"], line["fired"]) for line in plan.as_dict()["faults"]] == [(3, 1), (3, 1)]


def test_a_job_is_hit_by_every_fault_of_its_own_and_of_its_webhook() -> None:
    plan = _plan({"fault": "vanishes"}, {"fault": "vanishes", "looks": 2}, {"fault": "webhook_lost"}, {"fault": "html"})
    assert list(plan.deal_job(Endpoint.IMAGE, has_webhook=False)) == [Fault.VANISHES]
    dealt = plan.deal_job(Endpoint.IMAGE, has_webhook=True)
    assert list(dealt) == [Fault.VANISHES, Fault.WEBHOOK_LOST]
    assert dealt[Fault.VANISHES].options["looks"] is None
    assert [(line["matched"], line["fired"]) for line in plan.as_dict()["faults"]] == [(2, 2), (2, 0), (1, 1), (0, 0)]


def test_a_reset_puts_the_first_plan_back_with_the_same_chances() -> None:
    plan = _plan({"fault": "drop_answer", "on": "query", "rate": 0.5}, seed=3)
    found = _hits(plan, 40)
    plan.replace(())
    assert _hits(plan, 3) == []
    plan.reset()
    assert _hits(plan, 40) == found
    assert plan.as_dict()["seed"] == 3


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("drop_answer", {"fault": "drop_answer"}),
        ("submit:drop_answer,rate=0.1", {"fault": "drop_answer", "on": "submit", "rate": 0.1}),
        (
            "query:status,status=429,retry_after_date=3,sequence=1+3",
            {"fault": "status", "on": "query", "status": 429, "retry_after_date": 3, "sequence": [1, 3]},
        ),
        ("lipsync-image:fails, error=404: gone", {"fault": "fails", "on": "lipsync-image", "error": "404: gone"}),
        ("query:html,job_id=12", {"fault": "html", "on": "query", "job_id": "12"}),
        ("vanishes,looks=null", {"fault": "vanishes", "looks": None}),
        ("status,accepted=true,times=1", {"fault": "status", "accepted": True, "times": 1}),
    ],
)
def test_the_short_form_stands_for_a_rule(text: str, rule: dict[str, Any]) -> None:
    assert read_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--fault '': fault: must be one of"),
        ("submit:explode", "--fault 'submit:explode': fault: must be one of"),
        ("query:never_ends", "on: must be one of"),
        ("submit:drop_answer,rate", "'rate' must be NAME=VALUE, each name once"),
        ("submit:drop_answer,rate=1,rate=1", "'rate=1' must be NAME=VALUE, each name once"),
        ("submit:drop_answer,on=query", "'on=query' must be NAME=VALUE, each name once"),
        ("submit:drop_answer,rate=often", "rate: must be a number from 0 to 1, got often"),
        ("submit:drop_answer,sequence=1+x", "sequence: must be an array of integers"),
    ],
)
def test_a_wrong_short_form_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^--fault ") as caught:
        read_rule(text)
    assert message in str(caught.value)


def test_a_file_comes_first_and_the_seed_of_the_command_line_wins(tmp_path: Any) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"faults": [{"fault": "html"}], "seed": 4}')
    assert read_plan(str(file), ["never_ends"], None) == ([{"fault": "html"}, {"fault": "never_ends"}], 4)
    assert read_plan(str(file), [], 5) == ([{"fault": "html"}], 5)
    file.write_text('[{"fault": "html"}]')
    assert read_plan(str(file), [], None) == ([{"fault": "html"}], None)
    assert read_plan(None, [], None) == ([], None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ("7", "faults: must be an array"),
        ('[{"fault": "html", "status": 1}]', "faults[0].status: must be"),
        ("\xff", "can't decode"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Any, content: str | None, message: str) -> None:
    file = tmp_path / "plan.json"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"--fault-plan .*plan\.json: ") as caught:
        read_plan(str(file), [], None)
    assert message in str(caught.value)


def test_the_answer_faults_are_those_of_no_job() -> None:
    assert {fault for fault in Fault if fault not in ANSWER_FAULTS} == {
        *(Fault.NEVER_ENDS, Fault.FAILS, Fault.UNKNOWN_STATUS, Fault.NO_OUTPUT, Fault.VANISHES, Fault.OUTPUT_EXPIRES),
        *(Fault.WEBHOOK_LOST, Fault.WEBHOOK_DOUBLED, Fault.WEBHOOK_LATE, Fault.WEBHOOK_EARLY),
    }
