"""The ledger: written ahead, patient with an id that was paid for, silent about nothing; and where it is kept."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_lipsync.exceptions import LipsyncLedgerUnavailable, LipsyncMisconfigured
from airflow_provider_lipsync.jobs.ledger import Generation, Ledger, Record, State, unhurried
from airflow_provider_lipsync.jobs.memory import ObjectMemory, StateStoreMemory, memory_of
from airflow_provider_lipsync.media.task_key import TaskKey
from tests.support.objectstore import BUCKET, aws_connection, objectstore
from tests.support.tasks import FakeStateStore

GENERATION = Generation(max_tries=2, clear_number=1)
KEY = TaskKey(dag_id="weekly", run_id="scheduled__2026-01-05T00:00:00+00:00", task_id="group.render", map_index=3)


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _tell(self, message: str, *args: Any) -> None:
        self.lines.append(message % args)

    info = warning = error = _tell


class Flaky:
    """A memory that fails so often before it works."""

    place = "a flaky place"
    refuses_old_tries = False

    def __init__(self, failures: int = 0, fault: BaseException | None = None) -> None:
        self.failures, self.fault = failures, fault or ConnectionError("away")
        self.kept: Any = None
        self.attempts = 0

    def load(self) -> Any:
        return self.kept

    def save(self, value: dict[str, Any]) -> None:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise self.fault
        self.kept = value


class Unreadable(Flaky):
    """A memory whose content cannot be had."""

    def load(self) -> Any:
        raise PermissionError("not yours")


class Forgetful(Flaky):
    """A memory that says it has written, and has not."""

    def save(self, value: dict[str, Any]) -> None:
        self.attempts += 1


def ledger_in(memory: Any, **changes: Any) -> tuple[Ledger, Log, list[float]]:
    log, pauses = Log(), list[float]()
    values = {"generation": GENERATION, "log": log, "sleep": pauses.append}
    return Ledger(memory, **(values | changes)), log, pauses


def intended(ledger: Ledger) -> Record:
    return ledger.intend(endpoint="lipsync-image", fingerprint={"image": "0123"}, now=1_700_000_000.0)


def test_an_intent_is_there_before_the_submit_and_the_id_after_it() -> None:
    ledger, _, _ = ledger_in(Flaky())
    assert ledger.read() is None
    record = intended(ledger)
    assert ledger.read() == record
    assert (record.state, record.job_id, record.generation) == (State.INTENT, None, GENERATION)
    ledger.bought(record, "job-1")
    assert ledger.read() == replace(record, state=State.BOUGHT, job_id="job-1")


def test_each_purchase_has_a_name_of_its_own() -> None:
    ledger, _, _ = ledger_in(Flaky())
    assert intended(ledger).nonce != intended(ledger).nonce


def test_an_intent_that_cannot_be_written_stops_the_submit() -> None:
    ledger, _, _ = ledger_in(Flaky(failures=1))
    with pytest.raises(LipsyncLedgerUnavailable, match=r"charged: no .*\n.*a flaky place.*away"):
        intended(ledger)


def test_a_memory_that_only_claims_to_have_written_stops_the_submit() -> None:
    ledger, _, _ = ledger_in(Forgetful())
    with pytest.raises(LipsyncLedgerUnavailable, match="what was just written is not there"):
        intended(ledger)


def test_what_cannot_be_read_is_not_taken_for_nothing() -> None:
    ledger, _, _ = ledger_in(Unreadable())
    with pytest.raises(LipsyncLedgerUnavailable, match="not yours"):
        ledger.read()


@pytest.mark.parametrize(
    "found",
    [
        "job-1",
        [],
        {},
        {"state": "bought"},
        0,
        False,
        "",
        lambda good: good | {"state": "lost"},
        lambda good: good | {"max_tries": "many"},
        lambda good: good | {"fingerprint": None},
        lambda good: good | {"state": "bought", "job_id": None},
    ],
    ids=lambda value: "changed" if callable(value) else repr(value),
)
def test_a_record_that_is_not_ours_is_not_taken_for_nothing(found: Any) -> None:
    memory = Flaky()
    ledger, _, _ = ledger_in(memory)
    intended(ledger)
    memory.kept = found(memory.kept) if isinstance(found, Callable) else found  # type: ignore[arg-type]
    with pytest.raises(LipsyncLedgerUnavailable, match=r"cannot be understood|has no job id"):
        ledger.read()


def test_an_id_that_was_paid_for_is_written_patiently() -> None:
    memory = Flaky()
    ledger, log, pauses = ledger_in(memory)
    record = intended(ledger)
    memory.failures = memory.attempts + 3
    ledger.bought(record, "job-1")
    assert memory.kept["job_id"] == "job-1"
    assert pauses == [0.25, 0.5, 1.0]
    assert log.lines == []


def test_an_id_that_cannot_be_written_is_told_and_never_in_the_way_of_the_job() -> None:
    memory = Flaky()
    ledger, log, pauses = ledger_in(memory)
    record = intended(ledger)
    memory.failures = 1000
    ledger.bought(record, "job-1")
    assert sum(pauses) < 10
    (line,) = log.lines
    assert "The id of job job-1 could not be written" in line
    assert "resume_job_id='job-1'" in line


def test_what_ends_the_task_waits_until_the_id_stands() -> None:
    memory = Flaky()
    ledger, _, _ = ledger_in(memory)
    record = intended(ledger)
    memory.failures, memory.fault = memory.attempts + 1, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        ledger.bought(record, "job-1")
    assert memory.kept["job_id"] == "job-1"


def test_a_hanging_try_does_not_overwrite_the_record_of_a_later_one() -> None:
    memory = Flaky()
    ledger, log, _ = ledger_in(memory)
    old = intended(ledger)
    new = intended(ledger)
    ledger.bought(old, "job-old")
    assert ledger.read() == new
    assert "The id of job job-old could not be written" in log.lines[0]


def test_an_intent_can_be_withdrawn_and_explained() -> None:
    ledger, _, _ = ledger_in(Flaky())
    record = intended(ledger)
    ledger.uncertain(record, "500 " * 1000)
    assert ledger.read() == replace(record, note=("500 " * 1000)[:200])
    ledger.refused(record, "too slow (429)")
    assert ledger.read() == replace(record, state=State.REFUSED, note="too slow (429)")


def test_the_end_is_written_for_the_job_of_the_record_alone() -> None:
    memory = Flaky()
    ledger, _, _ = ledger_in(memory)
    record = intended(ledger)
    ledger.bought(record, "job-1")
    ledger.ended(State.DELIVERED, "job-2")
    assert memory.kept["state"] == "bought"
    later, _, _ = ledger_in(memory, generation=Generation(max_tries=5, clear_number=2))
    later.ended(State.DELIVERED, "job-1")
    assert (memory.kept["state"], memory.kept["max_tries"]) == ("delivered", 5)
    attempts = memory.attempts
    later.ended(State.DELIVERED, "job-1")
    assert memory.attempts == attempts


@pytest.mark.parametrize("memory", [Unreadable(), Flaky(failures=1000)], ids=["unreadable", "unwritable"])
def test_an_end_that_cannot_be_written_fails_no_task(memory: Flaky) -> None:
    ledger, log, _ = ledger_in(memory)
    record = Record(
        state=State.BOUGHT, endpoint="lipsync-image", generation=GENERATION, submitted_at=1.0, job_id="job-1"
    )
    memory.kept = record.as_json()
    ledger.ended(State.DELIVERED, "job-1")
    assert "could not be" in log.lines[0]


def test_a_record_is_small_whatever_is_in_it() -> None:
    record = Record(
        state=State.BOUGHT,
        endpoint="lipsync-image-multi",
        generation=GENERATION,
        submitted_at=1_700_000_000.123456,
        fingerprint={f"{number:040}": "f" * 16 for number in range(25)},
        job_id="j" * 128,
        note="n" * 10_000,
    )
    assert len(json.dumps(record.as_json())) < 4096


def test_airflows_store_is_told_to_keep_it_for_long_enough() -> None:
    store = FakeStateStore()
    memory = StateStoreMemory(store)
    assert memory.load() is None
    memory.save({"a": 1})
    assert memory.load() == {"a": 1}
    assert store.retentions == [timedelta(days=90)]
    assert list(store.rows) == ["lipsync_job"]


def test_a_folder_keeps_one_small_object_per_task_instance(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    memory = ObjectMemory(f"file://{tmp_path}/ledger/", KEY)
    assert memory.load() is None
    for value in ({"a": 1}, {"a": 2}):
        memory.save(value)
        assert ObjectMemory(f"file://{tmp_path}/ledger", KEY).load() == value
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "scheduled__2026-01-05T00_00_00+00_00~group.render~3~" in kept.name


def test_a_bucket_does_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"s3://aws_default@{BUCKET}/ledger"
    with objectstore() as (url, _):
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", aws_connection(url))
        memory = ObjectMemory(folder, KEY)
        assert memory.load() is None
        for value in ({"a": 1}, {"a": 2}):
            memory.save(value)
            assert ObjectMemory(folder, KEY).load() == value
        assert memory.place == f"ledger_path, s3://{BUCKET}/ledger/{KEY.name()}.json"


def test_a_record_on_disk_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = ObjectMemory(f"file://{tmp_path}", KEY)
    memory.save({"a": 1})

    def die(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("airflow_provider_lipsync.media.whole.os.fsync", die)
    with pytest.raises(OSError, match="no space"):
        memory.save({"a": 2})
    assert memory.load() == {"a": 1}
    assert len(list(tmp_path.rglob("*.json*"))) == 1


def test_half_a_record_is_not_taken_for_nothing(tmp_path: Path) -> None:
    memory = ObjectMemory(f"file://{tmp_path}", KEY)
    memory.save({"a": 1})
    (kept,) = tmp_path.rglob("*.json")
    for content in ("", '{"state": "bou'):
        kept.write_text(content)
        ledger, _, _ = ledger_in(memory)
        with pytest.raises(LipsyncLedgerUnavailable):
            ledger.read()


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, dag_id="weekly2"),
        replace(KEY, run_id="scheduled__2026-01-05T00:00:00-00:00"),
        replace(KEY, task_id="group/render"),
        replace(KEY, map_index=-1),
        replace(KEY, run_id="r" * 300),
        replace(KEY, run_id="r" * 301),
        replace(KEY, dag_id="../../etc", run_id="/", task_id=".."),
        replace(KEY, dag_id=".."),
    ],
    ids=str,
)
def test_no_two_task_instances_share_an_object(other: TaskKey) -> None:
    name = other.name()
    assert name != KEY.name()
    assert all(len(part) < 250 and part not in ("", ".", "..") for part in name.split("/"))
    assert name.count("/") == 1


@pytest.mark.parametrize("folder", ["nothing://bucket/x", "s4://bucket"])
def test_a_folder_that_cannot_be_used_is_told(folder: str) -> None:
    with pytest.raises(LipsyncMisconfigured, match="ledger_path cannot be used"):
        ObjectMemory(folder, KEY)


def test_the_folder_goes_before_airflows_store_and_none_is_none(tmp_path: Path) -> None:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    store = FakeStateStore()
    assert isinstance(memory_of({"ti": ti, "task_state_store": store}, ledger_path=None), StateStoreMemory)
    assert isinstance(memory_of({"ti": ti}, ledger_path=f"file://{tmp_path}"), ObjectMemory)
    assert memory_of({"ti": ti}, ledger_path=None) is None


def test_a_folder_that_is_given_later_knows_what_the_store_knew(tmp_path: Path) -> None:
    context = {
        "ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1),
        "task_state_store": FakeStateStore(),
    }
    before, after = (memory_of(context, ledger_path=path) for path in (None, f"file://{tmp_path}"))
    assert before is not None
    assert after is not None
    before.save({"a": 1})
    assert after.load() == {"a": 1}
    after.save({"a": 2})
    assert (after.load(), before.load()) == ({"a": 2}, {"a": 1})


def test_a_folder_that_is_not_mounted_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    ledger, _, _ = ledger_in(ObjectMemory(f"file://{tmp_path}/share", KEY))
    with pytest.raises(LipsyncLedgerUnavailable, match="there is no folder"):
        ledger.read()
    with pytest.raises(LipsyncLedgerUnavailable, match="there is no folder"):
        intended(ledger)
    assert list(tmp_path.iterdir()) == []


def test_a_delivery_is_written_although_airflow_emptied_the_store() -> None:
    memory = Flaky()
    ledger, _, _ = ledger_in(memory)
    ledger.bought(intended(ledger), "job-1")
    memory.kept = None
    ledger.ended(State.DELIVERED, "job-1")
    assert (memory.kept["state"], memory.kept["job_id"]) == ("delivered", "job-1")


def test_a_delivery_completes_a_record_whose_id_could_not_be_written() -> None:
    memory = Flaky()
    ledger, _, _ = ledger_in(memory)
    record = intended(ledger)
    memory.failures = 1000
    ledger.bought(record, "job-1")
    assert not ledger.knows_id
    memory.failures = 0
    ledger.ended(State.DELIVERED, "job-1")
    assert (memory.kept["state"], memory.kept["job_id"]) == ("delivered", "job-1")


def test_a_hanging_try_does_not_withdraw_the_record_of_a_later_one() -> None:
    ledger, log, _ = ledger_in(Flaky())
    old, new = intended(ledger), intended(ledger)
    ledger.refused(old, "429")
    assert ledger.read() == new
    assert "belongs to a later try" in log.lines[0]


def test_execution_timeout_waits_until_the_block_has_ended() -> None:
    class Alarm(BaseException):
        pass

    def ring(*_: Any) -> None:
        raise Alarm

    before, seen = signal.signal(signal.SIGALRM, ring), []
    try:
        with pytest.raises(Alarm), unhurried():  # noqa: PT012 - the alarm rings as the block ends
            signal.raise_signal(signal.SIGALRM)
            seen.append("written")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == ["written"]


def test_what_signs_a_url_is_not_in_the_words_of_an_error() -> None:
    fault = OSError("403 for https://host/x?X-Amz-Signature=abc&y=1 (denied)")
    ledger, _, _ = ledger_in(Flaky(failures=1, fault=fault))
    with pytest.raises(LipsyncLedgerUnavailable) as caught:
        intended(ledger)
    assert "abc" not in str(caught.value)
    assert "https://host/x?… (denied)" in str(caught.value)
