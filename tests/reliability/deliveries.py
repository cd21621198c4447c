"""The vendor's webhooks of one schedule: each comes at the moment that was drawn for it, once or twice, or never."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.reliability.plan import Fate, Moment
from tests.reliability.receiver import Receiver
from tests.reliability.story import Told, VendorEnded

if TYPE_CHECKING:
    from tests.reliability.schedule import Schedule

__all__ = ["Deliveries"]

_NEVER = Fate(moment=Moment.NEVER)


@dataclass
class _Coming:
    """A delivery that is still to come.

    :param since: when its job was bought.
    """

    job_id: str
    url: str
    fate: Fate
    since: float
    has_come: bool = False


class Deliveries:
    """Brings them to the receiver."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule, self._receiver = schedule, Receiver(schedule)
        self._fates = iter(schedule.plan.fates)
        self._coming: list[_Coming] = []

    def expect(self, job_id: str, url: str) -> None:
        """Hear of a submit that named a webhook."""
        fate = next(self._fates, _NEVER)
        if fate.moment is not Moment.NEVER:
            self._coming.append(_Coming(job_id, url, fate, since=self._schedule.now()))

    def come(self, *moments: Moment) -> None:
        """Bring what comes at one of these moments, and for the second time what has come before."""
        for delivery in list(self._coming):
            if delivery.has_come:
                self._bring(delivery, "once more")
            elif delivery.fate.moment in moments and self._is_due(delivery):
                self._bring(delivery, delivery.fate.moment.value)

    def come_all(self) -> None:
        """Bring all that is left, too late for anything."""
        for delivery in list(self._coming):
            self._bring(delivery, "when all is over")

    def _is_due(self, delivery: _Coming) -> bool:
        age = self._schedule.now() - delivery.since
        match delivery.fate.moment:
            case Moment.WAITING:
                return age >= delivery.fate.seconds
            case Moment.LATE:
                return age >= self._schedule.plan.job_timeout
            case _:
                return True

    def _bring(self, delivery: _Coming, when: str) -> None:
        if delivery.has_come or not delivery.fate.twice:
            self._coming.remove(delivery)
        delivery.has_come = True
        with self._schedule.outside():
            status = self._schedule.vendor.end(delivery.job_id)
            if status is not None:
                self._schedule.story.add(VendorEnded(process=0, job=delivery.job_id, status=status))
            came = self._receiver.take(delivery.url, delivery.job_id, when=when)
        self._schedule.story.add(Told(process=0, what=f"a webhook for {delivery.job_id}, {when}: {came}"))
