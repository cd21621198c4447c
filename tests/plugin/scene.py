"""What the server's process does to its database when a test asks: real rows, by Airflow's own models."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_serialized: dict[str, Any] = {}


def prepare(dags: Path) -> None:
    """Make the database, and put the DAGs into it."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb

    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag, sync_bag_to_db
    from airflow.models.serialized_dag import SerializedDagModel

    initdb()
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=dags, bundle_path=dags)
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, "dags-folder", None)
    _serialized.update({dag_id: SerializedDagModel.get_dag(dag_id) for dag_id in bag.dags})


def run(dag_id: str, run_id: str, state: str = "running") -> None:
    """Make a run, with all of its task instances."""
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    now = datetime.now(UTC)
    _serialized[dag_id].create_dagrun(
        run_id=run_id,
        logical_date=None,
        run_after=now,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState(state),
    )


def task(where: dict[str, Any], **changes: Any) -> None:
    """Change columns of a task instance."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        done = session.execute(update(TaskInstance).where(*_of(TaskInstance, where)).values(**changes))
        assert done.rowcount == 1, where


def xcom(where: dict[str, Any], key: str, value: Any, at: float | None = None) -> None:
    """Push an XCom as a worker does."""
    import inspect

    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select, update

    with create_session() as session:
        if "serialize" in inspect.signature(XComModel.set).parameters:
            XComModel.set(key=key, value=value, serialize=False, session=session, **where)
        else:  # Airflow 3.1, whose API for workers does the same
            run = select(DagRun.id).where(*_of(DagRun, {name: where[name] for name in ("dag_id", "run_id")}))
            session.execute(delete(XComModel).where(*_of(XComModel, where), XComModel.key == key))
            session.add(XComModel(dag_run_id=session.scalar(run), key=key, value=value, **where))
            session.flush()
        if at is not None:
            moved = update(XComModel).where(*_of(XComModel, where), XComModel.key == key)
            session.execute(moved.values(timestamp=datetime.fromtimestamp(at, UTC)))


def ledger(where: dict[str, Any], value: Any) -> bool:
    """Write to the task state store as a worker does; False where this Airflow has none."""
    try:
        from airflow._shared.state import TaskScope
        from airflow.state import get_state_backend
    except ImportError:
        return False
    get_state_backend().set(TaskScope(**where), "lipsync_job", json.dumps(value))
    return True


def _of(table: Any, where: dict[str, Any]) -> list[Any]:
    return [getattr(table, name) == value for name, value in where.items()]


def routes() -> list[list[str]]:
    """Return each route of the app with each of its methods."""
    from airflow_provider_lipsync.plugin.app import create_app

    return [[route.path, method] for route in create_app().routes for method in sorted(route.methods)]


def login_address(base_url: str, path: str, query: str) -> str | None:
    """Return where somebody is sent to log in, where Airflow has this base URL."""
    import os
    from types import SimpleNamespace
    from unittest.mock import patch

    from fastapi import HTTPException, Request

    from airflow_provider_lipsync.plugin.access import login_address as address

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"accept", b"text/html")],
        "route": SimpleNamespace(path=path),
    }
    with patch.dict(os.environ, AIRFLOW__API__BASE_URL=base_url):
        return address(Request(scope), HTTPException(401))


def open_files() -> list[str]:
    """Return the files that this process holds open."""
    import psutil

    return [file.path for file in psutil.Process().open_files()]


def memory() -> int:
    """Return the bytes of memory that this process holds."""
    import psutil

    return psutil.Process().memory_info().rss


def many(like: dict[str, Any], cards: list[dict[str, Any]], at: list[float]) -> None:
    """Make a run for each card, whose one task is like one that there is; far quicker than one by one."""
    import uuid

    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import insert, select

    runs, tasks, xcoms = DagRun.__table__, TaskInstance.__table__, XComModel.__table__
    names = [f"many__{uuid.uuid4().hex}" for _ in cards]
    with create_session() as session:
        model = (runs.c.dag_id == like["dag_id"]) & (runs.c.run_id == like["run_id"])
        run_row = dict(session.execute(select(runs).where(model)).mappings().one())
        task_row = dict(session.execute(select(tasks).where(*_of(tasks.c, like))).mappings().one())
        del run_row["id"]
        kind = type(task_row["id"])  # a text before Airflow 3.3
        session.execute(insert(runs), [{**run_row, "run_id": name} for name in names])
        session.execute(insert(tasks), [{**task_row, "run_id": name, "id": kind(str(uuid.uuid4()))} for name in names])
        ids = dict(session.execute(select(runs.c.run_id, runs.c.id).where(runs.c.run_id.in_(names[:1]))).all())
        first = ids[names[0]]
        rows = [
            {**like, "run_id": name, "dag_run_id": first + number, "key": "lipsync_job", "value": card}
            for number, (name, card) in enumerate(zip(names, cards, strict=True))
        ]
        moments = [datetime.fromtimestamp(moment, UTC) for moment in at]
        session.execute(
            insert(xcoms), [{**row, "timestamp": moment} for row, moment in zip(rows, moments, strict=True)]
        )


def charted(most: int) -> int:
    """Let the chart know of so many jobs; return how many it knew of before."""
    from airflow_provider_lipsync.plugin import jobs

    before, jobs._CHARTED = jobs._CHARTED, most
    return before


def missed(most: int) -> int:
    """Let the list of undelivered jobs look at so many tasks; return at how many it looked before."""
    from airflow_provider_lipsync.plugin import rows

    before, rows._UNDELIVERED = rows._UNDELIVERED, most
    return before


def asks_an_airflow_that_answers_later(dag_id: str) -> list[str]:
    """Return what comes of each question about access where the answer must be awaited; empty where it is taken."""
    from types import SimpleNamespace
    from unittest.mock import patch

    from airflow_provider_lipsync.plugin import insides

    async def later(*_: Any, **__: Any) -> bool:
        return True

    def answer(question: Any) -> str:
        try:
            question()
        except RuntimeError as error:
            return str(error)
        return ""

    with (
        patch.object(insides, "requires_access_dag", lambda *_: later),
        patch.object(insides, "get_auth_manager", lambda: SimpleNamespace(is_authorized_dag=later)),
    ):
        return [
            answer(lambda: insides.verify_may_read_xcoms(dag_id, None, None)),
            answer(lambda: insides.may_read_xcoms({dag_id}, None)),
        ]
