"""An API server in small: it serves the pages as the plugin does, below a path of its own, and says what a test wants.

Each request is kept, so that a test can ask what a page loaded, and from where.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import airflow_provider_lipsync

__all__ = ["CSP", "JOB_ID", "NOW", "PREFIX", "Answer", "Stand", "stand", "view"]

PAGES = Path(airflow_provider_lipsync.__file__).parent / "plugin" / "pages"
PREFIX = "/airflow"  # Airflow may stand below a path: nothing may rely on the root
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' https: http:; "
    "connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
JOB_ID = "550e8400-e29b-41d4-a716-446655440000"
NOW = time.time()

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SANDBOX = "allow-scripts allow-same-origin allow-forms allow-downloads"  # what Airflow 3.3 gives its frames
_FRAME = f"""<!doctype html><html class="%s"><title>Airflow</title><link rel="icon" href="lipsync/assets/icon.svg">
<iframe sandbox="{_SANDBOX}" src="%s"></iframe></html>"""

Answer = tuple[int, Any]  # a status, and what is made JSON


def view(state: str = "stored", **changes: Any) -> dict[str, Any]:
    """Return what the plugin tells of a task: all keys, as they are in this state."""
    who = {
        "dag_id": "spring_campaign",
        "run_id": "manual__2026-11-23T12:00:00+00:00",
        "task_id": "render",
        "map_index": -1,
    }
    who |= {name: changes.pop(name) for name in who if name in changes}
    address = urlencode(who)
    has_video = state in ("completed", "stored")
    whole: dict[str, Any] = {
        **who,
        "is_lipsync": True,
        "task_state": "success" if has_video else "failed",
        "try_number": 1,
        "state": state,
        "is_live": state in ("rendering", "waiting"),
        "headline": {"stored": "Stored", "completed": "Completed; the video is at the vendor"}.get(
            state, f"It is {state}"
        ),
        "next_step": "",
        "error": "",
        "job_id": JOB_ID,
        "endpoint": "lipsync-image",
        "resolution": "480p",
        "seconds": 13,
        "credits_estimated": 26,
        "labels": {"client": "acme", "cost centre": "4711"},
        "inputs": [
            {"name": "image", "shown": "s3://media/portraits/anna.png"},
            {"name": "audio", "shown": "https://cdn.example/voices/spring.mp3"},
        ],
        "seed": 7,
        "conn_id": "lipsync_default",
        "submitted_at": NOW - 300,
        "deadline": NOW + 1500,
        "execution_time": 42_345 if has_video else None,
        "output_path": "s3://media/spring/render.mp4" if state == "stored" else None,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" if state == "stored" else None,
        "size": 3_412_345 if state == "stored" else None,
        "video": {"src": f"video?{address}", "where": "stored", "fallback": None} if has_video else None,
        "poster": f"poster?{address}" if has_video else None,
        "ledger": {"state": "delivered", "submitted_at": NOW - 300, "job_id": JOB_ID, "note": "", "credits": 26},
        "sources": [
            "XCom lipsync_job: what was bought",
            "XCom return_value: the video",
            "Airflow's task state store: the ledger",
        ],
        "player": f"player?{address}",
    }
    return whole | changes


@dataclass
class Stand:
    """A server with what it answers, and what it was asked.

    :param video: what ``video`` answers; a number is a status without a video.
    :param poster: a JPEG; None = there is none.
    :param api: what ``api/task`` and the others answer: a status and a body, or a function of the parameters.
    :param before_poster: called before each answer with a poster.
    :param requests: the addresses that were asked for, in order.
    """

    video: bytes | int = 404
    poster: bytes | None = None
    api: dict[str, Answer | Callable[[Mapping[str, str]], Answer]] = field(default_factory=dict)
    before_poster: Callable[[], object] = lambda: None
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def page(self, name: str, **parameters: object) -> str:
        """Return the address of a page."""
        return f"{self.url}{PREFIX}/lipsync/{name}?{urlencode(parameters)}"

    def player(self, told: dict[str, Any]) -> str:
        """Let the player show this, and return its address."""
        self.api["task"] = (200, told)
        return self.page("player", **{name: told[name] for name in ("dag_id", "run_id", "task_id", "map_index")})

    def run(self, views: list[dict[str, Any]], **changes: Any) -> str:
        """Let the contact sheet show these, and return its address."""
        known = [one["credits_estimated"] for one in views if one["credits_estimated"] is not None]
        who = {"dag_id": "spring_campaign", "run_id": "manual__2026-11-23T12:00:00+00:00"}
        cost = {"known": sum(known), "unknown_jobs": len(views) - len(known)}
        body = {**who, "views": views, "credits": cost, "is_live": any(one["is_live"] for one in views)}
        self.api["run"] = (200, body | changes)
        return self.page("run", **who)

    def jobs(self, jobs: list[dict[str, Any]], **changes: Any) -> str:
        """Let the jobs page show these, and return its address."""
        choices = {"state": ["stored", "failed"], "conn_id": ["lipsync_default"], "label": ["client=acme"]}
        body = {
            "jobs": jobs,
            "undelivered": [],
            "undelivered_is_cut": False,
            "per_day": [],
            "choices": choices,
            "next_before": None,
            "told": "They rest on XComs.",
        }
        self.api["jobs"] = (200, body | changes)
        return self.page("jobs")

    def asked_for(self, part: str) -> list[str]:
        """Return the addresses with this in them, in order."""
        return [path for path in self.requests if part in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand: Stand

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.stand.requests.append(self.path)
        url = urlsplit(self.path)
        parameters = {name: values[-1] for name, values in parse_qs(url.query).items()}
        place = url.path.removeprefix(f"{PREFIX}/lipsync/")
        if place in ("player", "run", "jobs"):
            self._file(PAGES / f"{place}.html")
        elif place.startswith("assets/"):
            self._file(PAGES / Path(place).name)
        elif place.startswith("api/"):
            self._api(place.removeprefix("api/"), parameters)
        elif place == "video":
            self._video(self.stand.video)
        elif place == "poster":
            self.stand.before_poster()
            self._send(404 if self.stand.poster is None else 200, "image/jpeg", self.stand.poster or b"")
        elif place == f"{PREFIX}/frame":
            page = _FRAME % (parameters.get("theme", ""), parameters["page"].replace("&", "&amp;"))
            self._send(200, "text/html", page.encode())
        else:
            self._send(404, "text/plain", b"nothing here")

    def _file(self, path: Path) -> None:
        kind = f"{_KINDS[path.suffix]}; charset=utf-8"
        self._send(200, kind, path.read_bytes(), {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"})

    def _api(self, name: str, parameters: Mapping[str, str]) -> None:
        answer = self.stand.api.get(name, (500, {"detail": "the test told nothing"}))
        status, body = answer(parameters) if callable(answer) else answer
        self._send(status, "application/json", body if isinstance(body, bytes) else json.dumps(body).encode())

    def _video(self, content: bytes | int) -> None:
        if isinstance(content, int):
            return self._send(
                content, "application/json", b'{"detail": "The stored copy is gone from s3://media/spring."}'
            )
        begin = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if begin is None:
            return self._send(200, "video/mp4", content, {"Accept-Ranges": "bytes"})
        first, last = int(begin[1]), min(int(begin[2] or len(content)), len(content) - 1)
        about = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        return self._send(206, "video/mp4", content[first : last + 1], about)

    def _send(self, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A browser hangs up on what it no longer wants: that is no error."""


@contextmanager
def stand(**told: Any) -> Iterator[Stand]:
    """Serve the pages on a free port."""
    served = Stand(**told)
    handler = type("Handler", (_Handler,), {"stand": served})
    with _Quiet(("127.0.0.1", 0), handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
