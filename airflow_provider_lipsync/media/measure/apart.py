"""Decoding in a process of its own: one that crashes, hangs or takes all memory ends alone, and the task goes on."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

from airflow_provider_lipsync.media.kinds import Kind
from airflow_provider_lipsync.media.measure.words import UnknownLengthError

__all__ = ["is_installed", "seconds_apart"]

# Nothing else of the worker's environment is any business of a decoder's: connections stand in it.
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "TMPDIR", "HOME")


def is_installed() -> bool:
    """Whether PyAV is there; it is not loaded here."""
    try:
        return importlib.util.find_spec("av") is not None
    except ValueError:  # an entry of sys.modules that is no module
        return False


def seconds_apart(content: bytes, kind: Kind, limit: float) -> float:
    """Return the length of a medium whose bytes are all here.

    :param limit: seconds that it may take.
    :raises UnknownLengthError: it has no such stream, cannot be read, takes too long, or breaks the decoder.
    """
    command = [sys.executable, "-P", "-m", "airflow_provider_lipsync.media.measure", str(max(1, round(limit)))]
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(  # noqa: S603 - the same Python, and no word of the medium's
            command,
            input=kind.value.encode() + b"\n" + content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnknownLengthError(f"decoding it takes longer than {limit:g} s") from None
    except OSError as error:
        raise UnknownLengthError(f"no process can be started that decodes it ({error.strerror})") from None
    return _understood(done.stdout, done.returncode)


def _understood(line: bytes, status: int) -> float:
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        raise UnknownLengthError(f"it breaks the decoder (whose process ended with {status})") from None
    if "seconds" not in answer:
        raise UnknownLengthError(str(answer.get("why")))
    return float(answer["seconds"])
