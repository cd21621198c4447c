"""The operators, both ways of waiting, against a vendor that tells a story."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.sdk import DAG, XComArg

from airflow_provider_lipsync import LipsyncImageMultiOperator, LipsyncImageOperator, LipsyncVideoOperator
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncError,
    LipsyncJobFailed,
    LipsyncJobTimeout,
    LipsyncKeyRefused,
    LipsyncMisconfigured,
    LipsyncNoCredits,
    LipsyncPollFault,
    LipsyncRateLimited,
    LipsyncSubmitUncertain,
    LipsyncTooLarge,
    LipsyncUnknownJob,
)
from airflow_provider_lipsync.jobs.card import CARD_KEY
from tests.provider.conftest import Tell
from tests.support.scripted import Step, answer, drop, json_answer
from tests.support.tasks import new_context, run_task
from tests.support.vendor import JOB_ID, KEY, accepted, completed, failed, job, posts, processing

RESULT_KEYS = [
    "job_id", "model", "status", "video_url", "output_path", "output_uri", "sha256", "size", "credits_estimated",
    "execution_time", "labels",
]  # fmt: skip


def render(**changes: Any) -> LipsyncImageOperator:
    values = {"image": "https://host/face.png", "audio": "https://host/voice.mp3", "poll_interval": 0.05}
    return LipsyncImageOperator(task_id="render", **(values | changes))


def sent(request: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.split(b"\r\n\r\n", 1)[1])
    return body


def test_a_job_is_bought_once_waited_for_and_handed_on(tell: Tell, deferrable: bool) -> None:
    server = tell(accepted(), processing(), processing(), completed())
    context = new_context()
    result = run_task(render(deferrable=deferrable), context)
    assert list(result) == RESULT_KEYS
    assert result == dict.fromkeys(RESULT_KEYS) | {
        "job_id": JOB_ID,
        "model": "lipsync-image",
        "status": "completed",
        "video_url": "https://vendor.example/result.mp4?sig=1",
        "execution_time": 12345,
    }
    assert list(context["ti"].xcoms) == ["job_id", CARD_KEY]
    assert (context["ti"].xcoms["job_id"], context["ti"].xcoms[CARD_KEY]["job_id"]) == (JOB_ID, JOB_ID)
    assert (posts(server), len(server.requests)) == (1, 4)


def test_a_job_that_is_done_already_does_not_defer(tell: Tell) -> None:
    tell(accepted(), completed())
    assert render().execute(new_context())["status"] == "completed"


def test_without_waiting_the_result_comes_at_once(tell: Tell) -> None:
    server = tell(accepted())
    result = render(wait_for_completion=False).execute(new_context())
    assert list(result) == RESULT_KEYS
    assert (result["job_id"], result["status"], result["video_url"]) == (JOB_ID, "processing", None)
    assert len(server.requests) == 1


def test_a_job_that_was_bought_goes_on_although_its_id_cannot_be_pushed(tell: Tell) -> None:
    def refuse(key: str, value: str) -> None:
        raise ConnectionError("the API server is away")

    server = tell(accepted(), processing(), completed())
    context = new_context()
    context["ti"].xcom_push = refuse
    assert run_task(render(), context)["status"] == "completed"
    assert posts(server) == 1


def test_the_id_is_pushed_and_told_before_the_worker_is_freed(tell: Tell, capfd: pytest.CaptureFixture[str]) -> None:
    tell(accepted(), processing())
    context = new_context()
    with pytest.raises(TaskDeferred) as deferred:
        render(job_timeout=timedelta(minutes=10)).execute(context)
    assert context["ti"].xcoms["job_id"] == JOB_ID
    trigger = deferred.value.trigger
    assert abs(trigger.deadline - time.time() - 600) < 30
    assert timedelta(seconds=600) < deferred.value.timeout <= timedelta(seconds=900)
    waits = {"job_id", "lipsync_conn_id", "poll_interval", "deadline", "submitted_at", "kind", "not_before", "nonce"}
    assert set(trigger.serialize()[1]) == waits
    assert trigger.kind == "lipsync-image 480p"
    assert abs(trigger.submitted_at - time.time()) < 30
    told = capfd.readouterr().out
    assert f"Job {JOB_ID} (lipsync-image) was bought and is charged" in told
    assert "Deadline: 20" in told
    assert "Jobs typically take 30-120 s." in told


@pytest.mark.parametrize(
    ("operator", "values", "endpoint", "form_state"),
    [
        pytest.param(
            LipsyncVideoOperator,
            {"video": "https://h/v.mp4", "audio": "https://h/a.mp3", "mask_image": "https://h/m.png"},
            "lipsync-video",
            {
                "video": "https://h/v.mp4",
                "audio": "https://h/a.mp3",
                "mask_image": "https://h/m.png",
                "resolution": "480p",
            },
            id="video",
        ),
        pytest.param(
            LipsyncImageOperator,
            {
                "image": "https://h/i.png",
                "audio": "https://h/a.mp3",
                "resolution": "720p",
                "prompt": "calm",
                "seed": "7",
            },
            "lipsync-image",
            {"image": "https://h/i.png", "audio": "https://h/a.mp3", "resolution": "720p", "prompt": "calm", "seed": 7},
            id="image",
        ),
        pytest.param(
            LipsyncImageMultiOperator,
            {"image": "https://h/i.png", "left_audio": "https://h/l.mp3", "right_audio": "https://h/r.mp3"},
            "lipsync-image-multi",
            {
                "image": "https://h/i.png",
                "left_audio": "https://h/l.mp3",
                "right_audio": "https://h/r.mp3",
                "order": "meanwhile",
                "resolution": "480p",
            },
            id="image-multi",
        ),
    ],
)
def test_what_each_operator_sends(
    tell: Tell, operator: Any, values: dict[str, str], endpoint: str, form_state: dict[str, Any]
) -> None:
    server = tell(accepted())
    operator(task_id="render", wait_for_completion=False, **values).execute(new_context())
    assert server.requests[0].startswith(f"POST /api/v1/{endpoint} ".encode())
    assert sent(server.requests[0]) == {"formState": form_state}


def test_fields_of_the_vendors_next_release_can_be_sent(tell: Tell) -> None:
    server = tell(accepted())
    extra = {"resolution": "1080p", "audio": "https://h/other.mp3", "mood": {"calm": 1}}
    render(extra_form_state=extra, wait_for_completion=False, webhook_url="https://me/hook").execute(new_context())
    assert sent(server.requests[0]) == {
        "webhook": "https://me/hook",
        "formState": {"image": "https://host/face.png", **extra},
    }


@pytest.mark.parametrize(
    ("step", "kind", "hopeless"),
    [
        pytest.param(answer(400), LipsyncBadInput, True, id="400"),
        pytest.param(answer(401), LipsyncKeyRefused, True, id="401"),
        pytest.param(answer(402), LipsyncNoCredits, True, id="402"),
        pytest.param(answer(403), LipsyncKeyRefused, True, id="403"),
        pytest.param(answer(413), LipsyncTooLarge, True, id="413"),
        pytest.param(answer(422), LipsyncBadInput, True, id="422"),
        pytest.param(drop, LipsyncSubmitUncertain, True, id="answer lost"),
        pytest.param(answer(500), LipsyncSubmitUncertain, True, id="500"),
        pytest.param(answer(302), LipsyncMisconfigured, False, id="redirect"),
        pytest.param(answer(404), LipsyncMisconfigured, False, id="404"),
        pytest.param(answer(429, headers={"Retry-After": "999"}), LipsyncRateLimited, False, id="429"),
    ],
)
def test_a_submit_that_did_not_work(tell: Tell, step: Step, kind: type[LipsyncError], hopeless: bool) -> None:
    server = tell(step)
    with pytest.raises(kind) as caught:
        render(deferrable=False).execute(new_context())
    assert isinstance(caught.value, AirflowException)
    assert isinstance(caught.value, AirflowFailException) is hopeless
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("last", "kind", "words"),
    [
        pytest.param(failed(), LipsyncJobFailed, "Invalid audio format", id="failed"),
        pytest.param(failed(""), LipsyncJobFailed, "the vendor says that the job failed", id="failed without words"),
        pytest.param(completed(None), LipsyncJobFailed, "gives no video", id="completed without output"),
        pytest.param(answer(401), LipsyncKeyRefused, "charged: yes", id="key refused while polling"),
        pytest.param(answer(403), LipsyncKeyRefused, "charged: yes", id="key forbidden while polling"),
    ],
)
def test_a_job_that_does_not_end_well_is_retried_by_the_tasks_retries(
    tell: Tell, deferrable: bool, last: Step, kind: type[LipsyncError], words: str
) -> None:
    server = tell(accepted(), processing(), processing(), last)
    with pytest.raises(kind, match=words) as caught:
        run_task(render(deferrable=deferrable), new_context())
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert str(caught.value).startswith(f"job {JOB_ID} · charged: yes · video: none · next: ")
    assert posts(server) == 1


def test_looks_that_do_not_work_say_nothing_about_the_job(tell: Tell, deferrable: bool) -> None:
    faults = (
        answer(500),
        drop,
        answer(200, "<html>"),
        answer(429, headers={"Retry-After": "0"}),
        answer(404),
        processing(),
    )
    server = tell(accepted(), *faults, completed())
    assert run_task(render(deferrable=deferrable), new_context())["status"] == "completed"
    assert posts(server) == 1


def test_a_status_that_nobody_documents_is_warned_of_once(
    tell: Tell, deferrable: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    tell(accepted(), processing(), job(status="polishing"), job(status="polishing"), completed())
    assert run_task(render(deferrable=deferrable), new_context())["status"] == "completed"
    assert capfd.readouterr().out.count("does not document: 'polishing'") == 1


@pytest.mark.parametrize("last", [processing(), answer(500)], ids=["still processing", "cannot be seen"])
def test_the_deadline_ends_the_wait_but_never_the_job(tell: Tell, deferrable: bool, last: Step) -> None:
    server = tell(accepted(), last)
    with pytest.raises(LipsyncJobTimeout, match="it runs on at the vendor") as caught:
        run_task(render(deferrable=deferrable, job_timeout=0.4), new_context())
    assert caught.value.job_id == JOB_ID
    assert not isinstance(caught.value, AirflowFailException)
    assert posts(server) == 1


def test_a_job_that_ends_with_its_deadline_is_seen_by_the_last_look(tell: Tell, deferrable: bool) -> None:
    tell(accepted(), processing(), completed())
    result = run_task(render(deferrable=deferrable, poll_interval=30, job_timeout=0.3), new_context())
    assert result["status"] == "completed"


@pytest.mark.parametrize(
    "event", [None, "success", {}, {"status": "odd"}, {"status": "completed", "job": {"id": "other"}}]
)
def test_an_event_that_is_missing_or_odd_makes_the_task_look_for_itself(tell: Tell, event: Any) -> None:
    tell(completed())
    context = new_context()
    context["ti"].xcom_push("job_id", JOB_ID)
    task = render()
    first = task.execute_complete(context, event)
    assert first == task.execute_complete(context, event)  # and twice does no harm
    assert first["status"] == "completed"


def test_an_odd_event_of_a_job_that_goes_on_waits_on(tell: Tell) -> None:
    server = tell(processing())
    with pytest.raises(TaskDeferred) as deferred:
        render().execute_complete(new_context(), "success", job_id=JOB_ID, deadline=2e9)
    assert deferred.value.trigger.deadline == 2e9
    assert posts(server) == 0


def test_a_submit_that_execution_timeout_ends_is_uncertain_and_not_retried(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_out(*_: Any, **__: Any) -> None:
        raise AirflowTaskTimeout("execution_timeout")

    tell(accepted())
    monkeypatch.setattr("airflow_provider_lipsync.api.client.LipsyncClient.submit", time_out)
    with pytest.raises(LipsyncSubmitUncertain, match="execution_timeout ended the submit") as caught:
        render().execute(new_context())
    assert isinstance(caught.value, AirflowFailException)


def test_an_id_that_is_nowhere_is_told_as_bought(tell: Tell) -> None:
    tell(processing())
    with pytest.raises(LipsyncUnknownJob, match=r"charged: yes .*take the id from this task's log") as caught:
        render().resume_execution("__fail__", {"error": "Trigger timeout"}, new_context())
    assert isinstance(caught.value, AirflowException)


def test_one_bad_look_does_not_give_up_a_job_that_can_be_seen_again(tell: Tell, deferrable: bool) -> None:
    server = tell(accepted(), processing(), answer(401), processing(), completed())
    assert run_task(render(deferrable=deferrable), new_context())["status"] == "completed"
    assert posts(server) == 1


def test_what_is_free_for_a_sensor_is_not_called_free_by_an_operator(tell: Tell) -> None:
    tell(accepted(), processing(), answer(401))
    with pytest.raises(LipsyncKeyRefused, match=r"next: correct the API key .* a retry or clear waits on for this job"):
        run_task(render(), new_context())


@pytest.mark.parametrize(
    "odd",
    [
        {"executionTime": float("inf")},
        {"executionTime": 10**30},
        {"executionTime": True},
        {"model": "\ud800"},
        {"error": "\ud800"},
    ],
    ids=ascii,
)
def test_odd_fields_do_not_lose_a_finished_video(tell: Tell, deferrable: bool, odd: dict[str, Any]) -> None:
    tell(accepted(), processing(), job(**({"status": "completed", "output": "https://v/r.mp4"} | odd)))
    result = run_task(render(deferrable=deferrable), new_context())
    assert (result["video_url"], result["execution_time"]) == ("https://v/r.mp4", None)
    json.dumps(result, allow_nan=False).encode()


@pytest.mark.parametrize(
    "output", ["https://[cdn/x.mp4", "ftp://v/r.mp4", "/r.mp4", "https://v/\ud800", "https://v/a b", 7]
)
def test_an_output_that_is_no_url_is_no_video(tell: Tell, deferrable: bool, output: Any) -> None:
    tell(accepted(), processing(), job(status="completed", output=output))
    with pytest.raises(LipsyncJobFailed, match="gives no video"):
        run_task(render(deferrable=deferrable), new_context())


def test_a_submit_that_names_no_status_is_processing(tell: Tell) -> None:
    tell(json_answer(200, {"id": JOB_ID}))
    assert render(wait_for_completion=False).execute(new_context())["status"] == "processing"


@pytest.mark.parametrize(
    "extra", [{"image": None}, {"image": ""}, {"audio": "voice.mp3"}, {"audio": 5}, {"mask_image": "m"}]
)
def test_media_that_come_by_extra_fields_are_checked_too(extra: dict[str, Any]) -> None:
    with pytest.raises(LipsyncBadInput, match=f"{next(iter(extra))}: "):
        render(extra_form_state=extra)


@pytest.mark.parametrize(
    ("kwargs", "last", "outcome"),
    [
        pytest.param({"error": "Trigger timeout"}, completed(), None, id="timed out, finished meanwhile"),
        pytest.param({"error": "Trigger timeout"}, processing(), LipsyncJobTimeout, id="timed out, goes on"),
        pytest.param({"error": "Trigger timeout"}, answer(500), LipsyncJobTimeout, id="timed out, cannot be seen"),
        pytest.param(
            {"error": "Trigger failure", "traceback": ["x", "KeyError: 1\n"]}, completed(), None, id="failed, finished"
        ),
        pytest.param({"error": "Trigger failure"}, processing(), LipsyncPollFault, id="failed, goes on"),
        pytest.param({"error": "Trigger failure"}, failed(), LipsyncJobFailed, id="failed, and so did the job"),
        pytest.param({"error": "Trigger failure"}, answer(404), LipsyncUnknownJob, id="failed, job unknown"),
        pytest.param(None, completed(), None, id="no arguments"),
    ],
)
def test_a_trigger_that_was_lost_is_no_verdict(
    tell: Tell, kwargs: dict[str, Any] | None, last: Step, outcome: type[LipsyncError] | None
) -> None:
    server = tell(last)
    context = new_context()
    context["ti"].xcom_push("job_id", JOB_ID)
    if outcome is None:
        assert render().resume_execution("__fail__", kwargs, context)["status"] == "completed"
    else:
        with pytest.raises(outcome) as caught:
            render().resume_execution("__fail__", kwargs, context)
        assert caught.value.job_id == JOB_ID
    assert posts(server) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"image": ""}, "image: required is a public", id="empty"),
        pytest.param({"audio": None}, "audio: required is a public", id="none"),
        pytest.param({"audio": "voice.mp3"}, "audio: allowed is a public", id="no URL"),
        pytest.param({"audio": "C:voice.mp3"}, "audio: allowed is a public", id="no path"),
        pytest.param({"mask_image": "mask"}, "mask_image: allowed", id="mask"),
        pytest.param({"resolution": "1080p"}, "resolution: allowed are 480p, 720p", id="resolution"),
        pytest.param({"seed": 1.5}, "seed: a whole number", id="seed"),
        pytest.param({"prompt": True}, "prompt: a text", id="prompt"),
        pytest.param({"webhook_url": "http://me/hook"}, "webhook_url: allowed", id="webhook"),
        pytest.param({"extra_form_state": {"a": float("inf")}}, "extra_form_state: a dict", id="extra"),
        pytest.param({"job_timeout": 0}, "job_timeout: a positive number", id="no time"),
        pytest.param({"job_timeout": "1800"}, "job_timeout: a positive number", id="time as text"),
        pytest.param({"job_timeout": 1e12}, "job_timeout: a positive number", id="for ever"),
        pytest.param({"job_timeout": timedelta.max}, "job_timeout: a positive number", id="for ever and a day"),
        pytest.param({"poll_interval": -1}, "poll_interval: a positive number", id="interval"),
    ],
)
def test_a_literal_that_cannot_be_sent_is_refused_while_the_dag_is_read(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(LipsyncBadInput, match=words):
        render(**changes)


def test_an_order_that_nobody_knows_is_refused_unless_it_comes_by_extra_fields() -> None:
    values = {"image": "https://h/i", "left_audio": "https://h/l", "right_audio": "https://h/r", "task_id": "talk"}
    with pytest.raises(LipsyncBadInput, match="order: allowed are"):
        LipsyncImageMultiOperator(order="both", **values)
    LipsyncImageMultiOperator(extra_form_state={"order": "both"}, **values)


@pytest.mark.parametrize(
    "changes",
    [
        {"audio": "{{ ti.xcom_pull(task_ids='speak') }}", "resolution": "{{ params.resolution }}", "seed": "{{ 1 }}"},
        {"extra_form_state": {"resolution": "4k"}, "resolution": "anything"},
        {"extra_form_state": "{{ params.extra }}", "resolution": "decided later"},
    ],
)
def test_what_is_decided_later_is_not_judged_now(changes: dict[str, Any]) -> None:
    render(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"audio": "{{ params.nothing }}"}, "audio: required is a public http", id="renders to nothing"),
        pytest.param({"resolution": "{{ '1080p' }}"}, "resolution: allowed are", id="renders to an unknown one"),
        pytest.param({"seed": "{{ 'abc' }}"}, "seed: a whole number", id="renders to a word"),
        pytest.param(
            {"audio": "{% raw %}https://h/{{ x }}{% endraw %}"}, "audio: the template was not", id="unrendered"
        ),
        pytest.param({"prompt": "{{ conn.lipsync_default.password }}"}, "API key stands in the request", id="the key"),
        pytest.param(
            {"seed": "{{ conn.lipsync_default.password }}"},
            "itself, in seed",
            id="the key as seed",
        ),
        pytest.param(
            {"audio": "{{ conn.lipsync_default.password }}"},
            "itself, in audio",
            id="the key as sound",
        ),
        pytest.param(
            {"resolution": "{{ conn.lipsync_default.password }}"},
            "itself, in resolution",
            id="as resolution",
        ),
        pytest.param({"extra_form_state": {"x": ["{{ conn.lipsync_default.password }}"]}}, "API key", id="as extra"),
        pytest.param({"webhook_url": "https://me/{{ conn.lipsync_default.password }}"}, "API key", id="as webhook"),
    ],
)
@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_a_rendered_value_is_checked_before_anything_is_sent(
    tell: Tell, changes: dict[str, Any], words: str, native: bool
) -> None:
    server = tell(accepted())
    with DAG("rendering", render_template_as_native_obj=native):
        task = render(**changes)
    context = new_context()
    task.render_template_fields({**context, "params": {"nothing": None}, "conn": _Connections()})
    with pytest.raises(LipsyncBadInput, match=words) as caught:
        task.execute(context)
    assert isinstance(caught.value, AirflowFailException)
    assert KEY not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    assert server.requests == []


class _Connections:
    class lipsync_default:
        password = KEY


def test_native_rendering_is_undone_where_it_has_one_meaning(tell: Tell) -> None:
    server = tell(accepted())
    with DAG("native", render_template_as_native_obj=True):
        task = render(prompt="{{ 123 }}", seed="{{ '42' }}", mask_image="{{ none }}", wait_for_completion=False)
    task.render_template_fields(new_context())
    task.execute(new_context())
    form_state = sent(server.requests[0])["formState"]
    assert (form_state["prompt"], form_state["seed"]) == ("123", 42)
    assert "mask_image" not in form_state


@pytest.mark.parametrize("operator", [LipsyncVideoOperator, LipsyncImageOperator, LipsyncImageMultiOperator])
def test_every_value_that_is_sent_is_templated(operator: Any) -> None:
    request = operator.request_class
    wanted = {
        *request.media_fields(),
        "resolution",
        "prompt",
        "seed",
        "extra_form_state",
        "webhook_url",
        "lipsync_conn_id",
        "resume_job_id",
        "output_path",
        "output_options",
        "labels",
        "max_credits",
    }
    wanted |= {"order"} if "order" in request.__dataclass_fields__ else set()
    assert set(operator.template_fields) == wanted
    assert isinstance(operator.template_fields, tuple)


def test_values_of_other_tasks_make_dependencies() -> None:
    with DAG("chain"):
        first = LipsyncImageOperator(task_id="first", image="https://h/i", audio="https://h/a")
        second = LipsyncImageOperator(task_id="second", image=XComArg(first), audio="https://h/a")
    assert second.upstream_task_ids == {"first"}


def test_a_connection_that_cannot_be_used_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", '{"conn_type": "lipsync", "host": "http://127.0.0.1:1"}')
    with pytest.raises(LipsyncMisconfigured, match="'lipsync_default': there is no API key") as caught:
        render().execute(new_context())
    assert isinstance(caught.value, AirflowException)
