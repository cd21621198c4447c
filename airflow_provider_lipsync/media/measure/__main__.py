"""The process that decodes one medium: its kind in a line, then its bytes; out comes a line of JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from airflow_provider_lipsync.media.kinds import Kind
from airflow_provider_lipsync.media.measure.words import UnknownLengthError

_MEMORY = 2 * 1024**3  # bytes of address space, libraries and stacks among them: media of 4 MB need little
_NICENESS = 5


def main() -> None:
    """Measure what comes in."""
    for limit, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, int(sys.argv[1])),
        (resource.RLIMIT_CORE, 0),
    ):
        _limit(limit, most)
    os.nice(_NICENESS)
    kind = Kind(sys.stdin.buffer.readline().decode().strip())
    sys.stdout.write(json.dumps(_answer(sys.stdin.buffer.read(), kind)) + "\n")
    sys.stdout.flush()


def _answer(content: bytes, kind: Kind) -> dict[str, Any]:
    try:
        from airflow_provider_lipsync.media.measure.library import decoded_seconds
    except ImportError as error:
        return {"why": f"PyAV cannot be loaded ({error})"[:300]}
    try:
        return {"seconds": decoded_seconds(content, kind)}
    except UnknownLengthError as unknown:
        return {"why": str(unknown)}


def _limit(limit: int, most: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main()
