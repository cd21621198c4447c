"""A sensor that starts and ends in the triggerer: what is refused, what its trigger is told, how that ends the task."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, Asset, task_group
from airflow.sdk.bases.xcom import BaseXCom
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobSensor
from airflow_provider_lipsync.exceptions import LipsyncBadInput
from airflow_provider_lipsync.sensors import in_triggerer as module
from airflow_provider_lipsync.triggers.ending import LipsyncJobEndingTrigger
from tests.provider.conftest import Tell
from tests.support.scripted import Step, answer
from tests.support.supervisor import Supervisor
from tests.support.tasks import new_context, of_task, run_task
from tests.support.vendor import JOB_ID, KEY, completed, failed, posts, processing

CAN = hasattr(BaseXCom, "aset")
from_33 = pytest.mark.skipif(not CAN, reason="tasks start and end in the triggerer of Airflow 3.3 or later")
PULLED = "{{ ti.xcom_pull(task_ids='submit', map_indexes=-1)['job_id'] }}"


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("show", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as made:
        yield made


@pytest.fixture(autouse=True)
def _as_in_a_new_process() -> None:
    module._warn_once.cache_clear()


def wait(**changes: Any) -> LipsyncJobSensor:
    values = {"task_id": "wait", "job": JOB_ID, "poke_interval": 0.05, "timeout": 60, "in_triggerer": True}
    return LipsyncJobSensor(**(values | changes))


def submit(task_id: str = "submit") -> LipsyncImageOperator:
    return LipsyncImageOperator(task_id=task_id, image="https://example.com/p.png", audio="https://example.com/v.mp3")


def told(sensor: LipsyncJobSensor) -> dict[str, Any]:
    """What Airflow's scheduler reads, by way of the serialized DAG."""
    from airflow.serialization.definitions.baseoperator import SerializedBaseOperator
    from airflow.serialization.serialized_objects import BaseSerialization, DagSerialization

    assert sensor.dag is not None
    read: Any = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(sensor.dag))))
    found: SerializedBaseOperator = read.get_task(sensor.task_id)
    assert found.start_from_trigger is True
    assert found.start_trigger_args is not None
    assert found.start_trigger_args.next_method == "execute_complete"
    arguments = BaseSerialization.deserialize(found.start_trigger_args.trigger_kwargs)
    return dict(arguments)


# What is refused when the DAG is read


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"deferrable": False}, "deferrable=False holds a worker", id="deferrable"),
        pytest.param({"mode": "reschedule"}, "mode='reschedule' needs workers", id="mode"),
        pytest.param({"outlets": [Asset("x://y")]}, "outlets: no asset event", id="outlets"),
        pytest.param({"on_success_callback": print}, "on_success_callback: it is never called", id="on success"),
        pytest.param({"on_execute_callback": print}, "on_execute_callback: it is never called", id="on execute"),
        pytest.param({"on_skipped_callback": print}, "on_skipped_callback: it is never called", id="on skipped"),
        pytest.param({"pre_execute": print}, "pre_execute: it is never called", id="pre_execute"),
        pytest.param({"post_execute": print}, "post_execute: it is never called", id="post_execute"),
        pytest.param({"email": "a@example.com"}, "email: none is sent", id="email"),
        pytest.param({"job": "not an id"}, "job: a job id", id="no id"),
        pytest.param({"job": {"status": "processing"}}, "job: a job id", id="no id in a result"),
        pytest.param({"job": "{{ ti.xcom_pull(task_ids='x') }}"}, "xcom_pull without map_indexes", id="no map_indexes"),
        pytest.param({"job": {"job_id": "{{ ti.xcom_pull('x') }}"}}, "xcom_pull without", id="no map_indexes, nested"),
        pytest.param({"job": "{% set t = ti %}{{ t.xcom_pull('x') }}"}, "xcom_pull without", id="another name"),
        pytest.param({"job": "{{ ti.get_dr_count('x') }}"}, r"ti.get_dr_count\(\) gets no answer", id="ti.method"),
        pytest.param({"job": "{{ task_state_store.get('x') }}"}, "task_state_store gets no answer", id="state store"),
        pytest.param({"job": "{{ prev_start_date_success }}"}, "prev_start_date_success gets no", id="earlier runs"),
        pytest.param({"job": "{{ broken"}, "the template cannot be read", id="broken template"),
        pytest.param({"lipsync_conn_id": "{{ ti.xcom_pull('x') }}"}, "lipsync_conn_id: xcom_pull", id="connection"),
        pytest.param({"lipsync_conn_id": None}, "lipsync_conn_id: a text is required", id="no connection"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*email")  # Airflow deprecates it
def test_what_it_cannot_do_is_refused_when_the_dag_is_read(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(LipsyncBadInput, match=word):
        wait(**changes)


def test_a_refusal_names_the_way_out() -> None:
    with pytest.raises(LipsyncBadInput, match=r"job none · charged: no .* leave in_triggerer off"):
        wait(mode="reschedule")


def test_the_output_of_a_mapped_task_is_refused(dag: DAG) -> None:
    mapped = LipsyncImageOperator.partial(task_id="many", image="https://example.com/p.png").expand(
        audio=["https://example.com/v.mp3"]
    )
    with pytest.raises(LipsyncBadInput, match="many is mapped, so its output is many jobs"):
        wait(job=mapped.output)


def test_what_was_made_of_an_output_is_refused() -> None:
    with pytest.raises(LipsyncBadInput, match=r"only the output of a task \(task.output\) can be read"):
        wait(job=submit().output.map(lambda value: value))


def test_an_argument_of_a_mapped_task_group_is_refused() -> None:
    @task_group
    def each(job: str) -> None:
        wait(job=job)

    with pytest.raises(LipsyncBadInput, match="only the output of a task"):
        each.expand(job=[JOB_ID])


def test_it_is_off_by_default() -> None:
    sensor = LipsyncJobSensor(task_id="usual", job="{{ ti.xcom_pull('x') }}", outlets=[Asset("x://y")])
    assert (sensor.in_triggerer, sensor.start_from_trigger, sensor.start_trigger_args) == (False, False, None)


def test_airflow_finds_no_attribute_that_listeners_are_refused_for() -> None:
    assert not hasattr(wait(), "end_from_trigger")
    assert LipsyncJobSensor.start_from_trigger is False  # a mapped sensor would be started with nothing


# What the trigger is told


@from_33
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(JOB_ID, JOB_ID, id="id"),
        pytest.param({"job_id": JOB_ID, "status": "processing"}, JOB_ID, id="result"),
        pytest.param(PULLED, PULLED, id="template"),
        pytest.param({"job_id": PULLED}, PULLED, id="template in a result"),
        pytest.param("{{ var.value.job }}", "{{ var.value.job }}", id="variable"),
    ],
)
def test_a_job_is_told_as_an_id_or_a_template(given: Any, expected: str) -> None:
    arguments = told(wait(job=given, lipsync_conn_id="lipsync_other", poke_interval=3))
    assert arguments == {
        "job": expected,
        "lipsync_conn_id": "lipsync_other",
        "poll_interval": 3.0,
        "timeout": 60.0,
        "airflows_timeout": 360.0,
        "pushes": True,
        "skips": False,
        "retries": False,
    }
    assert LipsyncJobEndingTrigger(**arguments).serialize()[1] == arguments | {"upstream": None}


@from_33
def test_the_output_of_a_task_is_told_as_the_xcom_to_read() -> None:
    sensor = wait(job=submit().output)
    assert told(sensor)["upstream"] == {"task_id": "submit", "key": "return_value", "same_index": False}
    assert sensor.upstream_task_ids == {"submit"}
    by_key = wait(task_id="by_key", job=submit("other").output["job_id"])
    assert told(by_key)["upstream"] == {"task_id": "other", "key": "job_id", "same_index": False}


@from_33
def test_in_a_mapped_task_group_the_output_is_that_of_the_same_index(dag: DAG) -> None:
    @task_group
    def each(audio: str) -> None:
        LipsyncJobSensor(
            task_id="wait",
            job=LipsyncImageOperator(task_id="buy", image="https://example.com/p.png", audio=audio).output,
            in_triggerer=True,
        )

    each.expand(audio=["https://example.com/v.mp3"])
    expected = {"task_id": "each.buy", "key": "return_value", "same_index": True}
    assert told(dag.get_task("each.wait"))["upstream"] == expected


@from_33
@pytest.mark.parametrize(
    ("limit", "ours", "airflows"),
    [
        pytest.param(None, 60, 360, id="none"),
        pytest.param(20, 20, 20, id="shorter"),
        pytest.param(100, 60, 100, id="longer"),
    ],
)
def test_a_shorter_execution_timeout_is_the_timeout(limit: int | None, ours: float, airflows: float) -> None:
    arguments = told(wait(execution_timeout=None if limit is None else timedelta(seconds=limit)))
    assert (arguments["timeout"], arguments["airflows_timeout"]) == (ours, airflows)


@from_33
@pytest.mark.parametrize("switch", ["soft_fail", "never_fail"])
def test_the_switches_are_told(switch: str) -> None:
    arguments = told(wait(**{switch: True}, retries=2, do_xcom_push=False))
    assert (arguments["skips"], arguments["retries"], arguments["pushes"]) == (True, True, False)


# Where it cannot be


FALL_BACK = {
    "backend": ({"AIRFLOW__CORE__XCOM_BACKEND": "tests.provider.backend.Backend"}, "xcom_backend is set"),
    "queues": ({"AIRFLOW__TRIGGERER__QUEUES_ENABLED": "true"}, "queues_enabled is set"),
}


def test_below_airflow_33_it_is_deferred_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(BaseXCom, "aset", raising=False)
    with caplog.at_level(logging.WARNING):
        sensors = [wait(task_id=f"wait_{number}") for number in range(3)]
    assert [sensor.start_from_trigger for sensor in sensors] == [False] * 3
    [message] = [record.getMessage() for record in caplog.records if "in_triggerer" in record.getMessage()]
    assert message.endswith("is deferred from a worker here: it takes Airflow 3.3 or later.")


@from_33
@pytest.mark.parametrize("what", FALL_BACK)
def test_where_airflow_is_set_up_otherwise_it_is_deferred_and_that_is_said_once(what: str) -> None:
    settings, word = FALL_BACK[what]
    script = (
        "from airflow_provider_lipsync import LipsyncJobSensor\n"
        f"made = [LipsyncJobSensor(task_id=f'w{{n}}', job={JOB_ID!r}, in_triggerer=True) for n in range(3)]\n"
        "assert not any(sensor.start_from_trigger for sensor in made)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count(word) == 1


def test_on_a_worker_it_waits_as_the_deferred_sensor_does(tell: Tell) -> None:
    """So run ``dag.test()`` and mapped sensors."""
    tell(processing(), processing(), completed())
    context = new_context()
    assert run_task(wait(), context) == run_task(wait(task_id="other", in_triggerer=False), context)


def test_a_mapped_sensor_is_made_on_the_worker_without_a_start(dag: DAG) -> None:
    mapped: Any = LipsyncJobSensor.partial(task_id="mapped", in_triggerer=True, outlets=[Asset("x://y")]).expand(
        job=[JOB_ID]
    )
    assert mapped.start_from_trigger is False
    made = mapped.unmap({"job": JOB_ID})
    assert (made.in_triggerer, made.start_from_trigger) == (True, False)


# How the trigger ends the task


def end(
    *, ends_in: float | None = 360, try_number: int = 1, map_index: int = -1, **changes: Any
) -> tuple[TriggerEvent, LipsyncJobEndingTrigger]:
    """Run a trigger as the triggerer does, and return its one event."""
    values = {
        "job": JOB_ID,
        "lipsync_conn_id": "lipsync_default",
        "poll_interval": 0.05,
        "timeout": 60.0,
        "airflows_timeout": 360.0,
    }
    _, arguments = LipsyncJobEndingTrigger(**(values | changes)).serialize()

    async def drain() -> tuple[list[TriggerEvent], LipsyncJobEndingTrigger]:
        trigger = LipsyncJobEndingTrigger(**json.loads(json.dumps(arguments)))
        of_task(trigger, "wait", map_index=map_index, try_number=try_number)
        if ends_in is not None:
            trigger.timeout_after = datetime.now(UTC) + timedelta(seconds=ends_in)  # type: ignore[attr-defined]
        return [event async for event in trigger.run()], trigger

    [event], trigger = asyncio.run(drain())
    return event, trigger


LINK = "_link_LipsyncPlayerLink"


@from_33
def test_a_completed_job_is_handed_on_as_the_deferred_sensor_does(
    tell: Tell, supervisor: Supervisor, capfd: pytest.CaptureFixture[str]
) -> None:
    server = tell(processing(), processing(), completed())
    event, _ = end()
    said = capfd.readouterr().out
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms is None  # Airflow would encode them twice
    assert f"Job {JOB_ID} is completed. For a time its video is at https://vendor.example/result.mp4." in said
    tell(processing(), processing(), completed())
    result = run_task(wait(in_triggerer=False), new_context())
    link = "/lipsync/player?dag_id=show&run_id=run&task_id=wait"
    assert supervisor.xcoms == {("wait", -1, "return_value"): result, ("wait", -1, LINK): link}
    assert posts(server) == 0


@from_33
def test_a_result_that_nobody_wants_is_not_handed_on(tell: Tell, supervisor: Supervisor) -> None:
    tell(completed())
    event, _ = end(pushes=False)
    assert isinstance(event, TaskSuccessEvent)
    assert {key for _, _, key in supervisor.xcoms} == {LINK}  # as where a worker ends the task


@from_33
def test_a_triggerer_that_died_before_the_task_ended_repeats_it_without_harm(
    tell: Tell, supervisor: Supervisor
) -> None:
    tell(completed())
    first, _ = end()
    handed_on = dict(supervisor.xcoms)
    second, _ = end()
    assert type(first) is type(second) is TaskSuccessEvent
    assert supervisor.xcoms == handed_on


@from_33
@pytest.mark.parametrize(
    ("story", "changes", "first_line"),
    [
        pytest.param(
            (processing(), failed()),
            {},
            f"job {JOB_ID} · charged: yes · video: none · next: mend what the vendor names",
            id="failed",
        ),
        pytest.param(
            (completed(None),), {}, f"job {JOB_ID} · charged: yes · video: none · next: ask the vendor", id="no video"
        ),
        pytest.param(
            (processing(),),
            {"timeout": 0.2, "ends_in": 360},
            f"job {JOB_ID} · charged: yes · video: none · next: clear the task to wait on",
            id="timed out",
        ),
        pytest.param(
            (answer(401),),
            {},
            f"job {JOB_ID} · charged: unknown · video: none · next: mend what is named",
            id="refused",
        ),
        pytest.param((), {"job": "None"}, "job none · charged: no · video: none · next: correct the", id="no job"),
    ],
)
@pytest.mark.parametrize(("skips", "kind"), [(False, TaskFailedEvent), (True, TaskSkippedEvent)])
def test_what_goes_wrong_fails_or_skips_the_task_and_is_told(
    tell: Tell,
    supervisor: Supervisor,
    capfd: pytest.CaptureFixture[str],
    story: tuple[Step, ...],
    changes: dict[str, Any],
    first_line: str,
    skips: bool,
    kind: type[TriggerEvent],
) -> None:
    tell(*story or (processing(),))
    event, _ = end(**changes, skips=skips)
    assert type(event) is kind
    assert first_line in capfd.readouterr().out
    assert supervisor.xcoms == {}


@from_33
@pytest.mark.parametrize(
    ("story", "goes"),
    [
        pytest.param(failed(), True, id="failed"),
        pytest.param(answer(401), False, id="key refused"),
    ],
)
def test_where_there_are_retries_a_worker_ends_what_they_cannot_mend(
    tell: Tell, supervisor: Supervisor, story: Step, goes: bool
) -> None:
    tell(story)
    event, _ = end(retries=True)
    assert (type(event) is TriggerEvent) is goes
    if goes:
        with pytest.raises(AirflowFailException, match="mend what the vendor names"):
            wait(retries=2).execute_complete(new_context(), event.payload)


@from_33
@pytest.mark.parametrize(
    ("given", "index"), [({"job_id": JOB_ID}, -1), (JOB_ID, -1), ({"job_id": JOB_ID, "status": "x"}, 3)]
)
def test_the_job_of_another_task_is_read_where_it_stands(
    tell: Tell, supervisor: Supervisor, given: Any, index: int
) -> None:
    tell(completed())
    supervisor.xcoms["submit", index, "return_value"] = given
    upstream = {"task_id": "submit", "key": "return_value", "same_index": index >= 0}
    event, trigger = end(job=None, upstream=upstream, map_index=3)
    assert type(event) is TaskSuccessEvent
    assert trigger.job_id == JOB_ID
    assert supervisor.xcoms["wait", 3, "return_value"]["job_id"] == JOB_ID


@from_33
def test_another_task_that_handed_on_nothing_is_no_job(
    tell: Tell, supervisor: Supervisor, capfd: pytest.CaptureFixture[str]
) -> None:
    server = tell(completed())
    event, _ = end(job=None, upstream={"task_id": "submit", "key": "return_value", "same_index": False})
    assert type(event) is TaskFailedEvent
    assert "got a NoneType" in capfd.readouterr().out
    assert server.requests == []


@from_33
@pytest.mark.parametrize("given", [KEY, {"job_id": f"{KEY}-1"}])
def test_the_key_is_no_job_id(
    tell: Tell, supervisor: Supervisor, capfd: pytest.CaptureFixture[str], given: Any
) -> None:
    server = tell(processing())
    event, trigger = end(job=given)
    assert type(event) is TaskFailedEvent
    said = capfd.readouterr().out
    assert "the API key stands where a job id belongs" in said
    assert KEY not in said
    assert (server.requests, trigger.job_id) == ([], "")


@from_33
def test_an_id_of_another_form_is_looked_at_all_the_same(tell: Tell, supervisor: Supervisor) -> None:
    tell(answer(200, json.dumps({"id": "job-7", "status": "completed", "output": "https://vendor.example/7.mp4"})))
    event, _ = end(job="job-7")
    assert type(event) is TaskSuccessEvent


@from_33
def test_the_deadline_counts_from_the_tasks_start_even_after_a_restart(tell: Tell, supervisor: Supervisor) -> None:
    """Airflow started the task 50 s ago, as its own deadline tells, which stands in the database."""
    tell(completed())
    _, trigger = end(ends_in=310)
    assert trigger.deadline - datetime.now(UTC).timestamp() == pytest.approx(10, abs=5)
    _, trigger = end(ends_in=None)
    assert trigger.deadline - datetime.now(UTC).timestamp() == pytest.approx(60, abs=5)


@from_33
def test_a_new_try_forgets_what_an_earlier_one_handed_on(tell: Tell, supervisor: Supervisor) -> None:
    tell(failed())
    supervisor.xcoms["wait", -1, "return_value"] = {"job_id": "earlier"}
    end(try_number=2)
    assert supervisor.xcoms == {}


@from_33
def test_a_triggerer_with_a_backend_of_ones_own_leaves_the_end_to_a_worker(
    tell: Tell, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tell(completed())

    class Backend(BaseXCom):
        pass

    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom", Backend)
    event, _ = end()
    assert type(event) is TriggerEvent
    assert server.requests == supervisor.asked == []
    assert wait(in_triggerer=False).execute_complete(new_context(), event.payload)["status"] == "completed"


@from_33
def test_a_kill_before_the_job_is_known_looks_at_nothing(tell: Tell) -> None:
    server = tell(processing())
    made = LipsyncJobEndingTrigger(
        job="{{ raw }}", lipsync_conn_id="lipsync_default", poll_interval=1, timeout=60, airflows_timeout=360
    )
    asyncio.run(made.on_kill())
    assert server.requests == []
    made.job_id = JOB_ID
    asyncio.run(made.on_kill())
    assert len(server.requests) == 1
