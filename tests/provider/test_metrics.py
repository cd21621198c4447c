"""Metrics: what really leaves for a StatsD server when jobs are bought, seen, stored and refused."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats, TaskDeferred
from statsd import StatsClient

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobSensor, exceptions, metrics
from airflow_provider_lipsync.api.models import Job, JobStatus
from airflow_provider_lipsync.exceptions import LipsyncError
from tests.media import odd_media
from tests.media.range_server import RangeServer, range_server
from tests.provider.conftest import Tell
from tests.support.scripted import answer, drop, json_answer
from tests.support.shop import Shop
from tests.support.tasks import Tries, new_context, run_task, run_trigger, succeed
from tests.support.vendor import JOB_ID, accepted, completed


class Server:
    """Listens as a StatsD server does."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.port = self.socket.getsockname()[1]

    def came(self) -> dict[str, str]:
        """What came so far, by name with tags."""
        found: dict[str, str] = {}
        try:
            while True:
                for line in self.socket.recv(65535).decode().splitlines():
                    name, _, value = line.partition(":")
                    found[name.removeprefix("airflow.")] = value
        except TimeoutError:
            return found


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, and Airflow's metrics on, with tags as InfluxDB writes them: behind the name."""
    server = Server()
    client = StatsClient(host="127.0.0.1", port=server.port, prefix="airflow")
    made = logger_class()
    switches = {"influxdb_tags_enabled": True, "statsd_influxdb_enabled": True}
    known = inspect.signature(made).parameters  # Airflow 3.1 reads the second one from its configuration
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
    logger = made(client, **{name: value for name, value in switches.items() if name in known})
    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(Stats, name, getattr(logger, name), raising=False)
    yield server
    client.close()
    server.socket.close()


def logger_class() -> Any:
    """Airflow's own StatsD logger."""
    try:
        from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger
    except ImportError:
        from airflow.metrics.statsd_logger import SafeStatsdLogger
    return SafeStatsdLogger


def render(**changes: Any) -> Any:
    values = {"image": "https://cdn.invalid/face.png", "audio": "https://cdn.invalid/voice.mp3", "poll_interval": 0.02}
    return LipsyncImageOperator(task_id="render", **(values | changes))


TAGS = ",conn_id=lipsync_default,model=lipsync-image"


def test_a_job_that_goes_well_is_counted_once_at_each_step(vendor: Shop, statsd: Server, deferrable: bool) -> None:
    vendor.output = "https://cdn.invalid/result.mp4"
    task, context = render(deferrable=deferrable), new_context()
    run_task(task, context)
    succeed(task, context)
    came = statsd.came()
    for name in ("submitted", "completed", "delivered"):
        assert came[f"lipsync.{name}{TAGS}"] == "1|c", came
    assert came[f"lipsync.job_seconds{TAGS}"].endswith("|ms")
    assert came[f"lipsync.detection_lag{TAGS}"].endswith("|ms")
    assert not [name for name in came if name.startswith(("lipsync.failed", "lipsync.credits"))]


def test_a_deferred_job_is_told_to_be_in_flight_until_it_is_not(vendor: Shop, statsd: Server) -> None:
    vendor.output = "https://cdn.invalid/result.mp4"
    task, context = render(), new_context()
    vendor.status = "processing"
    with pytest.raises(TaskDeferred) as waiting:
        task.execute(context)
    vendor.status = "completed"
    run_trigger(waiting.value.trigger)
    assert statsd.came()["lipsync.in_flight,conn_id=lipsync_default"] == "0|g"


def test_nothing_is_delivered_where_airflow_recorded_no_success(vendor: Shop, statsd: Server) -> None:
    vendor.output = "https://cdn.invalid/result.mp4"
    task, context = render(), new_context()
    run_task(task, context)
    succeed(task, context, recorded="failed")
    assert f"lipsync.delivered{TAGS}" not in statsd.came()


@pytest.mark.parametrize(
    ("refusal", "kind", "more"),
    [
        pytest.param(answer(402), "no_credits", ["no_credits"], id="no credits"),
        pytest.param(answer(401), "key", [], id="key"),
        pytest.param(answer(400), "input", [], id="input"),
        pytest.param(drop, "uncertain", ["uncertain"], id="uncertain"),
    ],
)
def test_a_submit_that_fails_is_counted_by_its_kind(
    tell: Tell, statsd: Server, refusal: Any, kind: str, more: list[str]
) -> None:
    tell(refusal)
    with pytest.raises(LipsyncError):
        render().execute(new_context())
    came = statsd.came()
    assert came[f"lipsync.failed,conn_id=lipsync_default,model=lipsync-image,kind={kind}"] == "1|c", came
    assert all(came[f"lipsync.{name}{TAGS}"] == "1|c" for name in more)
    assert f"lipsync.submitted{TAGS}" not in came


def test_what_is_too_dear_is_counted_as_that(vendor: Shop, statsd: Server) -> None:
    with pytest.raises(LipsyncError):
        render(max_credits=1).execute(new_context())
    assert statsd.came()["lipsync.failed,conn_id=lipsync_default,model=lipsync-image,kind=budget"] == "1|c"


def test_a_job_that_failed_is_counted_as_that(vendor: Shop, statsd: Server, deferrable: bool) -> None:
    vendor.status = "failed"
    with pytest.raises(LipsyncError):
        run_task(render(deferrable=deferrable), new_context())
    came = statsd.came()
    assert came["lipsync.failed,conn_id=lipsync_default,model=lipsync-image,kind=job"] == "1|c"
    assert f"lipsync.completed{TAGS}" not in came


def test_a_sensor_counts_by_the_model_that_the_vendor_tells(vendor: Shop, statsd: Server) -> None:
    vendor.output = "https://cdn.invalid/result.mp4"
    run_task(LipsyncJobSensor(task_id="render", job=JOB_ID, poke_interval=0.01), new_context())
    assert statsd.came()[f"lipsync.completed{TAGS}"] == "1|c"


def test_a_look_that_is_refused_with_429_is_counted(tell: Tell, statsd: Server) -> None:
    tell(accepted(), json_answer(429, {"error": "Slow down"}, headers={"Retry-After": "0"}), completed())
    run_task(render(), new_context())
    # The first look is the worker's and tells nobody; the triggerer's may be refused once more.
    tell(accepted(), answer(500), json_answer(429, {}, headers={"Retry-After": "0"}), completed())
    run_task(render(), new_context())
    assert statsd.came()["lipsync.rate_limited,conn_id=lipsync_default"] == "1|c"


def test_metrics_that_cannot_be_told_end_no_task(vendor: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no such host")

    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(Stats, name, broken, raising=False)
    vendor.output = "https://cdn.invalid/result.mp4"
    assert run_task(render(), new_context())["status"] == "completed"


def test_every_error_has_a_kind_and_only_documented_names_are_told() -> None:
    classes = [found for found in vars(exceptions).values() if isinstance(found, type)]
    for found in classes:
        if issubclass(found, LipsyncError):
            assert metrics.kind_of(found("")) in metrics.KINDS
    with pytest.raises(ValueError, match="no metric"):
        metrics.count("videos", conn_id="lipsync_default")


def test_retries_of_one_purchase_are_not_counted_as_purchases(vendor: Shop, statsd: Server) -> None:
    vendor.output = "https://cdn.invalid/result.mp4"
    tries = Tries(retries=1)
    vendor.status = "processing"
    with pytest.raises(TaskDeferred):
        render().execute(tries.next())
    assert statsd.came()[f"lipsync.submitted{TAGS}"] == "1|c"
    vendor.status = "completed"
    run_task(render(), tries.next())
    assert f"lipsync.submitted{TAGS}" not in statsd.came()


def test_what_is_bought_is_counted_by_the_tasks_labels(vendor: Shop, statsd: Server) -> None:
    vendor.output = "https://cdn.invalid/result.mp4"
    labels = {"client": "acme & sons", "cost centre": 7}
    run_task(render(labels=labels), new_context())
    name = f"lipsync.submitted{TAGS},label_client=acme___sons,label_cost_centre=7"
    came = statsd.came()
    assert came[name] == "1|c", came
    assert not [other for other in came if "label_" in other and not other.startswith("lipsync.submitted")]


def test_credits_are_counted_as_many_as_were_estimated(vendor: Shop, statsd: Server) -> None:
    vendor.output = "https://cdn.invalid/result.mp4"
    with range_server(RangeServer(content=odd_media.wav(12.3))) as served:
        result = run_task(render(audio=served.url, labels={"client": "acme"}), new_context())
    assert result["credits_estimated"] == 26
    assert statsd.came()[f"lipsync.credits_estimated{TAGS},label_client=acme"] == "26|c"


def test_tags_stay_few_and_plain_whatever_a_vendor_calls_its_models(statsd: Server) -> None:
    for model in ("lipsync-image-550e8400", "lipsync,image=2 x"):
        job = Job(id=JOB_ID, status=JobStatus.COMPLETED, raw_status="completed", model=model, execution_time=1)
        metrics.note_end(job, submitted_at=0.0, now=2.0, conn_id="mine:eu 1")
    came = statsd.came()
    names = {f"lipsync.{name},conn_id=mine_eu_1,model=other" for name in ("job_seconds", "detection_lag")}
    assert set(came) == names
