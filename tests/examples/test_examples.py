"""Every example DAG is read without a word, runs on the sandbox, and leaves a video that plays where it says."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX, Receipt
from demo.storage import BUCKET
from demo.video import Video, inspect_video
from tests.examples.conftest import ROOT, STAGING

pytestmark = pytest.mark.airflow

ALL_DAGS = {
    "approve": "approve.py",
    "canary": "canary.py",
    "dialogue": "dialogue.py",
    "dubbing": "dubbing.py",
    "greetings": "greetings.py",
    "submit_and_wait": "submit_and_wait.py",
    "submit_and_wait_many": "submit_and_wait.py",
    "weekly_video": "weekly_video.py",
}


class Run:
    """One run of an example: what became of its tasks, what it published, what it was charged.

    :ivar published: new videos, by key.
    :ivar receipts: of all of these, by the key of the video.
    :ivar sent: the paths of the media of each job, as the vendor was given them.
    """

    def __init__(self, ended: dict[str, Any], charges: list[dict[str, Any]]) -> None:
        self.state: str = ended["state"]
        self.tasks: dict[str, str] = ended["tasks"]
        self.events: list[dict[str, Any]] = ended["events"]
        self.charges = charges
        self.published: dict[str, Video] = {}
        self.receipts: dict[str, Receipt] = {}

    @property
    def sent(self) -> list[set[str]]:
        states = [charge["body"]["formState"] for charge in self.charges]
        media = [[url for url in state.values() if str(url).startswith("http")] for state in states]
        return [{_without_time(urlsplit(url).path.removeprefix(f"/{BUCKET}/")) for url in urls} for urls in media]

    def states(self, task_id: str) -> Collection[str]:
        return [state for name, state in self.tasks.items() if name.partition("[")[0] == task_id]


@pytest.fixture
def run(examples, sandbox, storage, tmp_path):
    """Runs an example, and looks at its charges, at all the videos that it published, and at their receipts."""

    def run(dag_id: str, **conf: Any) -> Run:
        before = set(storage.keys())
        sandbox.reset()
        ran = Run(examples.run(dag_id, **conf), sandbox.ledger())
        keys = set(storage.keys())
        for number, key in enumerate(sorted(key for key in keys - before if key.endswith(".mp4"))):
            copy = tmp_path / f"{number}.mp4"
            copy.write_bytes(storage.read(key))
            ran.published[_without_time(key)] = inspect_video(copy)
            ran.receipts[_without_time(key)] = receipt = Receipt.from_bytes(storage.read(key + RECEIPT_SUFFIX))
            assert receipt.sha256 == hashlib.sha256(copy.read_bytes()).hexdigest()
        assert not [key for key in keys if key.startswith(f"{STAGING}/")]
        assert not sandbox.refused()
        assert {receipt.job_id for receipt in ran.receipts.values()} == {charge["job_id"] for charge in ran.charges}
        return ran

    return run


def test_they_are_read_without_error_or_warning_and_load_nothing_heavy(examples):
    found = examples.describe()
    assert found["errors"] == {}
    assert found["warnings"] == {}
    assert found["loaded"] == []
    assert found["dags"] == ALL_DAGS


def test_unpausing_one_buys_nothing_at_once_on_whatever_day(examples):
    first_runs = examples.describe()["first_runs"]
    assert set(first_runs) == set(ALL_DAGS)
    assert first_runs["weekly_video"]
    assert first_runs["canary"]
    late = [(dag_id, now, due) for dag_id, found in first_runs.items() for now, due in found if due < now]
    assert not late


def test_in_approve_a_rejection_leads_to_another_video_twice_and_then_to_the_end(examples):
    """Who decides, in a real Airflow: tests/e2e/test_pages.py."""
    assert examples.describe()["choices"]["approve"] == {
        "approve_1": {"Publish": "publish_1", "Reject": "render_2"},
        "approve_2": {"Publish": "publish_2", "Reject": "render_3"},
        "approve_3": {"Publish": "publish_3", "Reject": "give_up"},
    }


def test_every_file_defines_a_dag_that_is_tested_here():
    files = {path.name for path in (ROOT / "example_dags").glob("*.py")}
    assert files - {"local_speech.py"} == set(ALL_DAGS.values())
    assert (ROOT / "example_dags" / ".airflowignore").read_text().split() == ["local_speech.py"]


def test_weekly_video(run):
    ran = run(
        "weekly_video", text="This text was given when the run was started, and it is a little longer than the other."
    )
    assert ran.state == "success"
    [charge] = ran.charges
    assert (charge["endpoint"], charge["status"]) == ("lipsync-image", "completed")
    [(place, video)] = ran.published.items()
    assert place == "weekly/TIME.mp4"
    assert video.codecs == ("h264", "aac")
    assert video.height == 480
    assert charge["seconds_charged"] == max(5, math.ceil(video.seconds - 0.1))
    assert ran.sent == [{"portrait.png", "weekly/TIME.wav"}]
    [event] = ran.events
    receipt = ran.receipts[place]
    assert (event["job_id"], event["sha256"], event["size"]) == (receipt.job_id, receipt.sha256, receipt.size)
    assert _without_time(event["output_uri"]) == f"s3://{BUCKET}/{place}"


@pytest.mark.full
def test_in_dubbing_one_failed_language_leaves_the_others_published(run):
    texts = {"en": "One of us will fail.", "no-such-language": "It is me.", "fr": "Ce n'est pas moi."}
    ran = run("dubbing", texts=texts)
    assert ran.state == "failed"
    assert list(ran.published) == ["dubbing/TIME/en.mp4", "dubbing/TIME/fr.mp4"]
    assert sorted(ran.states("dub.speak")) == ["failed", "success", "success"]
    assert sorted(ran.states("dub.render")) == ["success", "success", "upstream_failed"]
    assert [charge["endpoint"] for charge in ran.charges] == ["lipsync-video"] * 2
    assert all("clip.mp4" in media for media in ran.sent)


def test_in_dialogue_both_speak_one_after_the_other_and_the_picture_comes_from_a_disk(run):
    ran = run("dialogue")
    assert ran.state == "success"
    [charge] = ran.charges
    form_state = charge["body"]["formState"]
    assert form_state["left_audio"] != form_state["right_audio"]
    assert (charge["endpoint"], form_state["order"]) == ("lipsync-image-multi", "left_right")
    assert list(ran.published) == ["dialogue/TIME.mp4"]
    assert [url.startswith(f"{STAGING}/dialogue/") for url in sorted(ran.sent[0])] == [False, False, True]


@pytest.mark.full
def test_greetings_are_bought_once_for_each_name_whatever_run_asks(run):
    def names(published: Collection[str]) -> list[str]:
        return sorted(re.fullmatch(r"greetings/(\w+)-\w{8}\.mp4", key)[1] for key in published)

    first = run("greetings", names=["Ada"])
    assert first.state == "success"
    assert (names(first.published), len(first.charges)) == (["Ada"], 1)
    longer = run("greetings", names=["Grace", "Ada"])
    assert longer.state == "success"
    assert (names(longer.published), len(longer.charges)) == (["Grace"], 1)
    again = run("greetings", names=["Grace", "Ada"])
    assert again.states("render") == ["success"] * 2
    assert (again.published, again.charges) == ({}, [])


def test_submit_and_wait(run):
    ran = run("submit_and_wait")
    assert ran.state == "success"
    assert list(ran.published) == ["submit_and_wait/TIME/video.mp4"]
    assert len(ran.charges) == 1


@pytest.mark.full
def test_submit_and_wait_for_many(run):
    ran = run("submit_and_wait_many", texts=["One.", "Two.", "Three."])
    assert ran.state == "success"
    assert list(ran.published) == [f"submit_and_wait_many/TIME/{number}.mp4" for number in range(3)]
    assert len(ran.charges) == 3


def test_the_canary_spends_nothing_unless_it_is_told_to(run):
    ran = run("canary")
    assert ran.state == "success"
    assert ran.states("connection") == ["success"]
    assert (ran.states("on_the_sandbox"), ran.states("for_real")) == (["success"], ["skipped"])
    assert [key.rpartition("/")[2] for key in ran.published] == ["sandbox.mp4"]


@pytest.mark.full
def test_the_canary_buys_one_job_of_five_seconds_if_it_is_told_to(run):
    ran = run("canary", spend_credits=True)
    assert ran.state == "success"
    assert sorted(key.rpartition("/")[2] for key in ran.published) == ["real.mp4", "sandbox.mp4"]
    assert [charge["credits_charged"] for charge in ran.charges] == [10, 10]
    assert {receipt.credits_estimated for receipt in ran.receipts.values()} == {10}


def test_the_speech_of_a_voice_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "example_dags"))
    from local_speech import speak

    assert speak("Hello.", "en-us")[:4] == b"RIFF"
    with pytest.raises(ValueError, match="no voice 'xx'"):
        speak("Hello.", "xx")


def _without_time(key: str) -> str:
    """A file or a folder is named after the moment of the run."""
    return re.sub(r"\d{8}T\d{6}", "TIME", key)
