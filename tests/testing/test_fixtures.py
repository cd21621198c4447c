"""The fixtures for users' own DAG tests, used as a user does: in a project of its own, by a pytest of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest

from airflow_provider_lipsync.testing.sandbox import TestSandbox
from tests.docs.test_docs import ROOT

DAG = """
    import pendulum
    from airflow.sdk import dag, task

    from airflow_provider_lipsync import LipsyncImageOperator


    @dag(schedule=None, start_date=pendulum.datetime(2026, 1, 5, tz="UTC"), params={"client": "acme"})
    def weekly():
        render = LipsyncImageOperator(
            task_id="render",
            image="https://example.com/face.png",
            audio="https://example.com/speech-{{ ds }}.mp3",
            labels={"client": "{{ params.client }}"},
            retries=1,
        )
        shout = task(lambda result: result["status"].upper(), task_id="shout")
        shout(render.output)


    weekly()
"""

# Three lines and no network; and what else a user would want to see.
TESTS = """
    import pytest


    def test_weekly(lipsync_sandbox, lipsync_run):
        run = lipsync_run("weekly.py")
        lipsync_sandbox.assert_charged(10)
        assert run.state == "success"
        assert run.deferred == []  # done at once, so it ended before the deferral
        assert run.results["shout"] == "COMPLETED"


    def test_params(lipsync_sandbox, lipsync_run):
        run = lipsync_run("weekly.py", "weekly", conf={"client": "globex"})
        assert run.results["render"]["labels"] == {"client": "globex"}


    @pytest.mark.lipsync(job_seconds=(1, 1))
    def test_a_job_that_takes_time_is_deferred(lipsync_sandbox, lipsync_run):
        run = lipsync_run("weekly.py")
        assert (run.state, run.deferred) == ("success", ["render"])
        assert run.results["render"]["labels"] == {"client": "acme"}


    @pytest.mark.lipsync(faults=[{"fault": "status", "status": 402}])
    def test_no_credits(lipsync_sandbox, lipsync_run):
        run = lipsync_run("weekly.py")
        assert run.tasks == {"render": "failed", "shout": "upstream_failed"}
        assert run.errors["render"].startswith("LipsyncNoCredits: job none")
        lipsync_sandbox.assert_nothing_submitted()


    # Airflow 3.1 and 3.2 remember nothing by themselves.
    @pytest.mark.lipsync(faults=[{"fault": "fails", "times": 1}], extra={"ledger_path": "file://LEDGER"})
    def test_a_retry_comes_at_once(lipsync_sandbox, lipsync_run):
        run = lipsync_run("weekly.py")
        assert (run.state, list(run.errors)) == ("success", ["render"])
        lipsync_sandbox.assert_submitted(2)


    def test_the_day(lipsync_sandbox, lipsync_run):
        for _ in range(2):
            assert lipsync_run("weekly.py", logical_date="2026-01-05").state == "success"
        lipsync_sandbox.assert_submitted(2, audio="https://example.com/speech-2026-01-05.mp3")


    def test_nobody_outside_of_this_machine_is_asked(lipsync_sandbox, lipsync_run):
        run = lipsync_run("weekly.py")
        assert run.results["render"]["credits_estimated"] is None
        log = run.log.read_text()
        assert "speech-" in log and "is elsewhere, and this test's sandbox fetches no media" in log
        assert "Name or service not known" not in log


    def test_a_file_that_is_no_dag(lipsync_sandbox, lipsync_run, tmp_path):
        broken = tmp_path / "broken.py"
        broken.write_text("from airflow.sdk import DAG\\nraise ValueError('not today')")
        with pytest.raises(AssertionError, match="not today"):
            lipsync_run(broken)


    def test_a_dag_that_is_not_there(lipsync_sandbox, lipsync_run):
        with pytest.raises(AssertionError, match="say which of its DAGs is to run: weekly"):
            lipsync_run("weekly.py", "daily")
"""


# Files of the user's own, canned and rendered, with a limit.
LOCAL_DAG = """
    from airflow.sdk import dag

    from airflow_provider_lipsync import LipsyncImageOperator


    @dag(schedule=None, params={"folder": ""})
    def local():
        LipsyncImageOperator(
            task_id="render",
            image="{{ params.folder }}/face.png",
            audio="{{ params.folder }}/speech.wav",
            output_path="file://{{ params.folder }}/video.mp4",
            max_credits=12,
        )


    local()
"""
LOCAL_TESTS = """
    from urllib.request import urlopen

    import pytest


    @pytest.fixture
    def folder(lipsync_sandbox, tmp_path):
        for name, sample in (("face.png", "portrait.png"), ("speech.wav", "voice.wav")):
            (tmp_path / name).write_bytes(urlopen(lipsync_sandbox.sample(sample)).read())
        return tmp_path


    @pytest.mark.lipsync(extra={"ledger_path": "file://LEDGER"})  # dag.test() carries nothing on
    @pytest.mark.parametrize("credits", [
        pytest.param(10, id="canned"),
        pytest.param(12, id="rendered", marks=pytest.mark.lipsync(rendering=True, job_seconds=(0, 0))),
    ])
    def test_files_of_this_machine(lipsync_sandbox, lipsync_run, folder, credits):
        run = lipsync_run("local.py", conf={"folder": str(folder)})
        assert run.state == "success"
        assert run.results["render"]["credits_estimated"] == 12  # the speech has 6 s
        assert (folder / "video.mp4").stat().st_size == run.results["render"]["size"]
        lipsync_sandbox.assert_charged(credits)


    def test_that_fails(lipsync_sandbox, lipsync_run, tmp_path):
        assert lipsync_run("local.py", conf={"folder": str(tmp_path)}).state == "success"
"""


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a user's pytest, which knows nothing of ours but the entry point."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    environment["HOME"] = str(folder / "home")  # whoever reads or writes the user's Airflow would do it there
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "weekly.py").write_text(dedent(DAG))
    return tmp_path


@pytest.mark.airflow
def test_a_users_dag_test_takes_three_lines_and_touches_no_airflow_of_theirs(project: Path) -> None:
    (project / "ledger").mkdir()
    (project / "test_weekly.py").write_text(dedent(TESTS).replace("LEDGER", str(project / "ledger")))
    done = run_pytest(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout
    assert not (project / "home" / "airflow").exists()


@pytest.mark.airflow
@pytest.mark.full
def test_files_of_the_users_own_are_staged_and_a_run_that_failed_says_why(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "local.py").write_text(dedent(LOCAL_DAG))
    (tmp_path / "test_local.py").write_text(dedent(LOCAL_TESTS).replace("LEDGER", str(tmp_path / "ledger")))
    done = run_pytest(tmp_path)
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    shown = done.stdout.split("Captured stdout call")[1]
    assert "render: failed. LipsyncBadInput: job none · charged: no" in shown
    assert "/face.png" in shown
    assert "The run is failed; all that was logged: " in shown


@pytest.mark.airflow
@pytest.mark.full
def test_the_recipe_for_private_media_works_as_it_stands(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    conftest, test = re.findall(r"^```python\n(.*?)^```$", page.split("## Your media")[1], re.MULTILINE | re.DOTALL)
    [render] = re.findall(
        r"^```python\n(render = .*?)^```$", (ROOT / "docs" / "media.md").read_text(), re.MULTILINE | re.DOTALL
    )
    head = "from airflow.sdk import DAG\nfrom airflow_provider_lipsync import LipsyncImageOperator\n"
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "daily.py").write_text(
        f"{head}\nwith DAG('daily', schedule='@daily'):\n{indent(render, '    ')}"
    )
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_daily.py").write_text(test)
    done = run_pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_loads_the_fixtures_by_itself_and_nothing_heavy_with_them(project: Path) -> None:
    (project / "test_nothing.py").write_text(
        dedent("""
        import sys

        def test_nothing(pytestconfig):
            assert pytestconfig.pluginmanager.hasplugin("lipsync")
            heavy = {"airflow", "httpx", "av", "numpy", "starlette", "uvicorn", "pendulum", "sqlalchemy"}
            assert not heavy & set(sys.modules)
        """)
    )
    done = run_pytest(project, "-p", "no:anyio", "-p", "no:hypothesispytest")
    assert done.returncode == 0, done.stdout


def test_its_connection_is_set_and_gone_again(lipsync_sandbox: TestSandbox) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_LIPSYNC_DEFAULT"])
    assert connection["host"] == f"{lipsync_sandbox.url}/api/v1"
    assert lipsync_sandbox.conn_id == "lipsync_default"


@pytest.mark.lipsync(conn_id="lipsync_other", extra={"max_credits_per_job": 10})
def test_another_connection_with_extras(lipsync_sandbox: TestSandbox) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_LIPSYNC_OTHER"])
    assert connection["extra"]["max_credits_per_job"] == 10
    assert "AIRFLOW_CONN_LIPSYNC_DEFAULT" not in os.environ


def buy(sandbox: TestSandbox, **form_state: object) -> None:
    from airflow_provider_lipsync import LipsyncClient
    from airflow_provider_lipsync.api.models import ImageRequest

    with LipsyncClient(sandbox.server.key, base_url=sandbox.server.base_url) as client:
        media = {"image": sandbox.sample("portrait.png"), "audio": sandbox.sample("voice.wav")}
        client.submit(ImageRequest(**media, **form_state))


def test_what_was_submitted_is_asserted_in_a_line(lipsync_sandbox: TestSandbox) -> None:
    lipsync_sandbox.assert_nothing_submitted()
    buy(lipsync_sandbox, seed=7)
    buy(lipsync_sandbox, seed=8)
    lipsync_sandbox.assert_submitted(2, endpoint="lipsync-image")
    lipsync_sandbox.assert_submitted(1, seed=7)
    lipsync_sandbox.assert_submitted(0, endpoint="lipsync-video")
    lipsync_sandbox.assert_charged(20)


def test_an_assertion_that_fails_shows_what_was_submitted(lipsync_sandbox: TestSandbox) -> None:
    buy(lipsync_sandbox, seed=7)
    with pytest.raises(AssertionError, match=r"(?s)expected 1 submit.*seed': 8.*found 0.*lipsync-image.*'seed': 7"):
        lipsync_sandbox.assert_submitted(1, seed=8)
    with pytest.raises(AssertionError, match="expected no submit"):
        lipsync_sandbox.assert_nothing_submitted()
    with pytest.raises(AssertionError, match="expected 20 credits, 10 were charged"):
        lipsync_sandbox.assert_charged(20)


@pytest.mark.lipsync(rendering=True, speed=1000)
def test_with_rendering_the_media_are_fetched_and_measured(lipsync_sandbox: TestSandbox) -> None:
    buy(lipsync_sandbox)
    (submit,) = lipsync_sandbox.submits
    lipsync_sandbox.finish(submit["job_id"])
    lipsync_sandbox.assert_charged(12)  # the sample has 6 s


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("airflow_provider_lipsync.sandbox.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"airflow-provider-lipsync\[sandbox\]"):
        request.getfixturevalue("lipsync_sandbox")
