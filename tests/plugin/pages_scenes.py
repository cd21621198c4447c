"""What the pages look like in practice: each scene tells a server what to answer, and returns the page's address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.plugin.pages_support import NOW, Stand, view

__all__ = ["SCENES"]

_LOST = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
_ADOPT = (
    "clear the task: with the same inputs it waits on for this job, and buys nothing; or set "
    f'resume_job_id="{_LOST}" on the operator and clear; or fetch it by LipsyncJobSensor(job="{_LOST}"), or '
    "LipsyncToObjectStorageOperator: both are free"
)
_SEARCH = (
    "look for a lipsync-image job of 2026-11-23T11:58:02+00:00 in this task's earlier logs and in the vendor's "
    'dashboard; if there is one, set resume_job_id="<its id>" and clear; if there is none, set '
    'on_ambiguous_submit="resubmit" and clear'
)
_LANGUAGES = ("de", "fr", "es", "pl", "it", "nl", "pt", "sv")
_SPENT = (120, 340, 80, 0, 0, 410, 260, 0, 560, 610, 0, 0, 200, 300, 420, 150, 90, 0, 0, 240)


def rendering(**changes: Any) -> dict[str, Any]:
    ledger = {"state": "bought", "submitted_at": NOW - 42, "job_id": view()["job_id"], "note": "", "credits": 26}
    usual = {"submitted_at": NOW - 42, "deadline": NOW + 1758, "task_state": "deferred", "ledger": ledger}
    return view("rendering", **{"headline": "Rendering for 42 s", **usual, **changes})


def undelivered() -> dict[str, Any]:
    ledger = {"state": "bought", "submitted_at": NOW - 3600, "job_id": _LOST, "note": "", "credits": 26}
    told = {"dag_id": "support_faq", "task_id": "avatar", "job_id": _LOST, "submitted_at": NOW - 3600, "ledger": ledger}
    return view("undelivered", **told, headline=f"Charged, and not handed on: job {_LOST}", next_step=_ADOPT)


def uncertain() -> dict[str, Any]:
    error = (
        "A submit to lipsync-image left at 2026-11-23T11:58:02+00:00, and it is not known what came of it: read timed "
        "out. A job may exist, and may have been charged for its length (at least 5 seconds)."
    )
    ledger = {"state": "intent", "submitted_at": NOW - 600, "job_id": None, "note": "read timed out", "credits": None}
    return view(
        "uncertain",
        job_id=None,
        credits_estimated=None,
        seconds=None,
        headline="A submit left at 2026-11-23T11:58:02+00:00, and its answer is not known",
        error=error,
        next_step=_SEARCH,
        ledger=ledger,
    )


def failed(**changes: Any) -> dict[str, Any]:
    ledger = view()["ledger"] | {"state": "failed", "note": "Invalid audio format"}
    said = {"headline": "The vendor says that the job failed", "error": "Invalid audio format", "ledger": ledger}
    return view("failed", **said, next_step="correct the input, then clear the task: that buys a new job", **changes)


def dubs() -> list[dict[str, Any]]:
    """Return a run in which one clip is dubbed into many languages."""
    labels = [{"client": "acme", "language": language} for language in _LANGUAGES]
    clips = [view(task_id="dub", map_index=at, labels=labels[at]) for at in range(6)]
    clips.append(rendering(task_id="dub", map_index=6, labels=labels[6], poster=None, video=None))
    clips.append(failed(task_id="dub", map_index=7, labels=labels[7]))
    refused = {"headline": "Refused: nothing was charged", "error": "The vendor answered 402: no credits are left."}
    clips.append(view("refused", task_id="teaser", job_id=None, credits_estimated=None, seconds=None, **refused))
    nothing_yet = {"job_id": None, "submitted_at": None, "seconds": None, "credits_estimated": None, "labels": {}}
    clips.append(view("waiting", task_id="outro", headline="Has not begun", task_state=None, **nothing_yet))
    return clips


def run(stand: Stand) -> str:
    return stand.run(dubs(), credits={"known": 208, "unknown_jobs": 0})


def jobs(stand: Stand) -> str:
    days = [
        {"day": f"2026-11-{number:02d}", "credits": spent, "jobs": -(-spent // 26), "unknown": int(number in (6, 13))}
        for number, spent in enumerate(_SPENT, 4)
    ]
    lost = [one | {"how_to_adopt": one["next_step"]} for one in (undelivered(), uncertain())]
    told = "Task instances that Airflow still has, with their XComs, and the ledger in its task state store."
    choices = {"state": ["stored", "rendering", "failed"], "conn_id": ["lipsync_default"], "label": ["client=acme"]}
    return stand.jobs(dubs(), undelivered=lost, per_day=days, told=told, choices=choices, next_before=NOW - 4000)


def completed(stand: Stand) -> str:
    next_step = "keep it soon: the vendor's address is temporary (output_path, or LipsyncToObjectStorageOperator)"
    return stand.player(view("completed", next_step=next_step, poster=None))


def nothing(stand: Stand) -> str:
    empty: dict[str, Any] = {"job_id": None, "ledger": None, "sources": [], "video": None}
    return stand.player(view("nothing", is_lipsync=False, headline="This is no Lipsync task", **empty))


SCENES: dict[str, Callable[[Stand], str]] = {
    "player-stored": lambda stand: stand.player(view("stored")),
    "player-completed": completed,
    "player-rendering": lambda stand: stand.player(rendering()),
    "player-failed": lambda stand: stand.player(failed()),
    "player-undelivered": lambda stand: stand.player(undelivered()),
    "player-uncertain": lambda stand: stand.player(uncertain()),
    "player-nothing": nothing,
    "run": run,
    "run-empty": lambda stand: stand.run([]),
    "jobs": jobs,
    "jobs-empty": lambda stand: stand.jobs([]),
}
