"""What the pages are told of tasks and runs: out of a real database, by Airflow's own rules of who comes first."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.plugin.conftest import Server, Task, new_run, new_task
from tests.plugin.facts_support import JOB, OTHER_JOB, VENDORS, card, record, result, stored
from tests.runner.plugin import DATABASES


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """On each kind of database: they keep JSON in different ways."""
    return servers(request.param)


@pytest.fixture(scope="module", autouse=True)
def said_before(server: Server) -> str:
    """What other tests, which share the server, made it say."""
    return server.log()


def view(client: httpx.Client, task: Task) -> dict[str, Any]:
    answer = client.get("api/task", params=task.key)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def views(client: httpx.Client, run_id: str, dag_id: str = "show") -> dict[str, Any]:
    answer = client.get("api/run", params={"dag_id": dag_id, "run_id": run_id})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_job_that_renders_is_shown_from_its_card(server: Server, ann: httpx.Client) -> None:
    now = time.time()
    task = new_task(server).set(state="deferred", try_number=1)
    task.push("lipsync_job", card(submitted_at=now - 42, deadline=now + 1758)).push("job_id", JOB)
    found = view(ann, task)
    assert (found["state"], found["is_live"], found["task_state"], found["try_number"]) == (
        "rendering",
        True,
        "deferred",
        1,
    )
    assert re.fullmatch(r"Rendering for \d\d s", found["headline"])
    assert int(found["headline"].split()[2]) >= 42
    assert found["job_id"] == JOB
    assert found["labels"] == {"client": "acme"}
    assert found["inputs"] == [
        {"name": "image", "shown": "s3://bucket/a.png"},
        {"name": "audio", "shown": "https://host/a.mp3"},
    ]
    assert (found["seconds"], found["credits_estimated"], found["seed"], found["conn_id"]) == (
        12.3,
        26,
        7,
        "lipsync_default",
    )


def test_a_finished_job_is_shown_with_its_video(server: Server, ann: httpx.Client) -> None:
    task = new_task(server).set(state="success", try_number=1)
    task.push("lipsync_job", card()).push("return_value", result())
    found = view(ann, task)
    assert (found["state"], found["is_live"]) == ("completed", False)
    assert found["video"]["src"] == VENDORS


def test_what_the_ledger_knows_is_shown(server: Server, ann: httpx.Client) -> None:
    task = new_task(server).set(state="failed", try_number=2)
    if not task.remember(record(note="why")):
        assert view(ann, task)["ledger"] is None
        assert "no ledger" in " ".join(view(ann, task)["sources"])
        return
    found = view(ann, task)
    assert found["state"] == "undelivered"
    assert found["ledger"]["note"] == "why"
    assert f'resume_job_id="{JOB}"' in found["next_step"]


def test_a_record_that_is_a_mere_reference_says_so(server: Server, ann: httpx.Client) -> None:
    task = new_task(server).set(state="failed")
    if task.remember("s3://bucket/states/1"):
        found = view(ann, task)
        assert found["state"] == "uncertain"
        assert "a reference" in found["error"]


def test_each_kind_of_task_of_ours_is_known(server: Server, ann: httpx.Client) -> None:
    run = new_run(server)
    for task_id in ("render", "render_video", "render_two", "wait", "keep"):
        assert view(ann, Task(server, "show", run, task_id))["is_lipsync"], task_id


def test_a_task_that_is_not_ours_has_nothing_whatever_it_pushed(server: Server, ann: httpx.Client) -> None:
    task = new_task(server, "plain").set(state="success")
    task.push("return_value", stored()).push("job_id", JOB)
    found = view(ann, task)
    assert (found["is_lipsync"], found["state"], found["video"], found["job_id"]) == (False, "nothing", None, None)


def test_an_operator_of_ones_own_is_known_by_its_card(server: Server, ann: httpx.Client) -> None:
    task = new_task(server, "greet").set(state="success")
    assert not view(ann, task)["is_lipsync"]
    task.push("lipsync_job", card()).push("return_value", result())
    assert view(ann, task)["state"] == "completed"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("just a text", id="a text"),
        pytest.param([1, 2, 3], id="a list"),
        pytest.param({"job_id": {"a": 1}}, id="an id that is none"),
        pytest.param(
            {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1]}, id="something of Airflow's"
        ),
        pytest.param({"job_id": JOB, "filler": "x" * 200_000}, id="far too large"),
        pytest.param(10**400, id="a number without end"),
    ],
)
def test_odd_values_are_passed_over(server: Server, ann: httpx.Client, value: Any) -> None:
    task = new_task(server).set(state="success")
    for key in ("lipsync_job", "return_value", "job_id"):
        task.push(key, value)
    assert view(ann, task)["job_id"] is None


def test_a_value_that_came_as_a_text_of_json_is_read(server: Server, ann: httpx.Client) -> None:
    """As an Airflow 3.3 leaves it that was asked to push from a trigger's event."""
    import json

    task = new_task(server).set(state="success").push("return_value", json.dumps(result()))
    assert view(ann, task)["video"]["src"] == VENDORS


def test_nothing_that_was_pushed_comes_out_as_html(server: Server, ann: httpx.Client) -> None:
    script = "</script><img src=x onerror=alert(1)>"
    task = new_task(server).set(state="deferred")
    task.push("lipsync_job", card(labels={script: script}, inputs={"image": script}, endpoint=script))
    answer = ann.get("api/task", params=task.key)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["endpoint"] == script  # as text: the pages write it as text


def test_a_run_shows_all_of_ours_and_the_sum(server: Server, ann: httpx.Client) -> None:
    run = new_run(server)
    Task(server, "show", run, "render").set(state="success").push("lipsync_job", card()).push("return_value", result())
    Task(server, "show", run, "wait").set(state="success").push("return_value", result())
    unknown = card(job_id=OTHER_JOB, credits_estimated=None)
    Task(server, "show", run, "greet").set(state="deferred").push("lipsync_job", unknown)
    found = views(ann, run)
    assert {one["task_id"] for one in found["views"]} == {
        *("render", "render_video", "render_two", "wait", "keep", "greet", "dub")
    }
    assert found["credits"] == {"known": 26, "unknown_jobs": 1}
    assert found["is_live"]


def test_an_operator_of_ones_own_that_only_the_ledger_knows_is_in_its_run(server: Server, ann: httpx.Client) -> None:
    task = new_task(server, "greet").set(state="running")
    if task.remember(record()):
        assert "greet" in {one["task_id"] for one in views(ann, task.key["run_id"])["views"]}


def test_mapped_instances_have_each_their_own(server: Server, ann: httpx.Client) -> None:
    run = new_run(server)
    for index in range(3):
        job_id = JOB[:-1] + str(index)
        task = Task(server, "show", run, "dub", index).set(state="deferred")
        task.push("lipsync_job", card(job_id=job_id, credits_estimated=index))
    found = {one["map_index"]: one for one in views(ann, run)["views"] if one["task_id"] == "dub"}
    assert len(found) == 50
    assert [found[index]["credits_estimated"] for index in range(4)] == [0, 1, 2, None]
    assert [view(ann, Task(server, "show", run, "dub", index))["job_id"][-1] for index in range(3)] == ["0", "1", "2"]


def test_a_run_of_another_dag_is_another_run(server: Server, ann: httpx.Client) -> None:
    run = new_run(server)
    server.call("run", dag_id="other", run_id=run)
    Task(server, "show", run, "render").push("lipsync_job", card())
    assert views(ann, run, "other")["credits"] == {"known": 0, "unknown_jobs": 0}


def test_a_run_that_is_not_there_is_not_found(ann: httpx.Client) -> None:
    answer = ann.get("api/run", params={"dag_id": "show", "run_id": "nosuch"})
    assert (answer.status_code, answer.json()) == (404, {"detail": "There is no such run."})


@pytest.mark.parametrize("path", ["player", "run", "api/task", "api/run", "video", "poster"])
def test_an_id_with_a_zero_byte_is_refused_in_a_sentence(server: Server, ann: httpx.Client, path: str) -> None:
    key = new_task(server).key
    for name in ("dag_id", "run_id", "task_id") if path not in ("run", "api/run") else ("dag_id", "run_id"):
        for odd in ("\0", "a\0b", " \0"):
            answer = ann.get(path, params={**key, name: odd})
            assert (answer.status_code, answer.json()) == (422, {"detail": f"{name}: no id has a zero byte in it."})


def test_the_secrets_of_a_connection_stay_out(server: Server, ann: httpx.Client) -> None:
    task = new_task(server).set(state="success").push("lipsync_job", card(conn_id="aws_mine"))
    task.push("return_value", stored("s3://aws_mine@lipsync-media/nosuch.mp4"))
    for path in ("api/task", "video", "poster"):
        assert "testing" not in ann.get(path, params=task.key).text  # the key of that connection


def test_the_server_says_no_word_of_trouble(said_before: str, server: Server) -> None:
    assert "Traceback" not in server.log().removeprefix(said_before)
