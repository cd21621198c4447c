"""The jobs of all DAGs that a user may read: the newest, those charged and not handed on, and the credits of each day.

Everything is bounded, in SQL: there may be hundreds of thousands of rows. What is asked for by state or label is looked
for among the newest jobs alone, and goes on where the last page ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from airflow_provider_lipsync.plugin import rows
from airflow_provider_lipsync.plugin.facts import facts_of
from airflow_provider_lipsync.plugin.insides import BaseUser, may_read_xcoms
from airflow_provider_lipsync.plugin.standing import ViewState, how_to_adopt
from airflow_provider_lipsync.plugin.task_facts import TaskFacts
from airflow_provider_lipsync.plugin.values import Card, Purchase
from airflow_provider_lipsync.plugin.view import View, view_of

__all__ = ["DAYS", "Wanted", "jobs_for"]

DAYS = 30  # that the chart and the list of undelivered jobs look back

_SCANNED = 2000  # jobs that one page looks at, at the most
_BATCH = 200
_CHARTED = 10_000  # jobs of the chart: it takes some 50 µs each
_CHOICES = 100  # connections, and labels, that are offered
_Bought = tuple[datetime, Purchase]
_MISSED = (ViewState.UNDELIVERED, ViewState.UNCERTAIN)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody wants to see; empty = all.

    :param label: ``name=value``.
    """

    state: str = ""
    conn_id: str = ""
    label: str = ""

    @property
    def is_choosy(self) -> bool:
        """Whether not all jobs are wanted."""
        return bool(self.state or self.conn_id or self.label)

    def takes(self, card: Card | Purchase) -> bool:
        """Whether a purchase is wanted, but for its state."""
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
    charted = rows.cards(session, dags, since=since, limit=_CHARTED)
    bought = [(row.pushed_at, row.purchase) for row in charted if row.purchase is not None]
    whole_since = charted[-1].pushed_at.date() if len(charted) >= _CHARTED else None
    missed, is_cut = ([], False) if before is not None else _undelivered(session, dags, wanted, since=since, now=now)
    return {
        "jobs": found,
        "undelivered": missed,
        "undelivered_is_cut": is_cut,
        "per_day": _per_day(bought, wanted, now=now, after=whole_since),
        "choices": _choices(bought),
        "next_before": next_before.timestamp() if next_before else None,
        "told": _told(whole_since, undelivered_is_cut=is_cut),
    }


def _page(
    session: Session, dags: Sequence[str], wanted: Wanted, *, limit: int, before: datetime | None, now: datetime
) -> tuple[list[View], datetime | None]:
    """Return the newest jobs that are wanted, and where to go on; None = there are no more."""
    most = _SCANNED if wanted.is_choosy else limit
    looked_at = rows.cards(session, dags, before=before, limit=most + 1)
    found: list[View] = []
    until = before
    for row, view in _views(session, looked_at[:most], wanted, now=now):
        if len(found) == limit:
            return found, until
        until = row.pushed_at
        if view is not None:
            found.append(view)
    return found, until if len(looked_at) > most else None


def _views(
    session: Session, looked_at: Sequence[rows.CardRow], wanted: Wanted, *, now: datetime
) -> Iterator[tuple[rows.CardRow, View | None]]:
    """Yield each row with its view, or without one where it is not wanted; a batch at a time, for few may be enough."""
    for start in range(0, len(looked_at), _BATCH):
        batch = looked_at[start : start + _BATCH]
        fitting = [row.key for row in batch if row.card is not None and wanted.takes(row.card)]
        facts = {one.key: one for one in facts_of(session, fitting)}
        for row in batch:
            view = view_of(facts[row.key], now=now.timestamp()) if row.key in facts else None
            yield row, view if view is not None and wanted.state in ("", view["state"]) else None


def _undelivered(
    session: Session, dags: Sequence[str], wanted: Wanted, *, since: datetime, now: datetime
) -> tuple[list[View], bool]:
    """Return the jobs that were charged, or may have been, and not handed on, and whether there may be older ones."""
    keys, is_cut = rows.perhaps_undelivered(session, dags, since=since)
    views = (
        {**view_of(one, now=now.timestamp()), "how_to_adopt": how_to_adopt(one)}
        for one in facts_of(session, keys)
        if _is_missed_by(one, wanted)
    )
    missed = [view for view in views if view["state"] in _MISSED]
    return sorted(missed, key=lambda view: view["submitted_at"] or 0.0, reverse=True), is_cut


def _is_missed_by(facts: TaskFacts, wanted: Wanted) -> bool:
    """Whether it belongs into the list; what is known of the ledger alone has neither connection nor labels."""
    if facts.card is not None:
        return wanted.takes(facts.card)
    return not (wanted.conn_id or wanted.label)


def _per_day(bought: Sequence[_Bought], wanted: Wanted, *, now: datetime, after: date | None) -> list[dict[str, Any]]:
    """Return the credits of each of the last days, by UTC, oldest first; a job that two tasks name counts once.

    :param after: a day of which not all jobs are known: it and those before it are left out. None = all are known.
    """
    last = [(now - timedelta(days=back)).date() for back in reversed(range(DAYS))]
    days = {day: {"credits": 0, "jobs": 0, "unknown": 0} for day in last if after is None or day > after}
    for pushed_at, purchase in {one.job_id: (at, one) for at, one in bought if wanted.takes(one)}.values():
        at = purchase.submitted_at
        day = days.get((pushed_at if at is None else datetime.fromtimestamp(at, UTC)).date())
        if day is not None:
            day["jobs"] += 1
            day["credits"] += purchase.credits_estimated or 0
            day["unknown"] += purchase.credits_estimated is None
    return [{"day": day.isoformat(), **sums} for day, sums in days.items()]


def _choices(bought: Sequence[_Bought]) -> dict[str, list[str]]:
    labels = Counter(label for _, purchase in bought for label in _labels_of(purchase))
    return {
        "state": [state.value for state in ViewState if state is not ViewState.NOTHING],
        "conn_id": sorted({purchase.conn_id for _, purchase in bought if purchase.conn_id})[:_CHOICES],
        "label": sorted(label for label, _ in labels.most_common(_CHOICES)),
    }


def _labels_of(card: Card | Purchase) -> list[str]:
    return [f"{name}={value}" for name, value in card.labels.items()]


def _told(after: date | None, *, undelivered_is_cut: bool) -> str:
    said = (
        f"Jobs and credits rest on what each task told of its last purchase (XCom lipsync_job): earlier purchases of a "
        f"task that was cleared, and what was removed from Airflow's database, are not in them. Credits are estimates. "
        f"Undelivered jobs are those of the last {DAYS} days, by Airflow's task state store (3.3 and later), else by "
        "XComs; ledger files under a ledger_path are not searched. You see DAGs whose XComs you may read."
    )
    if undelivered_is_cut:
        said += " So many tasks ended without their videos that only the newest were looked at."
    return said if after is None else f"{said} There are so many jobs that the chart begins after {after.isoformat()}."
