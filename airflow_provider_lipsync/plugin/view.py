"""The View of a task: what the pages are told, from facts alone. Pure; no storage, no database, no vendor.

Whether the stored copy or the vendor's address is played is decided by what the task handed on; a page that cannot play
the first falls back to the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_lipsync.media.places import shown
from airflow_provider_lipsync.media.sources import FIELD_KINDS
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.plugin.standing import ViewState, is_active, standing_of
from airflow_provider_lipsync.plugin.task_facts import TaskFacts

__all__ = ["View", "credits_of", "player_of", "view_of"]

View = dict[str, Any]

_RUNS_ON = (None, "queued", "running")
_MARK = 12  # hex digits of a hash that tell two videos of one task apart


def view_of(facts: TaskFacts, *, now: float) -> View:
    """Return what the pages show of a task instance; every key is always there.

    :param now: seconds since the epoch.
    """
    standing = standing_of(facts, now=now)
    return {
        **_who(facts.key),
        "is_lipsync": facts.is_lipsync,
        "task_state": facts.task_state,
        "try_number": facts.try_number,
        "state": standing.state.value,
        "is_live": facts.is_lipsync and is_active(facts) and facts.run_state in _RUNS_ON,
        "headline": standing.headline,
        "next_step": standing.next_step,
        "error": standing.error,
        **_job(facts, standing.state),
        **_video(facts),
        "ledger": _ledger(facts),
        "sources": _sources(facts),
        "player": player_of(facts.key),
    }


def player_of(key: TaskKey) -> str:
    """Return the address of a task's player, relative to the other pages."""
    return _address("player", _who(key))


def credits_of(facts: Iterable[TaskFacts]) -> dict[str, int]:
    """Return what some task instances bought: each job once, earlier purchases that the ledger remembers included.

    :return: ``known``, the sum of the estimates, and ``unknown_jobs``, how many jobs had none.
    """
    known, unknown, counted = 0, 0, set()
    for one in facts:
        if one.entry is not None:
            known += one.entry.spent
            unknown += one.entry.spent_unknown
        job_id = one.bought_job_id
        if job_id is None or job_id in counted or not _paid(one):
            continue
        counted.add(job_id)
        estimate = _credits(one)
        known += estimate or 0
        unknown += estimate is None
    return {"known": known, "unknown_jobs": unknown}


def _paid(facts: TaskFacts) -> bool:
    """Whether the task bought its job. One that took a video which stood there already names a job, too."""
    if facts.card is not None or facts.entry is not None:
        return True
    took_a_stored_one = facts.result is not None and facts.result.video_url is None
    return facts.buys and not took_a_stored_one


def _who(key: TaskKey) -> dict[str, Any]:
    return {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}


def _address(page: str, parameters: Mapping[str, Any]) -> str:
    return f"{page}?{urlencode(parameters, quote_via=quote)}"


def _job(facts: TaskFacts, state: ViewState) -> dict[str, Any]:
    card, result, entry = facts.card, facts.result, facts.entry
    bought = facts.bought_job_id
    is_of_result = result is not None and state in (ViewState.COMPLETED, ViewState.STORED)
    return {
        "job_id": (result.job_id if result and (is_of_result or bought is None) else bought),
        "endpoint": _first(card and card.endpoint, entry and entry.record.endpoint, result and result.model),
        "resolution": card.resolution if card else None,
        "seconds": card.seconds if card else None,
        "credits_estimated": _credits(facts),
        "labels": dict(sorted(((card and card.labels) or (result and result.labels) or {}).items())),
        "inputs": _inputs(card.inputs) if card else [],
        "seed": card.seed if card else None,
        "conn_id": card.conn_id if card else None,
        "submitted_at": _first(card and card.submitted_at, entry and entry.record.submitted_at),
        "deadline": card.deadline if card else None,
        "execution_time": result.execution_time if result else None,
        "output_path": shown(result.output_path) if result and result.output_path else None,
        "sha256": result.sha256 if result else None,
        "size": result.size if result else None,
    }


def _inputs(inputs: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the inputs in the API's order: some databases keep an order of their own."""
    known = list(FIELD_KINDS)
    names = sorted(inputs, key=lambda name: (known.index(name) if name in known else len(known), name))
    return [{"name": name, "shown": inputs[name]} for name in names]


def _video(facts: TaskFacts) -> dict[str, Any]:
    result = facts.result
    if result is not None and result.output_path and result.sha256:
        who = {**_who(facts.key), "v": result.sha256[:_MARK]}  # another video of the same task has another address
        src = _address("video", who)
        return {
            "video": {"src": src, "where": "stored", "fallback": result.video_url},
            "poster": _address("poster", who),
        }
    if result is not None and result.video_url:
        return {"video": {"src": result.video_url, "where": "vendor", "fallback": None}, "poster": None}
    return {"video": None, "poster": None}


def _credits(facts: TaskFacts) -> int | None:
    estimate: int | None = _first(
        facts.card and facts.card.credits_estimated,
        facts.entry and facts.entry.credits,
        facts.result and facts.result.credits_estimated,
    )
    return estimate


def _ledger(facts: TaskFacts) -> dict[str, Any] | None:
    if facts.entry is None:
        return None
    record = facts.entry.record
    return {
        "state": record.state.value,
        "submitted_at": record.submitted_at,
        "job_id": record.job_id,
        "note": record.note,
        "credits": facts.entry.credits,
    }


def _sources(facts: TaskFacts) -> list[str]:
    """Return where the facts come from, for the person who wonders."""
    told = [
        ("Airflow's task instance: state and try", True),
        ("XCom lipsync_job: what was bought", facts.card is not None),
        ("XCom job_id: the job", facts.card is None and facts.job_id is not None),
        ("XCom return_value: the video", facts.result is not None),
        ("Airflow's task state store: the ledger", facts.entry is not None),
        ("no ledger: this Airflow has no task state store (3.3 and later have one)", not facts.has_store),
    ]
    return [source for source, is_so in told if is_so] if facts.is_lipsync else []


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
