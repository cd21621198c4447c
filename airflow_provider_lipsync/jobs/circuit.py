"""How soon the vendor may be asked again, for all jobs of a connection together. Pure: it is told the time.

One reaction for everybody: what one look meets (an outage, a 429) slows down all looks, not each job's own.
"""

from __future__ import annotations

import math

from airflow_provider_lipsync.api.retry import LONGEST_WAIT
from airflow_provider_lipsync.exceptions import LipsyncError, LipsyncPollFault, LipsyncRateLimited

__all__ = ["Circuit"]

_FAULTS = 3  # in a row, of whichever jobs: fewer are a blip, which the next look of that job mends
_FIRST_PAUSE = 5.0  # seconds without a look once it is open; doubled by each probe that fails
_LONGEST_PAUSE = 30.0  # seconds: how late an end may be seen because of an outage that is over
_AFTER_429 = 1.0  # seconds without a look where the vendor does not say how long
_BURST_SECONDS = 0.1  # whose looks may leave at once: a timer for each would cost more than the look
_SLOWEST = 0.2  # looks a second: never nothing
_RECOVERY = 1.05  # a second: a rate that was halved is whole again after some 14 seconds
_JITTER = 0.25  # of a pause, so that several triggerers do not come back in step


class Circuit:
    """A rate limit, a pause after a 429, and a breaker: after three faults in a row one look at a time probes.

    :param per_second: looks a second at the most.
    """

    __slots__ = ("_closed_until", "_faults", "_free_at", "_pause", "_probing", "_rate", "_rated_at", "_recent", "limit")

    def __init__(self, *, per_second: float) -> None:
        self.limit = per_second
        self._rate = per_second
        self._rated_at = self._free_at = self._closed_until = 0.0
        self._recent = 0.0
        self._faults = 0
        self._pause = _FIRST_PAUSE
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether looks do not work now: at the most one at a time is sent, as a probe."""
        return self._faults >= _FAULTS

    def free_at(self, now: float) -> float:
        """Return the moment from which on a look may leave; in the past = at once.

        While a probe is on its way the answer is a little in the future: ask again then.
        """
        if self.is_open and self._probing:
            return now + 1.0
        return max(self._free_at - _BURST_SECONDS, self._closed_until)

    def set_limit(self, per_second: float) -> None:
        """Take another limit, in looks a second."""
        if per_second != self.limit:
            self.limit = self._rate = per_second

    def set_back(self, seconds: float) -> None:
        """Take a clock that was set back."""
        self._free_at -= seconds
        self._closed_until -= seconds
        self._rated_at -= seconds

    def left(self, now: float) -> None:
        """Note that a look leaves."""
        self._probing = self.is_open
        self._recover(now)
        self._free_at = max(self._free_at, now) + 1.0 / self._rate
        self._recent += 1.0

    def came(self, now: float, error: LipsyncError | None, chance: float) -> None:
        """Note what came of a look.

        :param error: None where an answer came that tells of the job.
        :param chance: in [0, 1).
        """
        if isinstance(error, LipsyncRateLimited):
            self._slow_down(now, error.retry_after, chance)
        elif isinstance(error, LipsyncPollFault):
            self._failed(now, error.retry_after, chance)
            return
        self._faults, self._pause, self._probing = 0, _FIRST_PAUSE, False

    def _failed(self, now: float, retry_after: float | None, chance: float) -> None:
        was_open, self._faults = self.is_open, self._faults + 1
        if not self.is_open or (was_open and not self._probing):
            return  # a blip, or one that had left before it opened
        if was_open:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._probing = False
        self._close_for(now, max(self._pause, min(retry_after or 0.0, LONGEST_WAIT)), chance)

    def _slow_down(self, now: float, retry_after: float | None, chance: float) -> None:
        if now >= self._closed_until:  # of many refused at once, one is heard
            self._recover(now)
            self._rate = max(_SLOWEST, min(self._rate, self._recent) / 2)
        self._close_for(now, min(retry_after or _AFTER_429, LONGEST_WAIT), chance)

    def _close_for(self, now: float, seconds: float, chance: float) -> None:
        self._closed_until = max(self._closed_until, now + seconds * (1 + _JITTER * chance))

    def _recover(self, now: float) -> None:
        """Bring the rate nearer to its limit, and let what was sent longer ago count for less."""
        seconds, self._rated_at = now - self._rated_at, now
        if seconds > 0:
            self._recent *= math.exp(-min(seconds, 60.0))
            self._rate = min(self.limit, self._rate * _RECOVERY ** min(seconds, 600.0))
