"""What a job will cost, and whether it may: an estimate before the submit, held against the limits. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_lipsync.api.credits import charged_seconds, estimate_credits
from airflow_provider_lipsync.api.models import Endpoint
from airflow_provider_lipsync.exceptions import LipsyncOverBudget

__all__ = ["Budget", "Estimate", "Spent", "estimate_job"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a job will cost, by the vendor's price rules.

    :param seconds: that are charged, rounded up; None = unknown.
    :param credits: None = unknown, never 0.
    :param why: what is not known, where something is not.
    :param may_pass: whether it is not known only because a medium could not be read now.
    """

    seconds: int | None = None
    credits: int | None = None
    why: str = ""
    may_pass: bool = False

    def __str__(self) -> str:
        if self.credits is None:
            return f"unknown ({self.why or 'nobody estimated it'})"
        return f"{self.credits} credits" + ("" if self.seconds is None else f" ({self.seconds} s)")


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the earlier tries of a task instance bought, by their estimates.

    :param credits: the sum of those that are known.
    :param is_known: whether there are no others.
    """

    credits: int = 0
    is_known: bool = True

    def plus(self, cost: Estimate) -> Spent:
        """Return what was spent together with one more purchase."""
        if cost.credits is None:
            return Spent(credits=self.credits, is_known=False)
        return Spent(credits=self.credits + cost.credits, is_known=self.is_known)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The credits that a task instance may spend, all of its tries together.

    :param of_operator: ``max_credits``; None = no limit.
    :param of_connection: ``max_credits_per_job``, likewise.
    :param conn_id: id of the connection.
    """

    of_operator: int | None = None
    of_connection: int | None = None
    conn_id: str = ""

    def verify(self, estimate: Estimate, spent: Spent) -> None:
        """Refuse what costs too much, or nobody knows what.

        :param spent: by earlier tries.
        :raises LipsyncOverBudget: with the sum.
        """
        for name, limit in self._limits():
            if estimate.credits is None:
                raise LipsyncOverBudget(
                    f"What this job costs is not known: {estimate.why or 'nobody estimated it'}. {name} allows {limit} "
                    "credits, so nothing was sent.",
                    next_step=(
                        "clear the task once its media can be read again, or lift the limit first"
                        if estimate.may_pass
                        else "use media whose length can be read, or lift the limit, then clear the task"
                    ),
                )
            if not spent.is_known:
                raise LipsyncOverBudget(
                    f"This job costs some {estimate}, but what an earlier try of this task bought cannot be counted. "
                    f"{name} allows {limit} credits for all tries together, so nothing was sent.",
                    next_step="look at the earlier tries' logs, and lift the limit if it is right, then clear the task",
                )
            total = estimate.credits + spent.credits
            if total > limit:
                before = f", and earlier tries of this task spent {spent.credits}: {total} in all" * bool(spent.credits)
                raise LipsyncOverBudget(
                    f"This job costs some {estimate}{before}. {name} allows {limit} credits. Nothing was sent."
                )

    def _limits(self) -> Iterator[tuple[str, int]]:
        if self.of_connection is not None:
            yield f"max_credits_per_job of the connection {self.conn_id!r}", self.of_connection
        if self.of_operator is not None:
            yield "max_credits of the task", self.of_operator


def estimate_job(
    endpoint: Endpoint,
    lengths: Mapping[str, float],
    *,
    resolution: str,
    order: str,
    unknown: str = "",
    may_pass: bool = False,
) -> Estimate:
    """Return what a job will cost.

    :param lengths: of its media, seconds by field; one that is missing is unknown.
    :param unknown: why lengths are missing.
    :param may_pass: whether they may be told another time.
    """
    try:
        seconds = charged_seconds(endpoint, order=order, **lengths)
        cost = estimate_credits(seconds, resolution)
    except ValueError as error:  # a resolution or an order of the vendor's that is newer than this release
        return Estimate(why=f"no price is known: {error}")
    if cost is None:
        return Estimate(why=unknown, may_pass=may_pass)
    return Estimate(seconds=seconds, credits=cost)
