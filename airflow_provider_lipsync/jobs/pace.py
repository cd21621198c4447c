"""When the next look at a job is worth its cost: from what jobs of its kind have taken. Pure.

A look is worth it once the lag that is to be expected without it has grown to what a look costs. Where ends are likely
looks are dense, where they are not they are sparse; ``poll_interval`` bounds the lag from the time on that ends have
been seen at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from functools import partial
from itertools import accumulate, pairwise

__all__ = ["Durations", "net_pause", "next_pause", "on_a_beat"]

_REMEMBERED = 400  # jobs; what is longer ago is forgotten, so that a vendor who became quicker is followed
_ENOUGH = 20  # jobs, from which on their times replace the connection's marks
_GROWTH, _MOST_NEW = 0.3, 40  # what is known is worked out again after so many new jobs: that share of all, or so many
_BINS = 400  # of the distribution: a fraction of a second each where jobs take two minutes
_REACH = 0.96  # of the jobs end within the bins; the slowest would make them coarse for everybody
_ROUNDS = 4  # of guessing when, between two looks, jobs ended; more change nothing
_BLUR = 0.2  # of the middle half's width, shrinking with the number of jobs; less, and chance is taken for a pattern
_UNSEEN = 0.02  # of an ending job's chance is spread evenly over where it may have ended: sharpens, never sticks
_SHARE_BEFORE = 0.01  # of the jobs may have ended before "ends are expected from now on"
_EARLY = 0.6  # of the time before that: no pause there is longer, so a job that is quicker than all before is seen
_EARLY_BY_MARKS = 0.25  # of the low mark, likewise: nothing was seen yet that would speak against quick jobs
_SHORTEST = 0.5  # of the interval: looks that are denser would gain less than they cost
_COST = 0.4  # of what would make plain polling at the interval the cheapest where ends are evenly likely
_CHOICES = 24  # of the next look that are compared; more find nothing that is worth naming
_NEARLY_ALL = 0.98  # of the jobs have ended before one that a webhook should have told of is looked at
_MARGIN = 1.1  # of that time, on top: the webhook itself takes a moment
_NET_INTERVALS, _NET_SHARE, _NET_LONGEST = 6.0, 0.25, 300.0  # then: so many intervals, that share of its age, seconds
_JITTER = 0.05  # of the interval, either way: more would miss the moments that are worth a look
_BEAT = 0.1  # seconds between the moments that looks share; of a short interval, no more than the jitter
_INTERVALS = 8  # for which tables are kept; tasks of one connection rarely have more


class Durations:
    """What jobs of one kind have taken in this process: the last few hundred.

    :param low: seconds that a quick job takes, until enough was seen.
    :param high: seconds that a slow job takes, likewise.
    """

    __slots__ = ("_late", "_mass", "_new", "_spans", "_tables", "_width", "high", "low")

    def __init__(self, *, low: float, high: float) -> None:
        self.low = low
        self.high = max(high, low)
        self._spans: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)  # within which jobs ended, seconds
        self._new = 0  # jobs since the distribution was worked out
        self._mass: list[float] = []  # jobs by bin, and at last those beyond; empty = not enough seen
        self._width = 0.0  # of a bin, seconds
        self._late = self.high  # seconds, by which nearly all have ended
        self._tables: dict[float, list[float]] = {}

    @property
    def known(self) -> int:
        """How many jobs it goes by."""
        return len(self._spans)

    def learn(self, *, seconds: float, since_last_look: float, told: float | None = None) -> None:
        """Take in that a job ended within ``since_last_look`` seconds before it was ``seconds`` old.

        :param told: seconds that the vendor says it took; believed where it lies between the two looks.
        """
        last = max(0.0, seconds)
        first = min(last, max(0.0, seconds - since_last_look))
        if told is not None and first <= told <= last:
            first = last = told
        self._spans.append((first, last))
        self._new += 1
        if self.known >= _ENOUGH and (not self._mass or self._new >= min(_MOST_NEW, _GROWTH * self.known)):
            self._new = 0
            self._tables.clear()
            self._work_out()

    def nearly_all(self) -> float:
        """Return the seconds after which nearly all jobs have ended, and been told of where somebody tells."""
        return self._late * _MARGIN

    def pause(self, age: float, poll_interval: float) -> float:
        """Return the seconds until the next look at a job of that age, without jitter."""
        if not self._mass:
            return _by_marks(age, poll_interval, self.low)
        table = self._tables.get(poll_interval)
        if table is None:
            if len(self._tables) >= _INTERVALS:
                self._tables.clear()
            table = self._tables[poll_interval] = _plan(self._mass, self._width, poll_interval)
        index, beyond = divmod(age / self._width, 1.0)
        if index >= _BINS - 1:
            return poll_interval
        before, after = table[int(index)], table[int(index) + 1]
        return before + (after - before) * beyond

    def _work_out(self) -> None:
        """Guess the distribution from the spans: spread each job over its span as all of them suggest, and again."""
        ends = sorted(last for _, last in self._spans)
        known = len(ends)
        self._width = width = max(ends[int(_REACH * (known - 1))] * 1.05, 1e-3) / _BINS
        self._late = ends[int(_NEARLY_ALL * (known - 1))]
        spans = [(min(_BINS, int(first / width)), min(_BINS, int(last / width))) for first, last in self._spans]
        middle = ends[known * 3 // 4] - ends[known // 4]
        reach = int(_BLUR * middle * known**-0.2 / width)
        mass = [1.0] * (_BINS + 1)
        for _ in range(_ROUNDS):
            mass = _spread(spans, mass)
            mass = [*_blurred(mass[:-1], reach), mass[-1]]
        self._mass = mass


def _spread(spans: list[tuple[int, int]], likely: list[float]) -> list[float]:
    """Return the jobs by bin, each spread over its span, the more where more is likely."""
    mass = [0.0] * len(likely)
    for first, last in spans:
        if first == last:
            mass[first] += 1.0
            continue
        parts = likely[first : last + 1]
        total = sum(parts)
        even = (_UNSEEN if total > 0.0 else 1.0) / len(parts)
        share = (1.0 - _UNSEEN) / total if total > 0.0 else 0.0
        for index, part in enumerate(parts, start=first):
            mass[index] += share * part + even
    return mass


def _blurred(mass: list[float], reach: int) -> list[float]:
    """Return the mass, each bin the mean of those around it, twice over."""
    if reach:
        around, size = 2 * reach + 1, len(mass)
        for _ in range(2):
            sums = list(accumulate(mass, initial=0.0))
            sums = [*[0.0] * reach, *sums, *[sums[-1]] * reach]
            mass = [(after - before) / around for before, after in zip(sums[:size], sums[around:], strict=True)]
    return mass


def _plan(mass: list[float], width: float, poll_interval: float) -> list[float]:
    """Return the pause at the beginning of each bin.

    Where no moment is likelier than another, more looks gain little. If the plan has more than plain polling at the
    interval would take, they are made dearer, once (looks go with the root of what one costs). It is an estimate: where
    bins are coarse beside the interval, as for jobs of many minutes, looks can still be some more.
    """
    jobs = sum(mass)
    ended = [0.0, *accumulate(mass[:_BINS])]
    begins = max(0, bisect_left(ended, _SHARE_BEFORE * jobs) - 1) * width
    mean = sum(jobs - gone for gone in ended[:_BINS]) * width / jobs  # of what is within the bins
    look = _COST * poll_interval**2 / 2.0 / max(mean - begins, poll_interval)  # in seconds of lag
    plan = partial(_cheapest, ended, jobs=jobs, width=width, poll_interval=poll_interval, begins=begins)
    pauses, looks = plan(look=look)
    dearer = (looks * poll_interval / max(mean, poll_interval)) ** 2
    if dearer > 1.0:
        pauses, _ = plan(look=look * dearer)
    return pauses


def _cheapest(
    ended: list[float], *, jobs: float, width: float, poll_interval: float, begins: float, look: float
) -> tuple[list[float], float]:
    """Return the cheapest plan of looks, found from the end backwards, and its looks per job.

    A plan costs its looks, each weighed by the share of jobs that get it, and the lag that it leaves.

    :param ended: jobs that have ended by the beginning of each bin.
    :param look: what a look costs, in seconds of lag.
    """
    area = [0.0, *accumulate((before + after) / 2.0 * width for before, after in pairwise(ended))]
    shortest = max(1, round(_SHORTEST * poll_interval / width))
    onward = area[:]  # with what the looks from there on cost
    looks, pauses = [0.0] * (_BINS + 1), [poll_interval] * _BINS
    for index in range(_BINS - 1, -1, -1):
        longest = _longest_pause(index * width, begins, poll_interval)
        most = max(1, round(longest / width))
        least = min(shortest, most)
        gone, chosen = ended[index] * width, index + most
        best = onward[min(_BINS, chosen)] - min(_BINS, chosen) * gone
        for later in range(chosen, index + least - 1, -max(1, (most - least) // _CHOICES)):
            if later < _BINS and onward[later] - later * gone < best:
                best, chosen = onward[later] - later * gone, later
        alive = jobs - ended[index]
        onward[index] = best + index * gone + look * alive
        looks[index] = alive / jobs + looks[min(_BINS, chosen)]
        pauses[index] = min(max((chosen - index) * width, _SHORTEST * poll_interval), longest)
    return pauses, looks[0]


def _longest_pause(age: float, begins: float, poll_interval: float) -> float:
    to_begin = begins - age
    if to_begin <= 0.0:
        return poll_interval
    return min(max(poll_interval, _EARLY * begins), to_begin + poll_interval)


def _by_marks(age: float, poll_interval: float, low: float) -> float:
    if age >= low:
        return poll_interval
    return min(max(poll_interval, _EARLY_BY_MARKS * low), low - age + _SHORTEST * poll_interval)


def next_pause(*, age: float, poll_interval: float, durations: Durations | None, chance: float) -> float:
    """Return the seconds until the next look at a job that had not ended when it was looked at.

    :param age: seconds since its submit.
    :param poll_interval: seconds; bounds the lag from the time on that ends are expected at.
    :param durations: what jobs of its kind take; None = plain polling at the interval.
    :param chance: in [0, 1), for the jitter.
    """
    pause = poll_interval if durations is None else durations.pause(age, poll_interval)
    return pause + _JITTER * min(pause, poll_interval) * (2.0 * chance - 1.0)


def net_pause(*, age: float, poll_interval: float, durations: Durations, chance: float) -> float:
    """Return the seconds until the next look at a job that a webhook should tell of: none before nearly all have ended,
    and then few, since only a delivery that was lost makes one worth it.

    The parameters are those of :func:`next_pause`.
    """
    rare = min(_NET_LONGEST, max(_NET_INTERVALS * poll_interval, _NET_SHARE * age))
    pause = max(durations.nearly_all() - age, 0.0) or rare
    return pause + _JITTER * rare * chance


def on_a_beat(moment: float, poll_interval: float) -> float:
    """Return the nearest shared moment: looks that leave together cost half of what each costs alone.

    :param moment: seconds since the epoch.
    :param poll_interval: seconds.
    """
    a_second = max(1.0 / _BEAT, 1.0 / (_JITTER * poll_interval))
    return round(moment * a_second) / a_second
