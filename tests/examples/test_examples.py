"""Every example DAG is read without a word, runs on the sandbox, and leaves a video that plays where it says."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

import pytest

from demo.video import Video, inspect_video
from tests.examples.conftest import ROOT

pytestmark = pytest.mark.airflow

ALL_DAGS = {
    "dialogue": "dialogue.py",
    "dubbing": "dubbing.py",
    "submit_and_wait": "submit_and_wait.py",
    "submit_and_wait_many": "submit_and_wait.py",
    "weekly_video": "weekly_video.py",
}


class Run:
    """One run of an example: what became of its tasks, what it published, what it was charged."""

    def __init__(self, ended: dict[str, Any], published: dict[str, Video], charges: list[dict[str, Any]]) -> None:
        self.state: str = ended["state"]
        self.tasks: dict[str, str] = ended["tasks"]
        self.published = published
        self.charges = charges

    def states(self, task_id: str) -> Collection[str]:
        return [state for name, state in self.tasks.items() if name.partition("[")[0] == task_id]


@pytest.fixture
def run(examples, sandbox, storage, tmp_path):
    """Runs an example, and looks at its charges and at all the videos that it published."""

    def run(dag_id: str, **conf: Any) -> Run:
        before = set(storage.keys())
        sandbox.reset()
        ended = examples.run(dag_id, **conf)
        videos = [key for key in storage.keys() if key.endswith(".mp4") and key not in before]  # noqa: SIM118
        published = {}
        for number, key in enumerate(sorted(videos)):
            copy = tmp_path / f"{number}.mp4"
            copy.write_bytes(storage.read(key))
            published[_without_time(key)] = inspect_video(copy)
        assert not sandbox.refused()
        return Run(ended, published, sandbox.ledger())

    return run


def test_they_are_read_without_error_or_warning_and_load_nothing_heavy(examples):
    found = examples.describe()
    assert found["errors"] == {}
    assert found["warnings"] == {}
    assert found["loaded"] == []
    assert found["dags"] == ALL_DAGS


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


def test_in_dubbing_one_failed_language_leaves_the_others_published(run):
    texts = {"en": "One of us will fail.", "no-such-language": "It is me.", "fr": "Ce n'est pas moi."}
    ran = run("dubbing", texts=texts)
    assert ran.state == "failed"
    assert list(ran.published) == ["dubbing/TIME/en.mp4", "dubbing/TIME/fr.mp4"]
    assert sorted(ran.states("dub.speak")) == ["failed", "success", "success"]
    assert sorted(ran.states("dub.publish")) == ["success", "success", "upstream_failed"]
    assert [charge["endpoint"] for charge in ran.charges] == ["lipsync-video"] * 2


def test_in_dialogue_both_speak_one_after_the_other(run):
    ran = run("dialogue")
    assert ran.state == "success"
    [charge] = ran.charges
    form_state = charge["body"]["formState"]
    assert form_state["left_audio"] != form_state["right_audio"]
    assert (charge["endpoint"], form_state["order"]) == ("lipsync-image-multi", "left_right")
    assert list(ran.published) == ["dialogue/TIME.mp4"]


def test_submit_and_wait(run):
    ran = run("submit_and_wait")
    assert ran.state == "success"
    assert list(ran.published) == ["submit_and_wait/TIME/video.mp4"]
    assert len(ran.charges) == 1


def test_submit_and_wait_for_many(run):
    ran = run("submit_and_wait_many", texts=["One.", "Two.", "Three."])
    assert ran.state == "success"
    assert list(ran.published) == [f"submit_and_wait_many/TIME/{number}.mp4" for number in range(3)]
    assert len(ran.charges) == 3


def test_the_speech_of_a_voice_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "example_dags"))
    from local_speech import speak

    assert speak("Hello.", "en-us")[:4] == b"RIFF"
    with pytest.raises(ValueError, match="no voice 'xx'"):
        speak("Hello.", "xx")


def _without_time(key: str) -> str:
    """A file or a folder is named after the moment of the run."""
    return re.sub(r"\d{8}T\d{6}", "TIME", key)
