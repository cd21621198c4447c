"""The sandbox on a socket, in a thread of the caller or as a process of its own; loopback unless told otherwise."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

try:
    import uvicorn
    from starlette.types import ASGIApp
except ImportError as error:
    raise ImportError("the Lipsync sandbox needs: pip install 'airflow-provider-lipsync[sandbox]'") from error
import httpx

from airflow_provider_lipsync.sandbox.app import create_app
from airflow_provider_lipsync.sandbox.connection import build_protocol
from airflow_provider_lipsync.sandbox.settings import DEFAULT_KEY, Settings

__all__ = ["SandboxServer", "bind", "run_until_signal"]

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024  # connections that wait for accept: hundreds of tasks may submit in the same moment
_GRACE = 1  # seconds that a download in flight is given when the sandbox stops
_CONTROL_DEADLINE = 300.0  # seconds: a job that is told to end is rendered first
_START_DEADLINE = 30.0  # seconds; it takes far less


class SandboxServer:
    """A sandbox on a free loopback port, in a thread, for tests.

    >>> with SandboxServer(canned=True) as sandbox:
    ...     connection = {"host": sandbox.url, "password": sandbox.key}

    :param canned: serve one small canned video for every job, at once, without fetching any media.
    :param speed: how many times faster than the vendor.
    :param keys: API keys that are let in.
    :param job_seconds: shortest and longest time of a job, before the speed factor; None = 30-120 s, none if canned.
    :param renderers: how many videos are rendered at the same time; None = one per core.
    :param faults: the plan of what goes wrong, a rule each; see ``docs/sandbox.md``.
    :param fault_seed: makes the rates of the plan reproducible; None = by real chance.
    :param port: 0 = a free one.
    :raises ValueError: a value makes no sense.
    """

    def __init__(
        self,
        *,
        canned: bool = False,
        speed: float = 1.0,
        keys: tuple[str, ...] = (DEFAULT_KEY,),
        job_seconds: tuple[float, float] | None = None,
        renderers: int | None = None,
        faults: Sequence[Mapping[str, Any]] = (),
        fault_seed: int | None = None,
        port: int = 0,
    ) -> None:
        self.settings = Settings(
            canned=canned,
            speed=speed,
            keys=tuple(keys),
            job_seconds=job_seconds,
            renderers=renderers,
            faults=faults,
            fault_seed=fault_seed,
        )
        self._port = port
        self._ready = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start, and return once it listens.

        :raises OSError: the port is taken.
        :raises RuntimeError: it runs already, or did not start.
        """
        if self._thread is not None:
            raise RuntimeError("the sandbox is already running")
        listener = bind(LOOPBACK, self._port)
        self._port = listener.getsockname()[1]
        self._ready.clear()
        self._server = _Server(self.settings, on_ready=self._ready.set)
        self._thread = threading.Thread(target=self._serve, args=(listener,), name="lipsync-sandbox", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_DEADLINE) or not self._server.started:
            self.stop()
            raise RuntimeError("the sandbox did not start; its log says why")
        return self

    def stop(self) -> None:
        """Stop, and return once its thread and its child processes are gone."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._server = self._thread = None

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def base_url(self) -> str:
        """Root of the API, as a connection's host takes it."""
        return f"{self.url}/api/v1"

    @property
    def control_url(self) -> str:
        """Root of the control surface."""
        return f"{self.url}/sandbox"

    @property
    def key(self) -> str:
        """The first API key."""
        return self.settings.keys[0]

    def sample(self, name: str) -> str:
        """Return the URL of a sample, e.g. ``portrait.png``."""
        return f"{self.url}/samples/{name}"

    def ledger(self) -> list[dict[str, Any]]:
        """Return every accepted submit, oldest first."""
        submits: list[dict[str, Any]] = self._control("GET", "/ledger")["submits"]
        return submits

    def refused(self) -> list[dict[str, Any]]:
        """Return every refused submit, oldest first."""
        refused: list[dict[str, Any]] = self._control("GET", "/ledger")["refused"]
        return refused

    def unfetched(self) -> list[str]:
        """Return the ids of the jobs that were charged, and whose video nobody ever fetched."""
        unfetched: list[str] = self._control("GET", "/ledger")["unfetched"]
        return unfetched

    def faults(self) -> list[dict[str, Any]]:
        """Return the plan of what goes wrong, each rule with how often it ``matched`` and ``fired``."""
        faults: list[dict[str, Any]] = self._control("GET", "/faults")["faults"]
        return faults

    def set_faults(self, faults: Sequence[Mapping[str, Any]], *, seed: int | None = None) -> None:
        """Take another plan, with nothing counted.

        :raises ValueError: something in it is wrong; the message names the field and what is allowed.
        """
        self._control("PUT", "/faults", {"faults": list(faults), "seed": seed})

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._control("DELETE", "/faults")

    def finish(self, job_id: str, status: str = "completed", error: str = "") -> dict[str, Any]:
        """End a job that is processing, whatever time it has left, and return it.

        :param status: ``completed`` or ``failed``.
        :param error: what it fails with; empty = the usual words.
        :raises ValueError: there is no such job, or it is finished already.
        """
        end = {"status": status, **({"error": error} if error else {})}
        return self._control("POST", f"/jobs/{job_id}/finish", end)

    def reset(self) -> None:
        """Stop every job, forget everything, and put the fault plan from the start back."""
        self._control("POST", "/reset")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        transport = httpx.HTTPTransport(verify=False)  # plain HTTP: no certificates to read, which takes a while
        with httpx.Client(transport=transport, timeout=_CONTROL_DEADLINE) as client:
            response = client.request(method, self.control_url + path, json=body)
        content: dict[str, Any] = response.json()
        if response.is_client_error:
            raise ValueError(content["error"])
        response.raise_for_status()
        return content

    def _serve(self, listener: socket.socket) -> None:
        server = self._server
        try:
            if server is not None:
                server.run(sockets=[listener])
        except SystemExit:  # how uvicorn says that the application did not start
            pass
        finally:
            listener.close()
            self._ready.set()


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, ends what waits, and exits with status 0 on SIGINT and SIGTERM."""

    def __init__(self, settings: Settings, *, on_ready: Callable[[], object]) -> None:
        self._app = create_app(settings)
        super().__init__(_config(self._app))
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.waits.interrupt()
        await super().shutdown(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; what connects before the server runs waits.

    :raises OSError: the port is taken, or the host is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it every answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def run_until_signal(settings: Settings, listener: socket.socket, *, on_ready: Callable[[], object]) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM.

    :param on_ready: called once it listens.
    """
    try:
        _Server(settings, on_ready=on_ready).run(sockets=[listener])
    finally:
        listener.close()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=build_protocol(),
        loop="asyncio",  # starts child processes from any thread
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,  # it would show query strings
        ws="none",
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_GRACE,
        server_header=False,
    )
