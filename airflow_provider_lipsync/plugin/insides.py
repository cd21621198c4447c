"""The one place of this room that touches the API server's insides: who may see what, sessions, and its tables.

Airflow documents none of them; the names were read in the core of 3.1, 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from sqlalchemy import select

__all__ = [
    "BaseUser",
    "DagRun",
    "GetUserDep",
    "TaskInstance",
    "XComModel",
    "create_session",
    "login_forgets_to_quote",
    "may_read_xcoms",
    "mended_run_id",
    "root_path",
    "state_store",
    "verify_may_read_xcoms",
]

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
