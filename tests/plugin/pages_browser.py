"""Debian's chromium for the tests of the pages, driven by playwright, and the fixtures that open pages in it.

A browser lives for one module: while it does, playwright keeps an event loop in this thread, and no other test may be
in need of one of its own.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.pages_support import Stand, stand

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

__all__ = ["Tab", "airflow", "browser", "film", "make_film", "shared_page", "tab", "tabs"]

_PATIENCE = 30_000  # ms; a page that loads on a busy machine has taken eight seconds
_GIVEN_UP = "net::ERR_ABORTED"  # by the browser itself: it has enough of a video, or goes to another page
# Said of Airflow's own UI: of the sandbox that it gives to its frames, and, on 3.1, of how it starts.
_AIRFLOWS_OWN = ("can escape its sandboxing", "No `HydrateFallback` element")


@dataclass
class Tab:
    """A page in the browser, with all that went wrong in it."""

    page: Page
    mistakes: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        """Open an address, and wait until it shows what it was told."""
        self.page.goto(address, wait_until="commit")
        self.page.wait_for_selector("main[aria-busy=false], #trouble > *")
        return self.page

    def watch(self) -> None:
        """Keep what the browser complains of."""
        for event, listener in self._listeners().items():
            self.page.on(event, listener)

    def leave(self) -> None:
        """Keep it no longer, and let the page go."""
        for event, listener in self._listeners().items():
            self.page.remove_listener(event, listener)
        self.page.goto("about:blank")

    def _listeners(self) -> dict[str, Callable[[Any], None]]:
        return {
            "console": self._on_console,
            "pageerror": self._on_error,
            "requestfailed": self._on_failed,
            "response": self._on_response,
        }

    def _on_console(self, told: ConsoleMessage) -> None:
        if told.type in ("error", "warning") and not any(own in told.text for own in _AIRFLOWS_OWN):
            self.mistakes.append(told.text)

    def _on_error(self, error: Exception) -> None:
        self.mistakes.append(str(error))

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.mistakes.append(f"{response.status} {response.url}")

    def _on_failed(self, request: Request) -> None:
        if request.failure != _GIVEN_UP:
            self.mistakes.append(f"{request.failure} {request.url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start chromium; without it, the test is skipped, but not in CI."""
    path = shutil.which("chromium")
    if path is None or importlib.util.find_spec("playwright") is None:
        why = "the pages are tested in chromium (apt-get install chromium) by playwright (pip install playwright)"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def film() -> tuple[bytes, bytes]:
    """Return a short video of the sandbox's speaker, and its first frame as a JPEG."""
    return make_film()


@cache
def make_film() -> tuple[bytes, bytes]:
    """Render it, once, and take a poster as the plugin does."""
    import av

    from airflow_provider_lipsync.api.models import Resolution
    from airflow_provider_lipsync.sandbox.render.samples import write_canned

    with tempfile.TemporaryDirectory() as folder:
        write_canned(Resolution("480p"), path := Path(folder, "film.mp4"))
        content = path.read_bytes()
    with av.open(io.BytesIO(content)) as container:
        frame = next(container.decode(video=0)).reformat(width=240, height=320, format="yuvj420p")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 240, 320, "yuvj420p", Fraction(1, 25)
    return content, b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


@pytest.fixture
def airflow(film: tuple[bytes, bytes]) -> Iterator[Stand]:
    """Serve the pages, with a video and a poster for each task."""
    with stand(video=film[0], poster=film[1]) as served:
        yield served


@pytest.fixture(scope="module")
def shared_page(browser: Browser) -> Iterator[Page]:
    """Open one tab of usual size for all tests of a module that change nothing in it but its address."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(_PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def tab(shared_page: Page) -> Iterator[Tab]:
    """Give the tab; what goes wrong in it fails the test."""
    made = Tab(shared_page)
    made.watch()
    yield made
    made.leave()
    assert not made.mistakes, made.mistakes


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Any]:
    """Return a function that opens a tab of its own; what goes wrong in a clean one fails the test."""
    opened: list[tuple[Tab, bool]] = []

    def new(*, clean: bool = True, **options: Any) -> Tab:
        context = browser.new_context(**options)
        context.set_default_timeout(_PATIENCE)
        made = Tab(context.new_page())
        made.watch()
        opened.append((made, clean))
        return made

    yield new
    for made, _ in opened:
        made.page.context.close()
    mistakes = [mistake for made, clean in opened if clean for mistake in made.mistakes]
    assert not mistakes, mistakes
