"""The rendering process: JSON in, JSON out; it exits when its input closes, and so never outlives the sandbox."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from airflow_provider_lipsync.api.models import Resolution
from airflow_provider_lipsync.sandbox.render.plan import Plan, UnreadableMediaError

_NICENESS = 5  # the API must answer while every core renders


def main() -> None:
    """Do one piece of work."""
    work = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_exit_with_the_sandbox, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    try:
        answer = _do(work)
    except UnreadableMediaError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - the sandbox logs it
        answer = {"crash": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # not through the interpreter's end, which would wait for the thread that reads the pipe


def _do(work: dict[str, Any]) -> dict[str, Any]:
    match work["task"]:
        case "render":
            from airflow_provider_lipsync.sandbox.render.film import render

            return {"lengths": render(Plan.parse(work))}
        case "canned":
            from airflow_provider_lipsync.sandbox.render.samples import write_canned

            write_canned(Resolution(work["resolution"]), Path(work["output"]))
        case _:
            from airflow_provider_lipsync.sandbox.render.samples import write_sample

            write_sample(work["name"], Path(work["output"]))
    return {}


def _exit_with_the_sandbox() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
