"""The one place of this room that touches the API server's insides: who may see what, sessions, its tables, and what
resumes a task.

Airflow documents none of them; the names were read in the core of 3.1, 3.2 and 3.3. What the receiver of webhooks alone
needs is imported when it starts: the pages do without it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from airflow_provider_lipsync.media.task_key import TaskKey

__all__ = [
    "BaseUser",
    "DagRun",
    "Deferral",
    "GetUserDep",
    "TaskInstance",
    "UnreadableStateError",
    "XComModel",
    "connection",
    "create_session",
    "deferral_of",
    "has_searchable_states",
    "load_state",
    "locked_task",
    "login_forgets_to_quote",
    "may_read_xcoms",
    "mended_run_id",
    "put_xcom",
    "resume",
    "root_path",
    "save_state",
    "setting",
    "state_store",
    "task_rows",
    "verify_may_read_xcoms",
    "verify_resumable",
    "verify_states",
]

_DEFERRED = "deferred"
_REFERENCE = "__airflow_state_ref__"  # what stands in the store where [workers] state_store_backend keeps the value
_UNKNOWN_ANSWER = "airflow-provider-lipsync does not know how this Airflow authorizes: nothing is shown"

try:
    from airflow import __version__ as AIRFLOW
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
    from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
    from airflow.configuration import conf
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
except ImportError as error:  # pragma: no cover - tells the reader which name went away
    raise ImportError(
        f"airflow-provider-lipsync does not know this Airflow's API server ({error}): its pages cannot be shown. "
        "Install a version of the provider that names this Airflow as supported."
    ) from error


def verify_may_read_xcoms(dag_id: str, request: Any, user: BaseUser) -> None:
    """Let Airflow itself decide, as it does where the XComs of this DAG are asked for.

    :raises fastapi.HTTPException: 403, they may not be read by this user.
    """
    _decided(requires_access_dag("GET", DagAccessEntity.XCOM, dag_id)(request, user))


def may_read_xcoms(dag_ids: set[str], user: BaseUser) -> set[str]:
    """Return those of some DAGs whose XComs this user may read."""
    teams = _teams_of(dag_ids)
    manager = get_auth_manager()
    return {
        dag_id
        for dag_id in dag_ids
        if _decided(
            manager.is_authorized_dag(
                method="GET", access_entity=DagAccessEntity.XCOM, details=_details(dag_id, teams), user=user
            )
        )
    }


def root_path() -> str:
    """Return the path below which Airflow is seen from outside, with a slash at its end."""
    from urllib.parse import urlsplit

    path = urlsplit(conf.get("api", "base_url", fallback="") or "").path
    return path if path.endswith("/") else f"{path}/"


def login_forgets_to_quote() -> bool:
    """Whether this Airflow hands on where to go after a login as it came: 3.1 does, and all but the first is lost."""
    return AIRFLOW.startswith("3.1.")


def mended_run_id(dag_id: str, run_id: str) -> str:
    """Return the id of a run whose plus signs became spaces on the way: Airflow 3.1 puts ids into addresses bare."""
    meant = run_id.replace(" ", "+")
    with create_session(scoped=False) as session:
        wanted = select(DagRun.run_id).where(DagRun.dag_id == dag_id, DagRun.run_id.in_((run_id, meant)))
        found = set(session.scalars(wanted))
    return meant if found == {meant} else run_id


def setting(section: str, option: str, *, fallback: str = "") -> str:
    """Return a text of Airflow's configuration."""
    return str(conf.get(section, option, fallback=fallback) or fallback)


def connection(conn_id: str) -> Any:
    """Return a connection, from wherever this Airflow keeps it; blocks.

    :raises Exception: it is not there, or could not be looked up: Airflow says the same of both.
    """
    from airflow.models.connection import Connection

    return Connection.get_connection_from_secrets(conn_id)


# What resumes a task that waits: what Airflow itself does where a person's answer comes.


@dataclass(frozen=True, kw_only=True)
class Deferral:
    """What a task instance waits by.

    :param trigger: class path.
    :param arguments: of the trigger.
    :param since: when it began, seconds since the epoch.
    :param next_method: what the task is resumed with.
    """

    trigger: str
    arguments: Mapping[str, Any]
    since: float
    next_method: str


def verify_resumable() -> None:
    """Check that this Airflow has what resumes a task.

    :raises Exception: it has not; the message names what is missing.
    """
    from airflow.models.connection import Connection
    from airflow.models.trigger import Trigger, handle_event_submit
    from airflow.triggers.base import TriggerEvent

    needed: dict[Any, tuple[str, ...]] = {
        Connection: ("get_connection_from_secrets",),
        DagRun: ("id", "dag_id", "run_id"),
        TaskInstance: ("dag_id", "run_id", "task_id", "map_index", "state", "trigger_id", "next_method", "updated_at"),
        Trigger: ("classpath", "kwargs", "created_date"),
        TriggerEvent: (),
        XComModel: ("dag_run_id", "dag_id", "run_id", "task_id", "map_index", "key", "value"),
    }
    missing = [f"{has.__name__}.{name}" for has, names in needed.items() for name in names if not hasattr(has, name)]
    unknown = {"task_instance", "session"} - set(inspect.signature(handle_event_submit).parameters)
    missing += [f"handle_event_submit({name}=)" for name in sorted(unknown)]
    if missing:
        raise RuntimeError(f"Airflow {AIRFLOW} has no {', '.join(missing)}")


def task_rows(table: Any, key: TaskKey) -> tuple[Any, ...]:
    """Return the conditions that rows of a table are of a task instance."""
    return tuple(getattr(table, name) == value for name, value in asdict(key).items())


def locked_task(session: Session, key: TaskKey) -> Any:
    """Return a task instance, which nobody else can change until the session ends; None where there is none.

    By a write that changes nothing: SQLite has no other lock, and what was read before a write there may be outdated.
    """
    is_it = task_rows(TaskInstance, key)
    held = update(TaskInstance).where(*is_it).values(updated_at=TaskInstance.updated_at)
    session.execute(held.execution_options(synchronize_session=False))
    return session.scalar(select(TaskInstance).where(*is_it))


def deferral_of(session: Session, task: Any) -> Deferral | None:
    """Return what a locked task instance waits by; None where it does not wait, or nobody knows by what."""
    from airflow.models.trigger import Trigger

    if task.state != _DEFERRED or task.trigger_id is None:
        return None
    row = session.get(Trigger, task.trigger_id)
    if row is None:
        return None
    try:
        arguments = row.kwargs
    except Exception:  # noqa: BLE001 - another key encrypted them, or a class that they need is not installed here
        return None
    since = row.created_date.timestamp()
    return Deferral(trigger=row.classpath, arguments=arguments, since=since, next_method=task.next_method or "")


def resume(session: Session, task: Any, event: Mapping[str, Any]) -> None:
    """Give a locked task instance that waits the event it waits for, as its trigger would."""
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent

    made = TriggerEvent(dict(event))  # type: ignore[no-untyped-call]
    handle_event_submit(made, task_instance=task, session=session)


def put_xcom(session: Session, key: TaskKey, name: str, value: Any) -> None:
    """Write an XCom of JSON's own types, in the place of one that was there.

    Not by ``XComModel.set``, which writes JSON into JSON before Airflow 3.3.
    """
    run = select(DagRun.id).where(DagRun.dag_id == key.dag_id, DagRun.run_id == key.run_id)
    session.execute(delete(XComModel).where(*task_rows(XComModel, key), XComModel.key == name))
    session.add(XComModel(dag_run_id=session.scalar(run), key=name, value=value, **asdict(key)))
    session.flush()


# Airflow's task state store, as a worker reads and writes it.


class UnreadableStateError(RuntimeError):
    """The store has a reference to a value that cannot be read here."""


def verify_states() -> bool:
    """Check that what workers remember can be read here.

    :return: whether this Airflow has a task state store at all.
    :raises Exception: it has one, and it cannot be read here; the message says why.
    """
    if state_store() is None:
        return False
    from airflow.state import get_state_backend

    get_state_backend()
    _workers_backend()
    return True


def has_searchable_states() -> bool:
    """Whether what the task state store holds stands in Airflow's own table, as it is."""
    if state_store() is None or setting("workers", "state_store_backend"):
        return False
    from airflow.state import get_state_backend
    from airflow.state.metastore import MetastoreBackend

    return type(get_state_backend()) is MetastoreBackend


def load_state(session: Session, key: TaskKey, name: str) -> Any:
    """Return what the task state store holds of a task instance under a name; None where there is nothing.

    :raises Exception: it cannot be read here.
    """
    from airflow.state import get_state_backend

    text = get_state_backend().get(_scope(key), name, session=session)
    found = None if text is None else json.loads(text)
    if not isinstance(found, dict) or _REFERENCE not in found:
        return found
    backend = _workers_backend()
    if backend is None:
        raise UnreadableStateError("[workers] state_store_backend keeps it, which this API server is not told of")
    return backend.deserialize_task_state_store_from_ref(found[_REFERENCE])


def save_state(session: Session, key: TaskKey, name: str, value: Any, *, retention: timedelta) -> None:
    """Write to the task state store; only where it :func:`is searchable <has_searchable_states>`."""
    from airflow.state import get_state_backend

    until = datetime.now(UTC) + retention
    get_state_backend().set(_scope(key), name, json.dumps(value), expires_at=until, session=session)


def _scope(key: TaskKey) -> Any:
    from airflow.state import TaskScope

    return TaskScope(**asdict(key))


def _workers_backend() -> Any:
    """Return what keeps the values of which the store holds references; None where the store holds the values."""
    made = conf.getimport("workers", "state_store_backend", fallback=None)
    return None if made is None else made()


def state_store() -> Any:
    """Return the table of Airflow's task state store; None before 3.3, which has none."""
    try:
        from airflow.models.task_state_store import TaskStateStoreModel
    except ImportError:
        return None
    return TaskStateStoreModel


def _decided(answer: object) -> bool:
    """Return an answer of Airflow's; one that must be waited for was not given, however true it looks.

    :raises RuntimeError: this Airflow asks in a way that is not known here: nothing may be shown.
    """
    if isinstance(answer, Awaitable):
        if isinstance(answer, Coroutine):
            answer.close()
        raise RuntimeError(_UNKNOWN_ANSWER)  # noqa: TRY004 - no mistake of a caller
    return bool(answer)


def _teams_of(dag_ids: set[str]) -> dict[str, str | None]:
    """Return the team of each DAG that has one; Airflow 3.1 knows none."""
    find = getattr(DagModel, "get_dag_id_to_team_name_mapping", None)
    if find is None or not dag_ids:
        return {}
    found: dict[str, str | None] = find(sorted(dag_ids))
    return found


def _details(dag_id: str, teams: dict[str, str | None]) -> DagDetails:
    team = teams.get(dag_id)
    return DagDetails(id=dag_id) if team is None else DagDetails(id=dag_id, team_name=team)
