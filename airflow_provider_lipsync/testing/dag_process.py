"""The process behind ``lipsync_run``: reads a DAG file, runs one DAG of it by ``dag.test()``, tells what became of it.

It touches Airflow's insides as ``airflow dags test`` does; the names below are those of 3.1, 3.2 and 3.3.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["hurry", "load_bag", "main", "prepare_database", "run_dag"]


def main() -> None:
    """Answer requests, a JSON line each, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")  # Airflow logs to stdout: that goes with stderr now
    os.dup2(2, 1)
    prepare_database()
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def prepare_database() -> None:
    """Make Airflow's database, and let the trigger look at once: without a scheduler, there is no race with it."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb

    from airflow_provider_lipsync.jobs import race

    race.FIRST_LOOK_SECONDS = 0.5
    initdb()
    bundles: Any = DagBundlesManager
    bundles().sync_bundles_to_db()


def load_bag(path: Path) -> Any:
    """Read the DAGs of a file or a folder, and write them to the database, as the DAG processor does."""
    dagbag = _dagbag_module()
    folder = path if path.is_dir() else path.parent
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    bag = dagbag.DagBag(dag_folder=path, bundle_path=folder)
    dagbag.sync_bag_to_db(bag, "dags-folder", None)
    return bag


def _dagbag_module() -> Any:
    try:
        return import_module("airflow.dag_processing.dagbag")
    except ImportError:  # Airflow 3.1
        return import_module("airflow.models.dagbag")


def run_dag(dag: Any, conf: dict[str, Any], logical_date: str | None = None) -> dict[str, Any]:
    """Run a DAG to its end; return states, results, errors, what was deferred, and the run's id.

    :param logical_date: as ISO 8601 has it; None = now.
    """
    when = {} if logical_date is None else {"logical_date": _moment(logical_date)}
    hurry(dag)
    with _noted_deferrals() as deferred, _noted_errors() as errors:
        run = dag.test(run_conf=conf, **when)
    instances = run.get_task_instances()
    return {
        "state": str(run.state),
        "tasks": {_name(ti): str(ti.state) for ti in instances},
        "results": {_name(ti): _result(ti) for ti in instances},
        "errors": {_name(ti): errors[_name(ti)] for ti in instances if _name(ti) in errors},
        "deferred": deferred,
        "run_id": run.run_id,
    }


def _moment(text: str) -> Any:
    import pendulum

    return pendulum.parse(text)


def hurry(dag: Any) -> None:
    """Let retries come at once: ``dag.test()`` would sleep until they are due."""
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
        policy = getattr(task, "retry_policy", None)  # came with Airflow 3.3
        for rule in getattr(policy, "rules", ()):
            rule.retry_delay = None


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
        del os.environ[name]
    os.environ.update(request["environment"])
    _stay_near(request["is_near"])
    bag = load_bag(Path(request["path"]))
    if bag.import_errors:
        return {"error": "\n".join(bag.import_errors.values())}
    wanted = request["dag_id"]
    if wanted is None and len(bag.dags) == 1:
        (wanted,) = bag.dags
    if wanted not in bag.dags:
        return {"error": f"say which of its DAGs is to run: {', '.join(sorted(bag.dags)) or 'it has none'}"}
    ran = run_dag(bag.dags[wanted], request["conf"], request["logical_date"])
    return {name: value for name, value in ran.items() if name != "run_id"}


def _stay_near(is_near: bool) -> None:
    """Let the provider ask for media on this machine alone, or anywhere."""
    from airflow_provider_lipsync.media import web
    from airflow_provider_lipsync.testing.near import NearWeb

    module: Any = web
    module.Web = NearWeb if is_near else NearWeb.__base__


def _name(ti: Any) -> str:
    return ti.task_id if ti.map_index is None or ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def _result(ti: Any) -> Any:
    """Return what a task handed on; None where it is nothing that JSON holds."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.scalar(
            XComModel.get_many(
                key="return_value",
                run_id=ti.run_id,
                dag_ids=ti.dag_id,
                task_ids=ti.task_id,
                map_indexes=ti.map_index,
            ).with_only_columns(XComModel.value)
        )
    try:
        return json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return found


@contextmanager
def _noted_errors() -> Iterator[dict[str, str]]:
    """Note what tasks raise meanwhile, by their names: afterwards only the log tells of it."""
    hookimpl, manager = import_module("airflow.listeners").hookimpl, _listeners()
    noted: dict[str, str] = {}

    class Listener:
        @hookimpl  # type: ignore[untyped-decorator]
        def on_task_instance_failed(self, task_instance: Any, error: Any) -> None:
            kind = f"{type(error).__name__}: " if isinstance(error, BaseException) else ""
            noted[_name(task_instance)] = f"{kind}{error}"

    listener = Listener()
    manager.add_listener(listener)
    try:
        yield noted
    finally:
        manager.pm.unregister(listener)


def _listeners() -> Any:
    """Return what Airflow's tasks tell of their ends."""
    try:
        return import_module("airflow.sdk.listener").get_listener_manager()
    except ImportError:  # before Airflow 3.3
        return import_module("airflow.listeners.listener").get_listener_manager()


@contextmanager
def _noted_deferrals() -> Iterator[list[str]]:
    """Note the ids of the tasks that are deferred meanwhile, in order: afterwards nothing tells of it."""
    operator: Any = import_module("airflow.sdk").BaseOperator
    noted: list[str] = []
    defer = operator.defer

    def noting(task: Any, **kwargs: Any) -> Any:
        noted.append(task.task_id)
        return defer(task, **kwargs)

    operator.defer = noting
    try:
        yield noted
    finally:
        operator.defer = defer


if __name__ == "__main__":
    main()
