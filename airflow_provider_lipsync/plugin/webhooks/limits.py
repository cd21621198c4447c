"""How much is done for deliveries that are believed, and how often the log speaks of those that are not."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

__all__ = ["Bucket", "Limits", "Tally"]

_ALL_AT_ONCE, _ALL_PER_SECOND = 1000, 50.0  # deliveries of one process, all purchases together
# Of one purchase: the vendor tells of it once, or a few times. Whoever found its address in a log gets no further.
_ONE_AT_ONCE, _ONE_PER_SECOND = 10, 0.1
_REMEMBERED = 10_000  # purchases

_TOLD_EVERY = 60.0  # seconds


class Bucket:
    """So many at once, and then so many a second.

    :param clock: seconds, of any beginning.
    """

    __slots__ = ("_at", "_clock", "_left", "_most", "_per_second")

    def __init__(self, most: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._per_second, self._clock = most, per_second, clock
        self._left, self._at = float(most), clock()

    def take(self) -> float:
        """Take one; return 0, or after how many seconds there will be one."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return (1.0 - self._left) / self._per_second
        self._left -= 1.0
        return 0.0


class Limits:
    """What is taken of each purchase, and of all together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = Bucket(_ALL_AT_ONCE, _ALL_PER_SECOND, clock)
        self._each: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, nonce: str) -> float:
        """Take a delivery of a purchase; return 0, or after how many seconds it may come again.

        One that is too many of its purchase takes nothing from the others.
        """
        own = self._each.pop(nonce, None) or Bucket(_ONE_AT_ONCE, _ONE_PER_SECOND, self._clock)
        self._each[nonce] = own
        if len(self._each) > _REMEMBERED:
            self._each.popitem(last=False)
        return own.take() or self._all.take()


class Tally:
    """Counts by fixed words, and tells the counts in one line a minute at the most.

    :param message: of the line, with one place for the counts.
    :param clock: seconds, of any beginning.
    """

    def __init__(self, log: logging.Logger, message: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._message, self._clock = log, message, clock
        self._counts: Counter[str] = Counter()
        self._told_at: float | None = None
        self._lock = threading.Lock()

    def note(self, word: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[word] += 1
        self.tell()

    def tell(self) -> None:
        """Tell what was counted since the last time, if that is long enough ago."""
        with self._lock:
            now = self._clock()
            if not self._counts or (self._told_at is not None and now - self._told_at < _TOLD_EVERY):
                return
            counts, self._counts, self._told_at = self._counts, Counter(), now
        self._log.warning(self._message, ", ".join(f"{word}: {count}" for word, count in sorted(counts.items())))
