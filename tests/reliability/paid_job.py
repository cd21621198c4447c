"""A paid job, as far as the law knows of it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.reliability.story import Started

__all__ = ["PaidJob"]


@dataclass
class PaidJob:
    """A paid job.

    :param inputs: what it was asked for.
    :param holder: the process that last held it: its buyer, or whoever wrote or handed on its id since.
    :param held_since: when that process began.
    :param begun_at: when its buyer began to buy, in seconds.
    :param bought_at: when it was charged, in seconds.
    :param buyer: number of that process, and ``bought_in`` of its try, which buys one job at the most.
    :param is_told_of: whether its submit named a webhook.
    :param came_late: whether its id was brought when a person had been asked, and no process began since.
    :param is_told: whether the memory was told, while it took writes, that it is delivered.
    :param settled: why nobody need have it any more; empty = somebody must.
    """

    id: str
    inputs: str
    holder: Started
    held_since: int
    begun_at: float
    bought_at: float
    buyer: int
    bought_in: int
    is_told_of: bool
    came_late: bool = False
    is_adopted: bool = False
    is_recorded: bool = False
    is_reported: bool = False
    is_delivered: bool = False
    is_told: bool = False
    delivered_at: int = -1
    status: str = "processing"
    settled: str = ""

    @property
    def is_owed(self) -> bool:
        """Whether its video must still come."""
        return not (self.settled or self.is_delivered or self.status == "failed")

    @property
    def is_lost(self) -> bool:
        """Whether its video must still come, and the memory does not know its id."""
        return self.is_owed and not self.is_recorded
