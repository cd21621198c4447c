"""Who may see what: every route of the pages depends on one of these, and Airflow itself decides.

What was authorized is what is then used: each dependency reads its parameters once, and hands them on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Depends, HTTPException, Query, Request, status
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException as AnyHTTPException

from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.insides import (
    GetUserDep,
    login_forgets_to_quote,
    mended_run_id,
    root_path,
    verify_may_read_xcoms,
)
from airflow_provider_lipsync.plugin.lipsync import PREFIX

__all__ = ["PAGES", "AnyUser", "Run", "RunDep", "TaskDep", "is_page", "login_address"]

PAGES = ("/player", "/run", "/jobs")

_LONGEST_ID = 250  # characters, as in Airflow's database
_EVERY_DAG = "~"  # Airflow's own sign for all DAGs; here there is none
_UNMAPPED = ("", "-1", "{MAP_INDEX}")  # Airflow leaves the last one as it is where nothing is mapped
_MOST_DIGITS = 9  # of a map index
_KEPT = ("dag_id", "run_id", "task_id", "map_index", "state", "conn_id", "label")  # across a login
_LONGEST_KEPT = 500  # characters
_LOGIN = "api/v2/auth/login"
_UNPROCESSABLE = 422  # starlette changed its name for it


def _without_zero_bytes(told: str) -> str:
    """Refuse what PostgreSQL's driver refuses: its word for it would be an error of the server's."""
    if "\0" in told:
        raise PydanticCustomError("zero_byte", "no id has a zero byte in it")
    return told


_Id = Annotated[str, Query(min_length=1, max_length=_LONGEST_ID), AfterValidator(_without_zero_bytes)]


@dataclass(frozen=True)
class Run:
    """A run of a DAG."""

    dag_id: str
    run_id: str


def _dag(dag_id: _Id, request: Request, user: GetUserDep) -> str:
    """Return the DAG that is asked for, if this user may read its XComs."""
    if dag_id == _EVERY_DAG:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such DAG.")
    verify_may_read_xcoms(dag_id, request, user)
    return dag_id


def _run(dag_id: Annotated[str, Depends(_dag)], run_id: _Id) -> Run:
    return Run(dag_id, mended_run_id(dag_id, run_id) if " " in run_id else run_id)


def _task(
    run: Annotated[Run, Depends(_run)],
    task_id: _Id,
    map_index: Annotated[str, Query(max_length=len("{MAP_INDEX}"))] = "",
) -> TaskKey:
    if map_index in _UNMAPPED:
        index = -1
    elif map_index.isascii() and map_index.isdigit() and len(map_index) <= _MOST_DIGITS:
        index = int(map_index)
    else:
        raise HTTPException(_UNPROCESSABLE, "map_index: a whole number is required.")
    return TaskKey(dag_id=run.dag_id, run_id=run.run_id, task_id=task_id, map_index=index)


AnyUser = GetUserDep
RunDep = Annotated[Run, Depends(_run)]
TaskDep = Annotated[TaskKey, Depends(_task)]


def is_page(request: Request) -> bool:
    """Whether somebody opened a page, and does not load data for one."""
    return _path(request) in PAGES and "text/html" in request.headers.get("accept", "")


def login_address(request: Request, error: AnyHTTPException) -> str | None:
    """Return where to send somebody who opened a page and is not logged in; None where an error is the answer.

    Made of our own paths and known parameters alone, so it leads nowhere but to this Airflow.
    """
    if not is_page(request) or not _is_login_missing(error):
        return None
    known = {name: request.query_params[name][:_LONGEST_KEPT] for name in _KEPT if name in request.query_params}
    query = f"?{urlencode(known, quote_via=quote)}" if known else ""
    root = root_path()
    back = f"{root}{PREFIX[1:]}{_path(request)}{query}"
    return f"{root}{_LOGIN}?{urlencode({'next': quote(back, safe='') if login_forgets_to_quote() else back})}"


def _path(request: Request) -> str:
    return str(getattr(request.scope.get("route"), "path", ""))


def _is_login_missing(error: AnyHTTPException) -> bool:
    """Whether a login would help; of a token that an older key signed, Airflow says 403, as its own UI knows."""
    return error.status_code == status.HTTP_401_UNAUTHORIZED or (
        error.status_code == status.HTTP_403_FORBIDDEN and error.detail == "Invalid JWT token"
    )
