"""API servers that receive webhooks, a vendor that is asked about them, and purchases that are waited for."""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_lipsync.api.callback import Callback, make_token
from airflow_provider_lipsync.jobs.delivery import DELIVERY_KEY
from airflow_provider_lipsync.jobs.memory import ObjectMemory
from airflow_provider_lipsync.media.task_key import TaskKey
from airflow_provider_lipsync.sandbox import SandboxServer
from tests.plugin.conftest import Server, Task, environment, new_run, on_database, running
from tests.plugin.facts_support import record
from tests.runner.database import metadata_database
from tests.sandbox.support import Caller, wait_for

STAGE = "tests.plugin.webhooks.stage"
KEY = "sk_test_0123456789abcdef"
SECRET = "a secret that only this connection has"
SECRETS = {name: f"{SECRET}: {name}" for name in ("vendor_store", "vendor_folder", "vendor_stranger")}
TRIGGER = "airflow_provider_lipsync.triggers.lipsync.LipsyncJobTrigger"
LOST_TRIGGER = "airflow_provider_lipsync.triggers.delivery.LipsyncDeliveryTrigger"
AGO = 60.0  # seconds: long enough for a task to be resumed
DATABASES = ("sqlite", "postgresql")


def connection(host: str, secret: str | None, **extra: Any) -> dict[str, Any]:
    webhook = {"webhook_base_url": "http://127.0.0.1:8080", "webhook_secret": secret} if secret else {}
    return {"conn_type": "lipsync", "host": host, "password": KEY, "extra": {**webhook, **extra}}


class Stage:
    """A server that receives webhooks, and its vendor."""

    def __init__(self, server: Server, vendor: SandboxServer, folder: Path) -> None:
        self.server, self.vendor, self.folder = server, vendor, folder
        self.buyer = Caller(vendor)

    def call(self, name: str, **arguments: Any) -> Any:
        """Have something of ``stage`` done."""
        return self.server.call(name, **arguments)

    def submit(self, endpoint: str = "lipsync-image") -> str:
        """Buy a job, which takes its time."""
        return self.buyer.submit(endpoint)

    def ended(self, endpoint: str = "lipsync-image", status: str = "completed") -> str:
        """Buy a job that has ended."""
        job_id = self.submit(endpoint)
        self.vendor.finish(job_id, status)
        return job_id

    def looks(self, job_id: str) -> int:
        """Return how often the vendor was asked about a job."""
        return int(self.buyer.entry(job_id)["polls"])

    def post(self, token: str, body: Any = None, **request: Any) -> httpx.Response:
        """Send something to the receiver, as the vendor does unless something else is said."""
        sent = {"json": body} if body is not None else {}
        with httpx.Client(trust_env=False, timeout=60) as client:
            method = request.pop("method", "POST")
            return client.request(method, f"{self.server.url}/lipsync/webhooks/{token}", **sent, **request)

    def purchase(self, ledger: str = "store", *, task_id: str = "render", **changes: Any) -> Purchase:
        """Return a purchase that the ledger knows, of a task instance of its own; ``job_id`` is the vendor's."""
        task = Task(self.server, "show", new_run(self.server), task_id)
        made = Purchase(self, task, ledger)
        made.remember(**changes)
        return made

    def settled(self) -> None:
        """Wait until nothing is to be done any more."""
        wait_for(lambda: self.call("pending"), lambda left: left == 0, 20)


class Purchase:
    """What a task instance bought, and how the vendor tells of it."""

    def __init__(self, stage: Stage, task: Task, ledger: str) -> None:
        self.stage, self.task, self.ledger = stage, task, ledger
        self.nonce = uuid.uuid4().hex
        self.job_id: str | None = None

    def remember(self, **changes: Any) -> None:
        """Write the ledger's record, as a worker does."""
        told = {"state": "bought", "nonce": self.nonce, "webhook_until": time.time() + 600, **changes}
        self.job_id = told.get("job_id")
        written = record(**{"job_id": None, **told})
        if self.ledger == "folder":
            memory = ObjectMemory(f"file://{self.stage.folder}", TaskKey(**self.task.key))
            memory.save(written)
        elif not self.task.remember(written):
            pytest.skip("this Airflow has no task state store")

    def defer(self, ago: float = AGO, **changes: Any) -> Purchase:
        """Let the task wait for the job."""
        told = {"trigger": TRIGGER, "arguments": {"job_id": self.job_id, "nonce": self.nonce}, **changes}
        self.stage.call("defer", where=self.task.key, ago=ago, **told)
        return self

    def token(self, *, secret: str | None = None, **changes: Any) -> str:
        conn_id = f"vendor_{self.ledger}"
        named = {
            "conn_id": conn_id,
            "nonce": self.nonce,
            "expires_at": int(time.time()) + 600,
            **self.task.key,
            **changes,
        }
        return make_token(Callback(**named), secret=secret or SECRETS[conn_id])

    def deliver(self, job_id: str | None = None, **changes: Any) -> httpx.Response:
        """Tell of the job, as the vendor does; what the body says of its state is true or not."""
        body = {"id": job_id or self.job_id, "status": "completed", "model": "lipsync-image", **changes}
        return self.stage.post(self.token(), body)

    @contextmanager
    def delivering(self, job_id: str | None = None) -> Iterator[Callable[[], httpx.Response]]:
        """Tell of the job while the block does something else; what is given waits for the answer."""
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.deliver, job_id).result

    def standing(self) -> dict[str, Any]:
        found: dict[str, Any] = self.stage.call("standing", where=self.task.key)
        return found

    @property
    def state(self) -> str | None:
        state: str | None = self.standing()["state"]
        return state

    def told(self, key: str = DELIVERY_KEY) -> Any:
        """Return the XCom that the receiver handed on."""
        return self.stage.call("told", where=self.task.key, key=key)

    def becomes(self, state: str | None, within: float = 15) -> None:
        """Wait until the task is in a state."""
        wait_for(lambda: self.state, lambda found: found == state, within)


@pytest.fixture(scope="session")
def vendor() -> Iterator[SandboxServer]:
    """Its jobs end when the test says so."""
    with SandboxServer(canned=True, keys=(KEY,), job_seconds=(3600, 3600)) as server:
        yield server


@pytest.fixture(scope="session")
def stages(vendor: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Stage]]:
    """Start a server on a kind of database, once; what differs from the usual configuration is given in pairs."""
    with ExitStack() as stack:

        @functools.cache
        def start(database: str = "sqlite", *changes: tuple[str, str]) -> Stage:
            home = tmp_path_factory.mktemp(f"receiver-{database}")
            folder = home / "ledger"
            folder.mkdir()
            url = stack.enter_context(metadata_database(database, home))
            env = {
                **environment(home),
                **on_database(url),
                **receiving("vendor_store", "vendor_folder", "vendor_plain"),
                **connections(vendor, folder),
                **dict(changes),
            }
            made = Stage(stack.enter_context(running(home, env, STAGE)), vendor, folder)
            stack.callback(made.buyer.http.close)
            return made

        yield start


def receiving(*conn_ids: str) -> dict[str, str]:
    return {
        "AIRFLOW__LIPSYNC__WEBHOOK_RECEIVER": "True",
        "AIRFLOW__LIPSYNC__WEBHOOK_CONN_IDS": " , ".join(conn_ids),
    }


def connections(vendor: SandboxServer, folder: Path) -> dict[str, str]:
    """Four: each with a ledger of its kind, one without secrets, and one that is not allowed."""
    made = {
        "vendor_store": connection(vendor.base_url, SECRETS["vendor_store"]),
        "vendor_folder": connection(vendor.base_url, SECRETS["vendor_folder"], ledger_path=f"file://{folder}"),
        "vendor_plain": connection(vendor.base_url, None),
        "vendor_stranger": connection(vendor.base_url, SECRETS["vendor_stranger"]),
    }
    return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(told) for conn_id, told in made.items()}


@pytest.fixture(params=DATABASES)
def stage(request: pytest.FixtureRequest, stages: Callable[..., Stage]) -> Stage:
    """A server that receives, on each kind of database."""
    return stages(request.param)


@pytest.fixture
def one_stage(stages: Callable[..., Stage]) -> Stage:
    """A server that receives, for what is the same on each database."""
    return stages("sqlite")


@pytest.fixture(params=["store", "folder"])
def ledger(request: pytest.FixtureRequest) -> str:
    """Where bought jobs are remembered: Airflow's task state store, or a folder."""
    return str(request.param)
