"""Two who move one task at the same moment, on PostgreSQL: a delivery and another, a trigger's event, a person.

Whoever locks the rows of the task instances makes all others wait, one behind the other; when the test lets go, they
go on in that order. No statement may take long, nothing may deadlock, and each task ends once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import text

from tests.e2e.hooks.scenarios import wait_until_all_are_resumable
from tests.e2e.hooks.stage import HookStage, open_stage
from tests.e2e.kill.run import Run
from tests.runner import RealAirflow
from tests.runner.plugin import POSTGRESQL
from tests.support.hooks import Told, ends

JOBS = 4
LONGEST = 20  # seconds that a statement may take, and a transaction may idle
BLOCKED = (
    "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

pytestmark = [pytest.mark.airflow, pytest.mark.full]


@pytest.fixture(scope="module", params=[POSTGRESQL])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HookStage]:
    with open_stage(request.param, tmp_path_factory.mktemp("races"), prepare=limit_statements) as stage:
        yield stage


def limit_statements(airflow: RealAirflow) -> None:
    name = airflow.database_url.rpartition("/")[2]
    with airflow.engine() as engine, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for limit in LIMITS:
            connection.execute(text(f'ALTER DATABASE "{name}" SET {limit} = {LONGEST * 1000}'))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def deferred(stage: HookStage, name: str, connection: str = "lipsync_silent") -> tuple[Run, list[Told]]:
    """Return a run whose tasks are deferred and may be resumed; their jobs have ended, and nobody has told of them."""
    run = Run(stage, name, "hook_few", {"connection": connection})
    run.start()
    wait_until_all_are_resumable(run, JOBS)
    return run, stage.told(run.run_id, run.vendor)


def clear(run: Run) -> None:
    assert run.stage.airflow.clear(run.dag_id, run.run_id, ["render"])


def deliver(told: Told) -> int:
    body = {"id": told.job_id, "model": "lipsync-image", "status": "completed", "output": None, "error": ""}
    return httpx.post(told.url, json=body, timeout=60, trust_env=False).status_code


@contextmanager
def locked(stage: HookStage, run: Run) -> Iterator[Callable[[int], None]]:
    """Lock the rows of a run's task instances; gives a wait for so many sessions to stand in line for them."""

    def wait_for(sessions: int) -> None:
        stage.airflow.wait_until(
            lambda: stage.airflow.query(BLOCKED)[0].number >= sessions or None,
            timeout=LONGEST / 2,
            what=lambda: "no line",
        )

    with stage.airflow.session() as session:
        session.execute(text("SELECT id FROM task_instance WHERE run_id = :of FOR UPDATE"), {"of": run.run_id})
        yield wait_for
        session.rollback()


def all_well(stage: HookStage, run: Run, *, tries: int = 1) -> None:
    """Every task ends once, with the job that was bought for it, and the database had nothing to break off."""
    for index in range(JOBS):
        run.wait("success", tries=tries, map_index=index)
    assert len(run.bought()) == JOBS
    assert run.handed_on() == set(run.bought())
    assert sorted(Counter(key for key in ends(stage.airflow) if key.run_id == run.run_id).values()) == [1] * JOBS
    nothing_broken(stage)


def nothing_broken(stage: HookStage) -> None:
    found = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert stage.airflow.query(found)[0].deadlocks == 0
    logs = "".join(path.read_text() for path in (stage.airflow.home / "logs-out").glob("*.log"))
    for words in ("deadlock detected", "canceling statement", "idle-in-transaction timeout"):
        assert words not in logs


def test_deliveries_of_one_job_at_once(stage: HookStage, pool: ThreadPoolExecutor) -> None:
    run, told = deferred(stage, "two deliveries at once")
    run.finish_all_jobs()
    with locked(stage, run) as wait_for:
        answers = [pool.submit(deliver, one) for one in told for _ in range(4)]
        wait_for(JOBS)
    assert statuses(answers) == {200}
    all_well(stage, run)


@pytest.mark.parametrize("first", ["the delivery", "the trigger"])
def test_a_delivery_and_the_triggers_own_event(stage: HookStage, pool: ThreadPoolExecutor, first: str) -> None:
    """The trigger sees by a look that the job has ended; its triggerer moves one task after the other."""
    run, told = deferred(stage, f"{first} first", connection="lipsync_lost")
    with locked(stage, run) as wait_for:
        run.finish_all_jobs()
        if first == "the trigger":
            wait_for(1)
        answers = [pool.submit(deliver, one) for one in told]
        wait_for(JOBS + 1)
    assert statuses(answers) == {200}
    all_well(stage, run)


@pytest.mark.parametrize("first", ["the delivery", "the clear"])
def test_a_delivery_and_a_clear(stage: HookStage, pool: ThreadPoolExecutor, first: str) -> None:
    run, told = deferred(stage, f"cleared, {first} first")
    run.finish_all_jobs()
    both(stage, run, pool, told, lambda: clear(run), first=first)
    all_well(stage, run, tries=2)


@pytest.mark.parametrize("first", ["the delivery", "the person"])
def test_a_delivery_and_a_task_that_is_marked_failed(stage: HookStage, pool: ThreadPoolExecutor, first: str) -> None:
    def mark() -> None:
        for index in range(JOBS):
            stage.airflow.set_state(run.dag_id, run.run_id, "failed", task_id="render", map_index=index)

    run, told = deferred(stage, f"marked, {first} first")
    run.finish_all_jobs()
    both(stage, run, pool, told, mark, first=first)
    for index in range(JOBS):
        run.wait("failed", map_index=index)
    nothing_broken(stage)
    stage.airflow.wait_for_run(run.dag_id, run.run_id, ["failed"])
    clear(run)
    all_well(stage, run, tries=2)


def both(
    stage: HookStage, run: Run, pool: ThreadPoolExecutor, told: list[Told], act: Callable[[], None], *, first: str
) -> None:
    """Let a person and the deliveries stand in line, whoever is to be first before the other."""
    with locked(stage, run) as wait_for:
        if first == "the delivery":
            answers = [pool.submit(deliver, one) for one in told]
            wait_for(JOBS)
            acted = pool.submit(act)
            wait_for(JOBS + 1)
        else:
            acted = pool.submit(act)
            wait_for(1)
            answers = [pool.submit(deliver, one) for one in told]
            wait_for(JOBS + 1)
    acted.result()
    assert statuses(answers) == {200}


def statuses(answers: list[Future[int]]) -> set[int]:
    return {answer.result() for answer in answers}
