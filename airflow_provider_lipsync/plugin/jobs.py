"""The jobs of all DAGs that a user may read: the newest, those charged and not handed on, and the credits of each day.

Everything is bounded, in SQL: there may be hundreds of thousands of rows. What is asked for by state or label is looked
for among the newest jobs alone, and goes on where the last page ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from airflow_provider_lipsync.plugin import rows
from airflow_provider_lipsync.plugin.facts import facts_of
from airflow_provider_lipsync.plugin.insides import BaseUser, may_read_xcoms
from airflow_provider_lipsync.plugin.standing import ViewState, how_to_adopt
from airflow_provider_lipsync.plugin.task_facts import TaskFacts
from airflow_provider_lipsync.plugin.values import Card
from airflow_provider_lipsync.plugin.view import View, view_of

__all__ = ["DAYS", "Wanted", "jobs_for"]

DAYS = 30  # that the chart and the list of undelivered jobs look back

_SCANNED = 2000  # jobs that one page looks at, at the most
_BATCH = 200
_CHARTED = 20_000  # jobs of the chart
_LABELS = 100  # that are offered
_MISSED = (ViewState.UNDELIVERED, ViewState.UNCERTAIN)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody wants to see; empty = all.

    :param label: ``name=value``.
    """

    state: str = ""
    conn_id: str = ""
    label: str = ""

    def takes_card(self, card: Card | None) -> bool:
        """Whether a purchase is wanted, but for its state."""
        if card is None:
            return False
        return self.conn_id in ("", card.conn_id) and (not self.label or self.label in _labels_of(card))


def jobs_for(
    session: Session, user: BaseUser, wanted: Wanted, *, limit: int, before: datetime | None, now: datetime
) -> dict[str, Any]:
    """Return what the page of jobs shows to a user; only of DAGs whose XComs Airflow lets this user read.

    :param limit: jobs of this page.
    :param before: only what was bought before it: where the last page ended.
    """
    since = now - timedelta(days=DAYS)
    dags = sorted(may_read_xcoms(rows.dags_with_jobs(session), user))
    found, next_before = _page(session, dags, wanted, limit=limit, before=before, now=now)
    bought = [one for one in rows.cards(session, dags, since=since, limit=_CHARTED) if one.card is not None]
    return {
        "jobs": found,
        "undelivered": _undelivered(session, dags, wanted, since=since, now=now) if before is None else [],
        "per_day": _per_day(bought, wanted, now=now),
        "choices": _choices(bought),
        "next_before": next_before.timestamp() if next_before else None,
        "told": _told(len(bought) >= _CHARTED),
    }


def _page(
    session: Session, dags: Sequence[str], wanted: Wanted, *, limit: int, before: datetime | None, now: datetime
) -> tuple[list[View], datetime | None]:
    """Return the newest jobs that are wanted, and where to go on; None = there are no more."""
    found: list[View] = []
    until = before
    for _ in range(_SCANNED // _BATCH):
        batch = rows.cards(session, dags, before=until, limit=_BATCH)
        for row, view in _views(session, batch, wanted, now=now):
            if len(found) == limit:
                return found, until
            until = row.pushed_at
            if view is not None:
                found.append(view)
        if len(batch) < _BATCH:
            return found, None
    return found, until


def _views(
    session: Session, batch: Sequence[rows.CardRow], wanted: Wanted, *, now: datetime
) -> Iterator[tuple[rows.CardRow, View | None]]:
    """Yield each row with its view, or without one where it is not wanted."""
    keys = [one.key for one in batch if wanted.takes_card(one.card)]
    facts = {one.key: one for one in facts_of(session, keys)}
    for row in batch:
        view = view_of(facts[row.key], now=now.timestamp()) if row.key in facts else None
        yield row, view if view is not None and wanted.state in ("", view["state"]) else None


def _undelivered(
    session: Session, dags: Sequence[str], wanted: Wanted, *, since: datetime, now: datetime
) -> list[View]:
    keys = rows.perhaps_undelivered(session, dags, since=since)
    views = (
        {**view_of(one, now=now.timestamp()), "how_to_adopt": how_to_adopt(one)}
        for one in facts_of(session, keys)
        if _is_missed_by(one, wanted)
    )
    return [view for view in views if view["state"] in _MISSED]


def _is_missed_by(facts: TaskFacts, wanted: Wanted) -> bool:
    """Whether it belongs into the list; what is known of the ledger alone has neither connection nor labels."""
    return wanted.takes_card(facts.card) or not (wanted.conn_id or wanted.label)


def _per_day(bought: Sequence[rows.CardRow], wanted: Wanted, *, now: datetime) -> list[dict[str, Any]]:
    """Return the credits of each of the last days, by UTC, oldest first; a job that two tasks name counts once."""
    days = {
        (now - timedelta(days=back)).date().isoformat(): {"credits": 0, "jobs": 0, "unknown": 0}
        for back in reversed(range(DAYS))
    }
    counted = set()
    for row in bought:
        if row.card is None or row.card.job_id in counted or not wanted.takes_card(row.card):
            continue
        counted.add(row.card.job_id)
        day = days.get(_day_of(row))
        if day is not None:
            day["jobs"] += 1
            day["credits"] += row.card.credits_estimated or 0
            day["unknown"] += row.card.credits_estimated is None
    return [{"day": day, **sums} for day, sums in days.items()]


def _day_of(row: rows.CardRow) -> str:
    at = row.card.submitted_at if row.card else None
    return (row.pushed_at if at is None else datetime.fromtimestamp(at, UTC)).date().isoformat()


def _choices(bought: Sequence[rows.CardRow]) -> dict[str, list[str]]:
    cards = [row.card for row in bought if row.card is not None]
    labels = Counter(label for card in cards for label in _labels_of(card))
    return {
        "state": [state.value for state in ViewState if state is not ViewState.NOTHING],
        "conn_id": sorted({card.conn_id for card in cards if card.conn_id}),
        "label": sorted(label for label, _ in labels.most_common(_LABELS)),
    }


def _labels_of(card: Card) -> list[str]:
    return [f"{name}={value}" for name, value in card.labels.items()]


def _told(is_cut: bool) -> str:
    said = (
        f"Jobs and credits rest on what each task told of its last purchase (XCom lipsync_job): earlier purchases of a "
        f"task that was cleared, and what was removed from Airflow's database, are not in them. Credits are estimates. "
        f"Undelivered jobs are those of the last {DAYS} days, by Airflow's task state store (3.3 and later), else by "
        "XComs; ledger files under a ledger_path are not searched. You see DAGs whose XComs you may read."
    )
    return f"{said} Only the newest {_CHARTED} jobs are in the chart." if is_cut else said
