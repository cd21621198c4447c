"""The command line: ``python -m demo``."""

from __future__ import annotations

import argparse
import fcntl
import io
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo.run import DAG_ID, DemoFailed, Result, Stage, make_video, set_stage
from demo.show import Show
from demo.video import speech_frames, write_png
from demo.webhook import Waking

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
# What a run leaves in its folder; of an earlier one it is removed.
LEFTOVERS = ("airflow", "sandbox.log", "result.json", "video.mp4", "frame.png", "duo.png")

INTRODUCTION = """\
From a text to a published video, in a real Airflow. Nothing leaves this
machine, and nothing is paid for: a sandbox stands in for the Lipsync API.
"""


class Stopped(BaseException):
    """A signal asked the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def main(arguments: list[str] | None = None) -> int:
    """Run the demo.

    :return: exit status: 0 only if there is a video that plays, with sound.
    """
    options = _build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no check mark
    folder: Path = options.dir.resolve()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        with _own(folder), Show() as show:
            _perform(folder, show, picture=options.picture, keep=options.keep, webhook=options.webhook)
    except Stopped as stopped:
        print("\nStopped; everything that was started is ended.", file=sys.stderr)
        return stopped.status
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in a line or two
        print(f"\nThe demo failed: {str(error).strip() or type(error).__name__}", file=sys.stderr)
        print(f"Logs: {folder}/sandbox.log, {folder}/airflow/logs-out/, {folder}/airflow/logs/", file=sys.stderr)
        return 1
    return 0


def _perform(folder: Path, show: Show, *, picture: Path | None, keep: bool, webhook: bool) -> None:
    show.say(INTRODUCTION)
    with set_stage(folder, show, webhook=webhook) as stage:
        result, waking = make_video(stage, folder, show)
        if picture is not None:
            write_png(speech_frames(folder / "video.mp4", (0.1, 0.7, 1.0)), picture)
        if keep:
            _summarize(result, waking if webhook else None, show)
            _stay(stage, show)
        show.now("stopping everything")
    if not keep:
        _summarize(result, waking if webhook else None, show)


def _summarize(result: Result, waking: Waking | None, show: Show) -> None:
    what = f"{result.seconds:.1f} s, {result.width}x{result.height}, {result.credits} credits of the sandbox"
    show.settle()
    show.say(f"""
Done in {show.seconds:.0f} s: a video with sound, {what}.

  watch it    {result.local_copy}
  published   {result.published}{f"{chr(10)}  woken by    {waking}" if waking else ""}

The DAG that made it: example_dags/{DAG_ID}.py
With your own key, and in your own Airflow: docs/quickstart.md{", docs/webhooks.md" if waking else ""}""")


def _stay(stage: Stage, show: Show) -> None:
    airflow = stage.airflow
    show.say(f"""
Airflow is up until ctrl-C: {airflow.url}/dags/{DAG_ID}
  user        {airflow.username}
  password    {airflow.password}
""")
    try:
        while True:
            signal.pause()
    except Stopped:
        show.say()


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Have the folder for oneself, cleared of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoFailed(f"another demo is running in {folder}; --dir takes another folder") from None
        for name in LEFTOVERS:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        yield


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """End the demo in order; a second signal must not end the ending."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=INTRODUCTION)
    parser.add_argument("--keep", action="store_true", help="leave Airflow's UI up until ctrl-C")
    parser.add_argument("--webhook", action="store_true", help="let the vendor tell Airflow of the finished job")
    parser.add_argument("--dir", type=Path, default=ROOT / ".demo", help="folder for all that is made (%(default)s)")
    parser.add_argument("--picture", type=Path, help="write three frames of the video to this PNG, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
