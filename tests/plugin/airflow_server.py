"""A process with an Airflow home of its own that serves its API, and fills its database when asked, in JSON lines.

Its argument is the module that does what is asked for. Airflow reads its home when it is first imported, so a test
cannot give itself a fresh one.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import threading
from pathlib import Path

DAGS = Path(__file__).parent / "dags"


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # Airflow logs to stdout: that goes with stderr now
    os.dup2(2, 1)
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    os.environ["AIRFLOW__API__BASE_URL"] = url
    scene = importlib.import_module(sys.argv[1])
    scene.prepare(DAGS)
    _serve(listener)
    print(json.dumps(url), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(scene, request["call"])(**request["arguments"])
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # at once: nobody waits for what still streams


def _serve(listener: socket.socket) -> None:
    import uvicorn
    from airflow.api_fastapi.app import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(apps="core"), log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()


if __name__ == "__main__":
    main()
