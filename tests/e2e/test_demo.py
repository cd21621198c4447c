"""The demo makes a video that plays, says so, and leaves no process behind, however it ends."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from demo.video import inspect_video

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).resolve().parents[2]


def test_it_publishes_a_video_with_sound(tmp_path):
    folder, picture = tmp_path / "demo", tmp_path / "docs" / "demo.png"
    folder.mkdir()
    (folder / "result.json").write_text("stale")
    with demo(folder, "--picture", str(picture)) as process:
        output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, output + errors
    assert not left_behind(folder)

    result = json.loads((folder / "result.json").read_text())
    keys = ["job_id", "published", "sha256", "local_copy", "seconds", "width", "height", "credits", "woken_by", "looks"]
    assert list(result) == keys
    assert result["woken_by"] == "polling"
    assert "woken by" not in output
    assert result["published"].startswith("s3://lipsync-media/weekly/")
    video = inspect_video(Path(result["local_copy"]))
    assert video.codecs == ("h264", "aac")
    assert (video.seconds, video.width, video.height) == (result["seconds"], result["width"], result["height"])
    assert result["credits"] >= 2 * video.seconds - 2
    assert (folder / "frame.png").read_bytes()[:4] == picture.read_bytes()[:4] == b"\x89PNG"
    assert result["sha256"] == hashlib.sha256(Path(result["local_copy"]).read_bytes()).hexdigest()
    told = (result["job_id"], result["published"], result["sha256"][:16], result["local_copy"], ".mp4.lipsync.json")
    for said in (*told, "worker slots held meanwhile: 0", "a worker stores the video"):
        assert said in output


@pytest.mark.full
def test_with_the_receiver_on_the_vendors_webhook_wakes_the_task(tmp_path):
    with demo(tmp_path, "--webhook") as process:
        output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, output + errors
    assert not left_behind(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["woken_by"] == "webhook"
    assert result["looks"] <= 3  # right after the submit, the receiver's own, and one when the task comes back
    for said in ("its webhook receiver on", "woken by    the vendor's webhook", "docs/webhooks.md"):
        assert said in output


@pytest.mark.full
@pytest.mark.parametrize(
    ("when", "number"),
    [
        pytest.param("starting Airflow", signal.SIGTERM, id="SIGTERM while Airflow starts"),
        pytest.param("renders", signal.SIGINT, id="ctrl-C while the job renders"),
    ],
)
def test_stopped_in_the_middle_it_leaves_nothing_behind(when, number, tmp_path):
    with demo(tmp_path) as process:
        said = next((line for line in process.stdout if when in line), None)
        assert said, process.stderr.read()
        assert left_behind(tmp_path)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert not left_behind(tmp_path)
    assert not (tmp_path / "result.json").exists()


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "demo", "--dir", str(folder), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def left_behind(folder: Path) -> list[str]:
    """Processes that have something to do with the folder: all that the demo starts have it as their home."""
    return [" ".join(process.cmdline()) for process in psutil.process_iter() if _knows(process, str(folder))]


def _knows(process: psutil.Process, folder: str) -> bool:
    try:
        environment = process.environ()
        return any(environment.get(name, "").startswith(folder) for name in ("HOME", "AIRFLOW_HOME"))
    except psutil.Error:
        return False
