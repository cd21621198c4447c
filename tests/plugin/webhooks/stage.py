"""What the server's process does when a test of the receiver asks, beside what ``scene`` does."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.plugin import scene
from tests.plugin.scene import run, task, xcom

__all__ = ["run", "task", "xcom"]

_statements: list[str] = []
_holds: list[Any] = []
_metrics: list[list[Any]] = []


def prepare(dags: Path) -> None:
    """Make the database, take away what this Airflow is to lack, and do not wait as long as in earnest."""
    scene.prepare(dags)
    for name in filter(None, os.environ.get("TESTS_WITHOUT", "").split(",")):
        _take_away(name)
    _watch_statements()


def ledger(where: dict[str, Any], value: Any) -> bool:
    """Write to the task state store as a worker does, by whatever backend there is; False where there is none."""
    from airflow.configuration import conf

    made = conf.getimport("workers", "state_store_backend", fallback=None)
    if made is None and "WORKERS_BACKEND" in os.environ:  # that of the workers alone
        module, _, name = os.environ["WORKERS_BACKEND"].rpartition(".")
        made = getattr(importlib.import_module(module), name)
    if made is not None:
        from airflow.sdk.execution_time.context import _wrap_external_ref
        from airflow.state import TaskScope

        scope = TaskScope(**where)
        value = _wrap_external_ref(
            made().serialize_task_state_store_to_ref(value=value, key="lipsync_job", scope=scope)
        )
    return scene.ledger(where, value)


def hurry(look_again: list[float]) -> None:
    """Look again after so many seconds."""
    from airflow_provider_lipsync.plugin.webhooks import delivering

    delivering.LOOK_AGAIN = tuple(look_again)


def connect(conn_id: str, connection: dict[str, Any] | None) -> None:
    """Let a connection be so from now on; None = it is gone."""
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    if connection is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = json.dumps(connection)


def renew(later: float = 0.0) -> None:
    """Let the receiver's timer strike, after so many seconds more."""
    secrets = _receiver().secrets
    before = secrets._clock
    secrets._clock = lambda: before() + later
    secrets.renew()


def renewals(seconds: float) -> int:
    """Return how often a receiver renews in a while, if it does so every 0.1 seconds, the first time in vain."""
    from airflow_provider_lipsync.plugin.webhooks import receiver
    from airflow_provider_lipsync.plugin.webhooks.secrets import Secrets

    came = 0

    class Counting(Secrets):
        def renew(self) -> None:
            nonlocal came
            came += 1
            if came == 1:
                raise OSError("the secrets backend is away")

    async def watch() -> None:
        made = receiver.Receiver(Counting([]))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(made.run(), seconds)

    before, receiver.RENEWED_EVERY = receiver.RENEWED_EVERY, 0.1
    asyncio.run(watch())
    receiver.RENEWED_EVERY = before
    return came


def would_start(env: dict[str, str], without: str = "") -> list[Any]:
    """Return whether a receiver starts where this is configured and that is missing, and what the log says."""
    import logging
    from unittest.mock import patch

    from airflow_provider_lipsync.plugin.lipsync import start_receiver
    from airflow_provider_lipsync.plugin.webhooks import turned_on

    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("airflow_provider_lipsync")
    log.addHandler(handler)
    app = object()

    async def start() -> bool:
        assert start_receiver(app) is app
        return turned_on.running() is not None

    nothing = {"_running": None, "_keeping": None}
    with patch.dict(os.environ, env), patch.multiple(turned_on, **nothing):
        put_back = _take_away(without) if without else lambda: None
        try:
            return [asyncio.run(start()), lines]
        finally:
            put_back()
            log.removeHandler(handler)


def default_options() -> list[str]:
    """Return the receiver's two options as they are where nobody sets them."""
    from unittest.mock import patch

    from airflow.configuration import conf

    names = ("webhook_receiver", "webhook_conn_ids")
    unset = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__LIPSYNC__")}
    with patch.dict(os.environ, unset, clear=True):
        return [conf.get("lipsync", name) for name in names]


def metrics() -> list[list[Any]]:
    """Return what was counted since this was asked first, or last: names and tags."""
    from airflow_provider_lipsync import metrics as told

    if told._tell is not _note_metric:
        told._tell = _note_metric
    came = list(_metrics)
    _metrics.clear()
    return came


def _note_metric(how: str, name: str, value: Any, tags: dict[str, str]) -> None:
    _metrics.append([name, {tag: said for tag, said in tags.items() if said}])


def _take_away(name: str) -> Callable[[], None]:
    """Remove ``module:name`` or ``module:class.name``; return what puts it back."""
    module, _, path = name.partition(":")
    *owners, attribute = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    taken = vars(owner)[attribute]
    delattr(owner, attribute)
    return lambda: setattr(owner, attribute, taken)


def receives() -> bool:
    """Whether there is a receiver."""
    from airflow_provider_lipsync.plugin.webhooks.turned_on import running

    return running() is not None


def pending() -> int:
    """Return for how many purchases something is still to be done."""
    return len(_receiver()._deliveries._later)


def mounted() -> list[str]:
    """Return the paths of the app's routes."""
    from airflow_provider_lipsync.plugin.app import create_app

    return [route.path for route in create_app().routes]


def defer(
    where: dict[str, Any],
    trigger: str,
    arguments: dict[str, Any],
    ago: float,
    method: str = "execute_complete",
    kwargs: dict[str, Any] | None = None,
) -> None:
    """Let a task instance wait by a trigger, as Airflow does where a worker asks for it."""
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session

    with create_session() as session:
        since = datetime.now(UTC) - timedelta(seconds=ago)
        row = Trigger(classpath=trigger, kwargs=arguments, created_date=since)
        session.add(row)
        session.flush()
        task = _task(session, where)
        task.state, task.trigger_id, task.next_method = "deferred", row.id, method
        task.next_kwargs = kwargs or {}


def spoil_trigger(where: dict[str, Any]) -> None:
    """Let nobody be able to read what a task's trigger was given."""
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session

    with create_session() as session:
        session.get(Trigger, _task(session, where).trigger_id).encrypted_kwargs = "gAAAAA-not-by-this-key"


def standing(where: dict[str, Any]) -> dict[str, Any]:
    """Return how a task instance stands."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalar(select(TaskInstance).where(*scene._of(TaskInstance, where)))
        kwargs = found.next_kwargs
        return {
            "state": None if found.state is None else str(getattr(found.state, "value", found.state)),
            "trigger_id": found.trigger_id,
            "next_method": found.next_method,
            "event": None if not kwargs else _plain(kwargs).get("event"),
            "kwargs": {} if not kwargs else {name: v for name, v in _plain(kwargs).items() if name != "event"},
        }


def told(where: dict[str, Any], key: str) -> Any:
    """Return an XCom as a task would pull it."""
    from airflow.models.xcom import XComModel
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        value = session.scalar(select(XComModel.value).where(*scene._of(XComModel, where), XComModel.key == key))
        return None if value is None else BaseXCom.deserialize_value(type("Found", (), {"value": value}))


def forget(where: dict[str, Any], key: str) -> None:
    """Remove an XCom, as Airflow does where a new try begins."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(XComModel).where(*scene._of(XComModel, where), XComModel.key == key))


def remembered(where: dict[str, Any]) -> dict[str, Any]:
    """Return the ledger's record in Airflow's store, and for how many days it is kept."""
    from airflow.models.task_state_store import TaskStateStoreModel as Store
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        row = session.scalar(select(Store).where(*scene._of(Store, where), Store.key == "lipsync_job"))
        days = None if row.expires_at is None else (row.expires_at - datetime.now(UTC)).total_seconds() / 86400
        return {"record": json.loads(row.value), "days": days}


def fire(where: dict[str, Any], event: dict[str, Any]) -> None:
    """Let a task's own trigger fire, as a triggerer does."""
    from airflow.models.trigger import Trigger
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        trigger_id = _task(session, where).trigger_id
    if trigger_id is not None:
        Trigger.submit_event(trigger_id, TriggerEvent(event))


def fire_all(wheres: list[dict[str, Any]], events: list[dict[str, Any]]) -> list[str]:
    """Let the triggers of many tasks fire, one after the other; return what went wrong."""
    wrong = []
    for where, event in zip(wheres, events, strict=True):
        try:
            fire(where, event)
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")
    return wrong


def clear(where: dict[str, Any]) -> None:
    """Clear a task instance, as a person does."""
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.session import create_session

    with create_session() as session:
        clear_task_instances([_task(session, where)], session)


def hold(where: dict[str, Any], state: str | None) -> None:
    """Begin to write a state to a task instance, and do not commit it."""
    from airflow import settings

    session = settings.NonScopedSession()
    task = _task(session, where)
    task.state = state
    session.flush()
    _holds.append(session)


def let_go() -> None:
    """Commit what was held."""
    session = _holds.pop()
    session.commit()
    session.close()


def let_go_after(seconds: float) -> None:
    """Commit what was held, after a while."""
    threading.Timer(seconds, let_go).start()


def waiting_for_locks() -> int:
    """Return how many wait for somebody's lock in PostgreSQL."""
    from airflow.utils.session import create_session
    from sqlalchemy import text

    with create_session() as session:
        asked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        return int(session.scalar(text(asked)))


def statements() -> list[str]:
    """Return the statements that were sent to the database since this was asked last."""
    seen = list(_statements)
    _statements.clear()
    return seen


def break_database(seconds: float) -> None:
    """Let each statement of the receiver's threads fail as a locked database does, for a while."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.exc import OperationalError

    until = time.monotonic() + seconds

    def fail(_: Any, __: Any, statement: str, *rest: Any) -> None:
        if time.monotonic() < until and "AnyIO worker" in threading.current_thread().name:
            raise OperationalError(statement, None, Exception("database is locked"))

    event.listen(Engine, "before_cursor_execute", fail)


def hand_over_at_once(wheres: list[dict[str, Any]], nonces: list[str], jobs: list[dict[str, Any]]) -> list[str]:
    """Hand deliveries over from as many threads, as several API servers do; return what became of each."""
    from airflow_provider_lipsync.api.answers import read_job
    from airflow_provider_lipsync.jobs.ledger import Record
    from airflow_provider_lipsync.media.task_key import TaskKey
    from airflow_provider_lipsync.plugin.webhooks import handing
    from tests.plugin.facts_support import record

    settings = _receiver().secrets.settings("vendor_folder")
    barrier = threading.Barrier(len(wheres))
    came: list[str] = [""] * len(wheres)

    def work(number: int) -> None:
        job = read_job(jobs[number]["id"], jobs[number])
        delivery = handing.Delivery(
            key=TaskKey(**wheres[number]),
            nonce=nonces[number],
            job=job,
            record=Record.from_json(record(nonce=nonces[number], job_id=job.id)),
            settings=settings,
        )
        barrier.wait()
        try:
            done = handing.patiently(handing.hand_over, delivery)
            came[number] = f"{done.taken.value}, {'resumed' if done.resumed else 'not resumed'}"
        except Exception as error:
            came[number] = f"{type(error).__name__}: {error}"

    workers = [threading.Thread(target=work, args=(number,)) for number in range(len(wheres))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return came


def patience(seconds: float) -> None:
    """Wait so long for a body."""
    from airflow_provider_lipsync.plugin.webhooks import request

    request._BODY_SECONDS = seconds


def comparisons(token: str) -> list[int]:
    """Return how many secrets a token's signature is compared with, and how many are believed."""
    import hmac
    from unittest.mock import patch

    from airflow_provider_lipsync.api import callback

    with patch.object(callback.hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
        with contextlib.suppress(callback.CallbackRefused):
            callback.read_token(token, secrets=_receiver().secrets.believed(), now=time.time())
        return [compare.call_count, sum(map(len, _receiver().secrets.believed().values()))]


def tell_refusals() -> None:
    """Let the log tell of what was refused, as if a minute were over, and the next minute, too."""
    tally = _receiver()._refusals
    tally._told_at = None
    tally.tell()
    tally._told_at = None


def _watch_statements() -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, *rest: Any) -> None:
        _statements.append(statement)


def _task(session: Any, where: dict[str, Any]) -> Any:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    return session.scalar(select(TaskInstance).where(*scene._of(TaskInstance, where)))


def _plain(kwargs: Any) -> Any:
    """Return arguments as the task gets them."""
    try:
        from airflow.models.trigger import _decode_next_kwargs

        return _decode_next_kwargs(kwargs)
    except ImportError:  # before Airflow 3.3
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.deserialize(kwargs) if "__type" in kwargs else dict(kwargs)


def _receiver() -> Any:
    from airflow_provider_lipsync.plugin.webhooks.turned_on import running

    receiver = running()
    assert receiver is not None
    return receiver
