"""What a test reaches without a network: a web that ends at this machine, and a folder that is served on it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx

from airflow_provider_lipsync.api.texts import is_loopback, without_query
from airflow_provider_lipsync.media.web import AddressRefused, Web

__all__ = ["NearWeb", "served_folder"]

_LOOPBACK = "127.0.0.1"


class NearWeb(Web):
    """Asks nobody outside of this machine: where the sandbox fetches no media, no test should have to."""

    @contextmanager
    def get(self, url: str, **options: Any) -> Iterator[httpx.Response]:
        """As :meth:`Web.get`.

        :raises AddressRefused: it leads elsewhere.
        """
        if not is_loopback(urlsplit(url).hostname or ""):
            raise AddressRefused(f"{without_query(url)} is elsewhere, and this test's sandbox fetches no media")
        with super().get(url, **options) as answer:
            yield answer


@contextmanager
def served_folder() -> Iterator[Mapping[str, Any]]:
    """Make a folder, serve it, and give the extras of a connection whose local files are staged there."""
    with tempfile.TemporaryDirectory(prefix="lipsync-staging-") as folder:
        server = ThreadingHTTPServer((_LOOPBACK, 0), partial(_Files, directory=folder))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        place = f"file://{folder}"
        try:
            yield {
                "staging_path": place,
                "public_url_base": {f"{place}/": f"http://{_LOOPBACK}:{server.server_port}/"},
            }
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: pytest would show it with every failure."""
