"""The routes of the pages. Each depends on something of ``access``; a test walks over all of them and tries."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin import files
from airflow_provider_lipsync.plugin.access import AnyUser, RunDep, TaskDep
from airflow_provider_lipsync.plugin.facts import facts_of, run_exists, tasks_of_run
from airflow_provider_lipsync.plugin.insides import create_session
from airflow_provider_lipsync.plugin.jobs import Wanted, jobs_for
from airflow_provider_lipsync.plugin.pools import for_posters, for_videos
from airflow_provider_lipsync.plugin.poster import Posters
from airflow_provider_lipsync.plugin.ranges import is_known
from airflow_provider_lipsync.plugin.stored import NotServedError, StoredCopy, find_copy
from airflow_provider_lipsync.plugin.streaming import as_stored, video_answer
from airflow_provider_lipsync.plugin.task_facts import TaskFacts
from airflow_provider_lipsync.plugin.view import credits_of, view_of

__all__ = ["router"]

_MOST_OF_A_RUN = 500  # task instances of ours that the page of a run shows
_MOST_JOBS = 200  # of one answer
_LATEST = 4_102_444_800  # seconds since the epoch: the year 2100
_LONGEST = 1000  # characters of a filter
_POSTER_SECONDS = 3600  # that a browser keeps a poster; another video of the same task has another address

_posters = Posters()
router = APIRouter()
_Filter = Annotated[str, Query(max_length=_LONGEST)]


def _wanted(state: _Filter = "", conn_id: _Filter = "", label: _Filter = "") -> Wanted:
    return Wanted(state=state, conn_id=conn_id, label=label)


# Pages.


@router.get("/player")
def player(task: TaskDep) -> Response:
    """The video of a task instance, and all that is known of its job."""
    return files.page("player")


@router.get("/run")
def run(run: RunDep) -> Response:
    """All videos of a run."""
    return files.page("run")


@router.get("/jobs")
def jobs(user: AnyUser) -> Response:
    """The jobs of all DAGs; the data come from a route that asks for each DAG."""
    return files.page("jobs")


@router.get("/assets/{name}")
def asset(name: str, request: Request, user: AnyUser) -> Response:
    """What the pages load; the same for everybody."""
    found = files.asset(request, name)
    if found is None:
        raise HTTPException(404, "There is no such file.")
    return found


# Data.


@router.get("/api/task")
def task_data(task: TaskDep) -> Response:
    """The View of a task instance."""
    return JSONResponse(view_of(_facts(task), now=time.time()))


@router.get("/api/run")
def run_data(run: RunDep) -> Response:
    """The Views of a run, and the sum of their credits."""
    with create_session(scoped=False) as session:
        if not run_exists(session, run.dag_id, run.run_id):
            raise HTTPException(404, "There is no such run.")
        keys = tasks_of_run(session, run.dag_id, run.run_id, limit=_MOST_OF_A_RUN + 1)
        facts = facts_of(session, keys[:_MOST_OF_A_RUN])
    views = [view_of(one, now=time.time()) for one in facts]
    return JSONResponse(
        {
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "views": views,
            "credits": credits_of(facts),
            "is_live": any(view["is_live"] for view in views),
            "is_cut": len(keys) > _MOST_OF_A_RUN,
        }
    )


@router.get("/api/jobs")
def jobs_data(
    user: AnyUser,
    wanted: Annotated[Wanted, Depends(_wanted)],
    limit: Annotated[int, Query(ge=1, le=_MOST_JOBS)] = 100,
    before: Annotated[float | None, Query(ge=0, le=_LATEST, allow_inf_nan=False)] = None,
) -> Response:
    """Jobs of the DAGs that this user may read."""
    until = None if before is None else datetime.fromtimestamp(before, UTC)
    with create_session(scoped=False) as session:
        found = jobs_for(session, user, wanted, limit=limit, before=until, now=datetime.now(UTC))
    return JSONResponse(found)


# Media.


@router.api_route("/video", methods=["GET", "HEAD"])
async def video(task: TaskDep, request: Request) -> Response:
    """The stored copy of a task's video."""
    return video_answer(request, await for_videos(_copy_of, task))


@router.api_route("/poster", methods=["GET", "HEAD"])
async def poster(task: TaskDep, request: Request) -> Response:
    """A small picture of the stored copy."""
    copy = await for_videos(_copy_of, task)
    headers = {
        "ETag": f'"poster-{copy.sha256}"',
        "Cache-Control": f"private, max-age={_POSTER_SECONDS}",
        **as_stored(request),
    }
    if is_known(headers["ETag"], request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    picture = await for_posters(_posters.poster, copy)
    return Response(picture, media_type="image/jpeg", headers=headers)


def _facts(task: TaskKey) -> TaskFacts:
    with create_session(scoped=False) as session:
        found = facts_of(session, [task])
    if not found:
        raise HTTPException(404, "There is no such task instance.")
    return found[0]


def _copy_of(task: TaskKey) -> StoredCopy:
    """Return the stored copy of a task's video; blocks.

    :raises NotServedError: see :func:`~airflow_provider_lipsync.plugin.stored.find_copy`.
    """
    result = _facts(task).result
    if result is None or result.output_path is None:
        raise NotServedError(404, "This task has no stored copy of a video.")
    return find_copy(result.output_path, key=task, job_id=result.job_id)
