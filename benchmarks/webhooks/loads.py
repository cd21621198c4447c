"""The loads: tasks that are deferred, the vendor's webhooks that tell of their jobs, and what is seen of it."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from airflow_provider_lipsync.media.task_key import TaskKey
from benchmarks.webhooks.stage import Load, Stage
from tests.support.hooks import Told

__all__ = ["RESUMABLE", "Seen", "all_at_once", "early", "paced"]

RESUMABLE = 7.0  # seconds that a deferral must be old before a webhook resumes it
_MARGIN = 0.5  # seconds beyond it
_HANDS = 8  # that tell the sandbox to end jobs
_WAITING_HANDS = 64  # that do so after a while
_GLANCE = 0.2  # seconds between two looks for tasks that were deferred


@dataclass(frozen=True)
class Seen:
    """What came of a load. All times are in seconds.

    :param lags: of each job, from its delivery to its task being scheduled.
    :param told: deliveries that were answered with 200; one is sent for each job.
    :param triggerer_looks: of all jobs together; a task's own, before it is deferred, is not among them.
    :param receiver_looks: likewise.
    :param over: from the first delivery to the last task's end.
    :param states: of the tasks, at the end.
    """

    name: str
    jobs: int
    lags: Sequence[float]
    told: int
    triggerer_looks: int
    receiver_looks: int
    over: float
    states: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Tasks that did not succeed."""
        return self.jobs - self.states.get("success", 0)


def paced(stage: Stage, dag_id: str, jobs: int, *, rate: float) -> Seen:
    """Jobs end one after the other, so many a second, when all deferrals are old enough."""
    load = stage.start(dag_id, jobs)
    stage.wait_until_deferred(load, age=RESUMABLE + _MARGIN)
    before = stage.told(load)
    start = time.monotonic()
    with ThreadPoolExecutor(_HANDS) as pool:
        for number, told in enumerate(before.values()):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            pool.submit(stage.vendor.finish, told.job_id)
    return _see(stage, f"{rate:g} a second", load, before)


def all_at_once(stage: Stage, dag_id: str, jobs: int) -> Seen:
    """Jobs end as quickly as the sandbox can be told to end them, when all deferrals are old enough."""
    load = stage.start(dag_id, jobs)
    stage.wait_until_deferred(load, age=RESUMABLE + _MARGIN)
    before = stage.told(load)
    with ThreadPoolExecutor(_HANDS) as pool:
        list(pool.map(lambda told: stage.vendor.finish(told.job_id), before.values()))
    return _see(stage, "all at once", load, before)


def early(stage: Stage, dag_id: str, jobs: int) -> Seen:
    """Each job ends in the first seconds after its task was deferred, when that may not be resumed yet."""
    load, chance, before = stage.start(dag_id, jobs), random.Random(7), dict[TaskKey, Told]()
    with ThreadPoolExecutor(_WAITING_HANDS) as pool:
        while len(before) + stage.states(load)["failed"] < jobs:
            fresh = {key: at for key, at in stage.deferred(load).items() if key not in before}
            told = stage.told(load) if fresh else {}
            for key, since in fresh.items():
                before[key] = told[key]
                pool.submit(_finish_at, stage, told[key], since, chance.uniform(0.0, RESUMABLE - 1.0))
            time.sleep(_GLANCE)
    return _see(stage, "early", load, before)


def _finish_at(stage: Stage, told: Told, since: datetime, age: float) -> None:
    time.sleep(max(0.0, age - (datetime.now(UTC) - since).total_seconds()))
    stage.vendor.finish(told.job_id)


def _see(stage: Stage, name: str, load: Load, before: Mapping[TaskKey, Told]) -> Seen:
    states = stage.wait_until_over(load)
    after, scheduled, ended = stage.told(load), stage.scheduled(load), stage.ended(load)
    left = {key: told.delivered[0][0] for key, told in after.items() if told.delivered}
    return Seen(
        name=name,
        jobs=load.jobs,
        lags=sorted((scheduled[key] - left[key]).total_seconds() for key in left),
        told=sum(status == 200 for told in after.values() for _, status in told.delivered),
        triggerer_looks=sum(told.polls - 1 for told in before.values()),
        receiver_looks=sum(after[key].polls - told.polls for key, told in before.items()),
        over=(max(ended.values()) - min(left.values())).total_seconds(),
        states=dict(states),  # a Counter is none that asdict() could copy
    )
