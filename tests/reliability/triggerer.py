"""The triggerer of a schedule: runs the trigger of a deferred task, and dies with it, or loses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync import LipsyncJobTrigger
from airflow_provider_lipsync.triggers.delivery import LipsyncDeliveryTrigger
from airflow_provider_lipsync.triggers.timer import LipsyncTimerTrigger
from tests.reliability.airflow_model import State
from tests.reliability.plan import Death, Fault, Misfortune, Trigger, Way
from tests.reliability.process import Killed, Process
from tests.reliability.story import Started, Told
from tests.support.tasks import of_task

if TYPE_CHECKING:
    from tests.reliability.schedule import Schedule

__all__ = ["Triggerer"]

_BACKSTOP = 301.0  # seconds behind a trigger's deadline, when Airflow gives it up
_KINDS = (LipsyncJobTrigger, LipsyncTimerTrigger, LipsyncDeliveryTrigger)


class Triggerer:
    """Runs what a task was deferred to."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule, self._airflow, self._boundary = schedule, schedule.airflow, schedule.boundary
        self._fates = iter(schedule.plan.triggers)

    def run(self) -> None:
        """Run the trigger of the task, until its event came or something goes wrong with it."""
        fate = Trigger.FIRES if self._must_fire() else next(self._fates, Trigger.FIRES)
        if fate is not Trigger.FIRES:
            self._lose(fate)
            return
        event = self._event()
        if self._airflow.state is not State.DEFERRED:
            return  # a webhook resumed the task meanwhile: nobody takes the event
        if event is None:
            self._after_death()
            return
        if event["status"] == "timeout":
            self._schedule.note_dealt(Fault.NEVER_ENDS)
        self._schedule.come_back(event)

    def _must_fire(self) -> bool:
        """Whether it must fire: nothing else goes wrong before the cell has happened, nor instead of what is armed."""
        armed = self._schedule.armed
        return self._schedule.is_pending or (
            armed is not None and armed.point in (Death.RACE, Death.ON_RESUME, Death.WAITING)
        )

    def _lose(self, fate: Trigger) -> None:
        self._tell(Told, what=f"trigger: {fate.value}")
        trigger = self._airflow.deferred.trigger
        if fate is Trigger.TIMED_OUT or not isinstance(trigger, LipsyncDeliveryTrigger):  # that one breaks at once
            until = trigger.deadline if isinstance(trigger, LipsyncJobTrigger) else trigger.until
            self._boundary.now = max(self._boundary.now, until) + _BACKSTOP
        self._airflow.lose_trigger(timed_out=fate is Trigger.TIMED_OUT)

    def _after_death(self) -> None:
        """The triggerer died, and the task stays deferred: another one takes it up, or somebody clears it."""
        if self._schedule.next_way() is Way.CLEAR:
            trigger = self._airflow.deferred.trigger
            self._schedule.clear()
            self._in_process(trigger.on_kill)
        elif self._schedule.way is None:
            self._schedule.armed = Misfortune(self._schedule.plan.follow_up)

    def _event(self) -> dict[str, Any] | None:
        path, arguments = self._airflow.deferred.trigger.serialize()
        [kind] = [kind for kind in _KINDS if path.endswith(f".{kind.__name__}")]
        trigger: Any = kind(**json.loads(json.dumps(arguments)))
        of_task(trigger, "render")

        async def first_event() -> Any:
            return [event.payload async for event in trigger.run()]

        events = self._in_process(first_event)
        return None if events is None else json.loads(json.dumps(events[0]))

    def _in_process(self, work: Callable[[], Any]) -> Any:
        process = self._boundary.process = Process(self._schedule, kind="trigger")
        self._tell(Started, kind="trigger")
        self._schedule.connect(process)
        try:
            return asyncio.run(work())
        except Killed:
            return None
        finally:
            self._boundary.process = None

    def _tell(self, kind: Any, /, **told: Any) -> None:
        self._schedule.story.add(kind(process=self._schedule.last_number, **told))
