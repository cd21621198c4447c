"""Sandboxes, each on a free port, and plain HTTP servers for the media and the webhooks."""

from __future__ import annotations

import functools
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lipsync.sandbox import SandboxServer
from tests.sandbox.support import Caller


@pytest.fixture(scope="session")
def _canned() -> Iterator[SandboxServer]:
    with SandboxServer(canned=True, keys=("sk_first_key", "sk_second_key")) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _rendering() -> Iterator[SandboxServer]:
    with SandboxServer(job_seconds=(0, 0)) as sandbox:
        yield sandbox


@pytest.fixture
def canned(_canned: SandboxServer) -> Iterator[Caller]:
    """A canned sandbox with an empty ledger."""
    _canned.reset()
    caller = Caller(_canned)
    yield caller
    caller.http.close()


@pytest.fixture
def rendering(_rendering: SandboxServer) -> Iterator[Caller]:
    """A sandbox that renders, its jobs as quick as the rendering."""
    caller = Caller(_rendering)
    yield caller
    caller.http.close()


class Media:
    """A folder, and the URL that it is served under."""

    def __init__(self, folder: Path, root: str) -> None:
        self.folder = folder
        self.root = root

    def url(self, path: Path | str) -> str:
        return f"{self.root}/{Path(path).name}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Media]:
    folder = tmp_path_factory.mktemp("media")
    with _serve(functools.partial(_Quiet, directory=str(folder))) as root:
        yield Media(folder, root)


class Receiver:
    """A webhook's receiver: what it got, and what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.answer = 200
        self.got: queue.Queue[tuple[str, dict[str, str], Any]] = queue.Queue()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(found.answer)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            found.got.put((self.path, headers, json.loads(body)))

        def log_message(self, *_: Any) -> None:
            pass

    with _serve(Handler) as root:
        found.url = root
        yield found


@contextmanager
def _serve(handler: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
