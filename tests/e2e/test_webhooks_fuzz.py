"""Thousands of requests that nobody may believe, over HTTP, against a running API server, good ones among them.

Jobs have ended at the vendor, and their tasks are deferred: whatever were believed would resume one. The bad requests
are made of tokens that are good; the tasks of these are told of at the very end, which shows that nothing was used up.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.hooks.fuzz import RECEIVER, Bad, Forger, Good
from tests.e2e.hooks.scenarios import wait_until_all_are_resumable
from tests.e2e.hooks.stage import HookStage
from tests.e2e.kill.run import Run
from tests.runner.plugin import POSTGRESQL
from tests.support.raw_http import Answer, Line

CONNECTION = "lipsync_silent"
FEW, MANY = 2_000, 10_400
LINES = 16  # connections
REPLAYS = 8  # of each good request: the receiver takes no more of one purchase in a moment
SEED = 20_261_128
REFUSED_BY_AIRFLOW = {"path: a line break", "path: in capitals"}  # they are no paths of the plugin's

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.parametrize(
        ("hooked", "number"),
        [
            pytest.param("postgresql", FEW, marks=POSTGRESQL.marks, id="postgresql"),
            pytest.param("postgresql", MANY, marks=[*POSTGRESQL.marks, pytest.mark.full], id="postgresql, many"),
            pytest.param("sqlite", MANY, marks=pytest.mark.full, id="sqlite, many"),
        ],
        indirect=True,
    ),
]


@dataclass
class Fuzzed:
    """What was answered.

    :param bad: answers to bad requests by kind; None = the connection was closed.
    :param good: answers to good ones, each sent for the first time.
    :param again: answers to the same ones, sent again.
    """

    run: Run
    told_first: Sequence[Good]
    told_last: Sequence[Good]
    bad: dict[str, Counter[Answer | None]] = field(default_factory=lambda: defaultdict(Counter))
    good: list[Answer | None] = field(default_factory=list)
    again: list[Answer | None] = field(default_factory=list)
    resumed_by_bad: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def number(request: pytest.FixtureRequest) -> int:
    """How many bad requests there are."""
    return int(request.param)


@pytest.fixture(scope="session")
def fuzzed(hooked: HookStage, number: int) -> Fuzzed:
    run = deferred_run(hooked)
    goods = good_requests(hooked, run)
    half = len(goods) // 2
    fuzzed = Fuzzed(run, goods[:half], goods[half:])
    foreign = hooked.hooks["lipsync_default"].secret
    host = urlsplit(hooked.airflow.url).netloc
    forger = Forger(fuzzed.told_last, foreign_secret=foreign, host=host, seed=SEED)
    asyncio.run(send_all(fuzzed, forger, shuffled(fuzzed, forger, number)))
    fuzzed.resumed_by_bad = [one.state for one in run.standings() if is_told_last(fuzzed, one.map_index)]
    asyncio.run(send_all(fuzzed, forger, iter(fuzzed.told_last)))
    return fuzzed


def deferred_run(hooked: HookStage) -> Run:
    """Return a run whose tasks are deferred and whose jobs have ended, of which nobody has told."""
    run = Run(hooked, "bad requests", "hook_fuzz", {"connection": CONNECTION})
    run.start()
    wait_until_all_are_resumable(run, 24)
    run.finish_all_jobs()
    return run


def good_requests(hooked: HookStage, run: Run) -> list[Good]:
    hook = hooked.hooks[CONNECTION]
    headers = {"Authorization": f"Bearer {hook.vendor.key}"}
    with httpx.Client(base_url=hook.vendor.base_url, headers=headers, trust_env=False) as vendor:
        told = hooked.told(run.run_id, run.vendor)
        return [Good(one, vendor.get(f"/jobs/{one.job_id}").content, hook.secret) for one in told]


def is_told_last(fuzzed: Fuzzed, map_index: int) -> bool:
    return map_index in {good.told.key.map_index for good in fuzzed.told_last}


def shuffled(fuzzed: Fuzzed, forger: Forger, number: int) -> Iterator[Bad | Good]:
    """Return the bad requests, the first half of the good ones among them, and these again, later."""
    chance, requests = random.Random(SEED), list[Bad | Good](forger.make(number))
    chance.shuffle(requests)
    goods = [good for good in fuzzed.told_first for _ in range(REPLAYS + 1)]
    places = dict(zip(chance.sample(range(number), len(goods)), goods, strict=True))
    for at, request in enumerate(requests):
        if at in places:
            yield places[at]
        yield request


async def send_all(fuzzed: Fuzzed, forger: Forger, requests: Iterator[Bad | Good]) -> None:
    """Send them over a few connections, each one's next as soon as its last is answered."""
    seen: set[str] = set()

    async def work(line: Line) -> None:
        for request in requests:
            if isinstance(request, Bad):
                fuzzed.bad[request.kind][await line.ask(request.request)] += 1
                continue
            answers = fuzzed.again if request.token in seen else fuzzed.good
            seen.add(request.token)
            answers.append(await line.ask(forger.good(request)))

    host, port = forger.host.split(":")
    async with asyncio.TaskGroup() as group:
        for _ in range(LINES):
            group.create_task(work_on_line(work, host, int(port)))


async def work_on_line(work: Any, host: str, port: int) -> None:
    async with Line(host, port) as line:
        await work(line)


def test_none_is_accepted(fuzzed: Fuzzed, number: int) -> None:
    assert sum(answers.total() for answers in fuzzed.bad.values()) == number
    assert {
        kind for kind, answers in fuzzed.bad.items() if any(answer and answer.status < 400 for answer in answers)
    } == set()
    assert set(fuzzed.resumed_by_bad) == {"deferred"}


def test_all_are_refused_in_the_same_words(fuzzed: Fuzzed) -> None:
    kinds: dict[Answer | None, set[str]] = defaultdict(set)
    for kind, answers in fuzzed.bad.items():
        for answer in answers:
            kinds[answer].add(kind)
    [usual] = set(fuzzed.bad["token: noise"])
    assert usual is not None
    assert usual.status == 404
    assert kinds.pop(usual) == fuzzed.bad.keys() - {"method HEAD"} - REFUSED_BY_AIRFLOW
    assert kinds.pop(replace(usual, body=b"")) == {"method HEAD"}
    assert set().union(*kinds.values()) == REFUSED_BY_AIRFLOW


def test_the_good_ones_are_all_accepted(fuzzed: Fuzzed) -> None:
    assert [answer and answer.status for answer in fuzzed.good] == [200] * 24
    for index in range(24):
        fuzzed.run.wait("success", map_index=index)
    assert fuzzed.run.handed_on() == set(fuzzed.run.bought())


def test_replays_are_answered_and_do_nothing(fuzzed: Fuzzed) -> None:
    assert [answer and answer.status for answer in fuzzed.again] == [200] * (12 * REPLAYS)
    looks = [one.polls for one in fuzzed.run.stage.told(fuzzed.run.run_id, fuzzed.run.vendor)]
    assert looks == [3] * 24  # the worker's, this test's, and the receiver's


def test_a_browser_and_a_stranger_are_refused_alike(fuzzed: Fuzzed, hooked: HookStage) -> None:
    token = fuzzed.told_last[0].token
    origin = {"Origin": "https://evil.example", "Referer": "https://evil.example/"}
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    requests: list[tuple[str, str, dict[str, str], bytes]] = [
        ("GET", token, {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate"}, b""),
        ("OPTIONS", token, {**origin, **preflight}, b""),
        ("POST", token, {**origin, **form}, b"id=1&status=completed"),
        ("POST", token, {**origin, "Content-Type": "text/plain"}, fuzzed.told_last[0].body),
        ("POST", "x.y", {"Content-Type": "application/json"}, json.dumps({"id": "1", "status": "completed"}).encode()),
        ("POST", "", {"Content-Type": "application/json"}, b"{}"),
    ]
    with httpx.Client(base_url=hooked.airflow.url, trust_env=False) as client:
        answers = [
            client.request(method, f"{RECEIVER}{rest}", headers=headers, content=body)
            for method, rest, headers, body in requests
        ]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    for answer in answers:
        assert answer.status_code == 404
        assert not {name for name in answer.headers if name.startswith(("access-control", "set-cookie", "www-auth"))}
