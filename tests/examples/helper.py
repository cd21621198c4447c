"""A process with an Airflow home of its own that runs DAGs on request: JSON lines in, JSON lines out.

Airflow reads its home when it is first imported, so a test cannot give itself a fresh one.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow_provider_lipsync.testing.dag_process import load_bag, prepare_database, run_dag

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # Airflow logs to stdout: that goes with stderr now
    os.dup2(2, 1)
    prepare_database()
    bag = load_bag(EXAMPLES)
    for line in sys.stdin:
        request = json.loads(line)
        answer = _run(bag, **request) if request else _describe(bag)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _describe(bag: Any) -> dict[str, Any]:
    heavy = ("espeakng_loader", "local_speech", "av", "s3fs", "boto3")
    return {
        "dags": {dag_id: Path(dag.fileloc).name for dag_id, dag in bag.dags.items()},
        "errors": bag.import_errors,
        "warnings": {path: list(caught) for path, caught in bag.captured_warnings.items()},
        "loaded": [name for name in heavy if name in sys.modules],
        "choices": {dag_id: _choices(dag) for dag_id, dag in bag.dags.items()},
        "first_runs": {dag_id: _first_runs(dag_id) for dag_id, dag in bag.dags.items()},
    }


def _choices(dag: Any) -> dict[str, dict[str, str]]:
    """Return where each choice of a person leads, by the task that asks."""
    return {task.task_id: task.options_mapping for task in dag.tasks if hasattr(task, "options_mapping")}


def _first_runs(dag_id: str) -> list[tuple[str, str]]:
    """At moments of two weeks: the moment, and the run that unpausing the DAG then would make due, if any."""
    import pendulum
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.timetables import trigger
    from airflow.timetables.base import TimeRestriction

    dag = SerializedDagModel.get_dag(dag_id)
    restriction = TimeRestriction(earliest=dag.start_date, latest=dag.end_date, catchup=dag.catchup)
    monday = pendulum.datetime(2026, 11, 23)
    found = []
    for now in (monday.add(minutes=20 * step) for step in range(14 * 24 * 3)):
        with patch.object(trigger, "utcnow", lambda now=now: now):
            info = dag.timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
        if info:
            found.append((now.isoformat(), info.run_after.isoformat()))
    return found


def _run(bag: Any, dag_id: str, conf: dict[str, Any]) -> dict[str, Any]:
    ran = run_dag(bag.dags[dag_id], conf)
    return {"state": ran["state"], "tasks": ran["tasks"], "events": _asset_events(ran["run_id"])}


def _asset_events(run_id: str) -> list[dict[str, Any]]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return list(session.scalars(select(AssetEvent.extra).where(AssetEvent.source_run_id == run_id)))


if __name__ == "__main__":
    main()
