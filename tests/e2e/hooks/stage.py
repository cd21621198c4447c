"""A real Airflow with its receiver on, and a sandbox for each thing that may go wrong with a webhook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from airflow_provider_lipsync.sandbox.server import SandboxServer
from tests.e2e.kill.board import Board
from tests.e2e.kill.stage import NEVER, PACES, SETTINGS, Folders, Stage
from tests.runner import COMPONENTS, RealAirflow
from tests.runner.config import HOST, free_ports
from tests.support.hooks import Hook, Told, receiver_settings

DAGS = Path(__file__).parents[1] / "dags_hooks"
MORTAL = Path(__file__).parents[1] / "dags_kill"  # where the operators stand that die or wait at a named point
KEY = "sk_hooks_5e0b7c4419d2a638_secret"
UNSEEN = 3  # seconds for which the vendor's answers do not know yet what its early webhook told

# What goes wrong at which sandbox: every connection but `lipsync_impatient` and `lipsync_silent` has one of its own.
FAULTS: dict[str, list[dict[str, Any]]] = {
    "lipsync_default": [],
    "lipsync_late": [{"fault": "late_answer", "on": "submit", "seconds": NEVER}],
    "lipsync_dropped": [{"fault": "drop_answer", "on": "submit"}],
    "lipsync_lost": [{"fault": "webhook_lost"}],
    "lipsync_doubled": [{"fault": "webhook_doubled"}],
    "lipsync_early": [{"fault": "webhook_early", "seconds": UNSEEN}],
    "lipsync_random": [
        {"fault": "webhook_lost", "rate": 0.1},
        {"fault": "webhook_doubled", "rate": 0.1},
        {"fault": "webhook_early", "rate": 0.1, "seconds": UNSEEN},
    ],
}
PATIENT = {"http_timeout": NEVER}
IMPATIENT = {"http_timeout": 5}
# Looks begin when nearly all jobs are done: in the seconds of a test where the webhook is lost, else never.
LOOKED_AT_SOON = {"typical_seconds_low": 3, "typical_seconds_high": 5}
LOOKED_AT_LATER = {"typical_seconds_low": 10, "typical_seconds_high": 40}
NOT_LOOKED_AT = {"typical_seconds_low": 3000, "typical_seconds_high": 5000}


@dataclass(frozen=True)
class HookStage(Stage):
    """What a scenario can use."""

    hooks: Mapping[str, Hook] = field(default_factory=dict)

    def vendor_of(self, conn_id: str) -> SandboxServer:
        """The sandbox that a connection names."""
        return self.hooks[conn_id].vendor

    def told(self, run_id: str, vendor: SandboxServer) -> list[Told]:
        """The jobs of a run, oldest first."""
        hooks = [hook for hook in self.hooks.values() if hook.vendor is vendor]
        return [told for told in Told.all_of(hooks) if told.callback.run_id == run_id]


class NoOutage:
    """In its place: nobody kills the triggerer."""

    def run(self, airflow: RealAirflow, _board: Board, plays: Sequence[Future[None]]) -> None:
        """Wait until all are over."""
        while [play for play in plays if not play.done()]:
            airflow.check_components()
            wait(plays, timeout=0.5)


@contextmanager
def open_stage(
    database: Literal["sqlite", "postgresql"], root: Path, *, prepare: Callable[[RealAirflow], None] | None = None
) -> Iterator[HookStage]:
    """Start everything; end everything.

    :param prepare: is done to an Airflow that has a database and nothing else.
    """
    with ExitStack() as stack:
        vendors = {conn_id: stack.enter_context(_sandbox(conn_id)) for conn_id in FAULTS}
        hooks = {hook.conn_id: hook for hook in _hooks(vendors)}
        [port] = free_ports(1)
        folders, pace = Folders(root), replace(PACES[database], scenarios=32)  # they wait, most of the time
        env = SETTINGS | receiver_settings(hooks.values())
        for hook in hooks.values():
            env |= hook.environment(f"http://{HOST}:{port}")
        env |= {
            # A machine that others use answers late, and who submits all at once makes it later.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW_VAR_LIPSYNC_SAMPLES": f"{vendors['lipsync_default'].url}/samples",
            "KILL_MARKERS": str(folders.markers),
            "PYTHONPATH": str(MORTAL),
        }
        airflow = RealAirflow(home=folders.home, dags=DAGS, database=database, env=env, port=port, components=())
        stack.enter_context(airflow)
        if prepare is not None:
            prepare(airflow)
        airflow.start(*COMPONENTS)
        board = stack.enter_context(Board(airflow))
        yield HookStage(
            airflow=airflow,
            board=board,
            folders=folders,
            vendor=vendors["lipsync_default"],
            late_vendor=vendors["lipsync_late"],
            pace=pace,
            outage=NoOutage(),
            hooks=hooks,
        )


def _sandbox(conn_id: str) -> SandboxServer:
    """Return one whose jobs end when a test says so, but for those that end at random."""
    seconds = (10, 40) if conn_id == "lipsync_random" else (NEVER, NEVER)
    return SandboxServer(canned=True, keys=(KEY,), job_seconds=seconds, faults=FAULTS[conn_id], fault_seed=7)


def _hooks(vendors: Mapping[str, SandboxServer]) -> Iterator[Hook]:
    of_its_own = {"lipsync_late": PATIENT, "lipsync_lost": LOOKED_AT_SOON, "lipsync_random": LOOKED_AT_LATER}
    for conn_id, vendor in vendors.items():
        yield Hook.at(vendor, conn_id, **{**NOT_LOOKED_AT, **of_its_own.get(conn_id, {})})
    yield Hook.at(vendors["lipsync_late"], "lipsync_impatient", **NOT_LOOKED_AT, **IMPATIENT)
    yield Hook.at(vendors["lipsync_lost"], "lipsync_silent", **NOT_LOOKED_AT)
