"""Off unless it is turned on; where it cannot work the log says so, and the API server and the pages go on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_provider_lipsync.jobs.delivery import delivered_job
from tests.plugin.webhooks.conftest import KEY, Stage
from tests.sandbox.support import wait_for

BACKENDS = "tests.plugin.webhooks.backends"
ON = {"AIRFLOW__LIPSYNC__WEBHOOK_RECEIVER": "True", "AIRFLOW__LIPSYNC__WEBHOOK_CONN_IDS": "vendor_store"}


def has_store() -> bool:
    try:
        import airflow.state  # noqa: F401
    except ImportError:
        return False
    return True


needs_store = pytest.mark.skipif(not has_store(), reason="this Airflow has no task state store")


def pages_work(stage: Stage) -> None:
    with stage.server.client("ann") as ann:
        assert ann.get("jobs").status_code == 200
        assert ann.get("api/jobs").status_code == 200
        assert ann.get(f"{stage.server.url}/api/v2/version").status_code == 200


def test_it_is_off_by_default(one_stage: Stage) -> None:
    """Both options as Airflow ships them; the server's own are taken away."""
    assert one_stage.call("default_options") == ["False", ""]


def test_where_it_is_off_there_is_no_route_and_the_log_is_silent(stages: Callable[..., Stage]) -> None:
    stage = stages("sqlite", ("AIRFLOW__LIPSYNC__WEBHOOK_RECEIVER", "False"))
    assert not stage.call("receives")
    assert not [path for path in stage.call("mounted") if "webhook" in path]
    assert "webhooks" not in stage.server.log().replace("/lipsync/webhooks/token", "")
    pages_work(stage)


def test_where_it_is_on_there_is_one_route_and_the_pages_work(one_stage: Stage) -> None:
    assert one_stage.call("receives")
    assert [path for path in one_stage.call("mounted") if "webhook" in path] == ["/webhooks/{token:path}"]
    pages_work(one_stage)


def test_where_airflow_lacks_what_it_takes_the_log_says_so_and_the_pages_work(stages: Callable[..., Stage]) -> None:
    stage = stages("sqlite", ("TESTS_WITHOUT", "airflow.models.connection:Connection.get_connection_from_secrets"))
    assert not stage.call("receives")
    pages_work(stage)
    [line] = [line for line in stage.server.log().splitlines() if "webhooks are not received" in line]
    assert "Connection.get_connection_from_secrets" in line
    assert "Jobs are polled." in line


@pytest.mark.parametrize(
    "name",
    [
        "airflow.models.trigger:handle_event_submit",
        "airflow.models.trigger:Trigger.kwargs",
        "airflow.triggers.base:TriggerEvent",
    ],
)
def test_whatever_is_missing_is_named_and_nothing_starts(one_stage: Stage, name: str) -> None:
    started, lines = one_stage.call("would_start", env=ON, without=name)
    assert not started
    [line] = lines
    assert "Lipsync webhooks are not received" in line
    assert name.rpartition(":")[2] in line


@pytest.mark.parametrize(
    ("env", "why"),
    [
        pytest.param(
            {"AIRFLOW__LIPSYNC__WEBHOOK_CONN_IDS": " , "}, "webhook_conn_ids names no connection", id="nobody"
        ),
        pytest.param({"AIRFLOW__LIPSYNC__WEBHOOK_RECEIVER": "perhaps"}, "Lipsync webhooks are not received", id="odd"),
        pytest.param(
            {"AIRFLOW__WORKERS__STATE_STORE_BACKEND": f"{BACKENDS}.Broken"},
            "no credentials in this process",
            id="a backend that cannot be made here",
            marks=needs_store,
        ),
        pytest.param(
            {"AIRFLOW__WORKERS__STATE_STORE_BACKEND": f"{BACKENDS}.Nothing"},
            "state_store_backend",
            id="a backend that is not there",
            marks=needs_store,
        ),
    ],
)
def test_what_is_configured_wrongly_is_told_and_nothing_starts(one_stage: Stage, env: dict[str, str], why: str) -> None:
    started, lines = one_stage.call("would_start", env={**ON, **env})
    assert not started
    assert why in "\n".join(lines)


def test_what_is_configured_rightly_starts(one_stage: Stage) -> None:
    """So that none of the above was told for another reason."""
    assert one_stage.call("would_start", env=ON)[0]
    assert not one_stage.call("would_start", env={**ON, "AIRFLOW__LIPSYNC__WEBHOOK_RECEIVER": "False"})[0]


@needs_store
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([("AIRFLOW__STATE_STORE__BACKEND", f"{BACKENDS}.Elsewhere")], id="Airflow's"),
        pytest.param([("AIRFLOW__WORKERS__STATE_STORE_BACKEND", f"{BACKENDS}.References")], id="the workers'"),
    ],
)
def test_a_state_store_backend_of_ones_own_is_read_and_brings_back_no_id(
    stages: Callable[..., Stage], changes: list[tuple[str, str]]
) -> None:
    stage = stages("sqlite", *changes)
    stage.call("hurry", look_again=[0.3, 0.3])
    purchase = stage.purchase(job_id=stage.ended()).defer()
    assert purchase.deliver().status_code == 200
    assert purchase.state == "scheduled"
    assert delivered_job(purchase.told(), purchase.nonce) is not None
    assert purchase.deliver("another-job").status_code == 200  # it is done
    lost, job_id = stage.purchase(state="intent"), stage.ended()
    assert lost.deliver(job_id).status_code == 503
    stage.settled()
    assert (lost.told(), stage.looks(job_id)) == (None, 0)
    assert "'vendor_store' are received. They bring back no id that was lost" in stage.server.log()


@needs_store
def test_what_only_the_workers_can_read_is_polled(stages: Callable[..., Stage]) -> None:
    """[workers] state_store_backend is set for the workers, and not for the API server."""
    stage = stages("sqlite", ("WORKERS_BACKEND", f"{BACKENDS}.References"))
    stage.call("hurry", look_again=[])
    purchase = stage.purchase(job_id=stage.ended()).defer()
    assert purchase.deliver().status_code == 503
    assert (purchase.state, purchase.told(), stage.looks(purchase.job_id)) == ("deferred", None, 0)
    wait_for(stage.server.log, lambda log: "could not be looked into, whose jobs are looked at later" in log)
    assert "UnreadableStateError: 1" in stage.server.log()


@pytest.mark.skipif(has_store(), reason="this Airflow has a task state store")
def test_without_a_state_store_a_connection_needs_a_ledger_path(one_stage: Stage) -> None:
    log = one_stage.server.log()
    assert "'vendor_store' are refused: this Airflow has no task state store" in log
    assert "'vendor_folder' are received. They bring back no id that was lost" in log
    purchase = one_stage.purchase("folder", job_id=one_stage.ended())
    token = purchase.token(conn_id="vendor_store", secret="a secret that only this connection has: vendor_store")
    assert one_stage.post(token, {"id": purchase.job_id, "status": "completed"}).status_code == 404


def test_what_is_received_is_counted_by_its_outcome(one_stage: Stage) -> None:
    one_stage.call("hurry", look_again=[])
    one_stage.call("metrics")
    purchase = one_stage.purchase("folder", job_id=one_stage.ended(), submitted_at=1_763_900_000.0).defer()
    early = one_stage.purchase("folder", job_id=one_stage.submit())
    failed = one_stage.purchase("folder", state="intent")
    for one in (purchase, purchase, early):
        assert one.deliver().status_code == 200
    assert failed.deliver("an-id").status_code == 503
    assert purchase.deliver("another-job").status_code == 200
    assert early.deliver("another-job").status_code == 404
    assert one_stage.post("token", {}).status_code == 404
    told = [[name, tags] for name, tags in one_stage.call("metrics") if name == "webhooks"]
    of_it = {"conn_id": "vendor_folder", "model": "lipsync-image"}
    assert told == [
        *(["webhooks", {**of_it, "outcome": outcome}] for outcome in ("delivered", "duplicate", "early")),
        ["webhooks", {"conn_id": "vendor_folder", "outcome": "failed"}],
        ["webhooks", {**of_it, "outcome": "duplicate"}],
        ["webhooks", {"outcome": "refused"}],
        ["webhooks", {"outcome": "refused"}],
    ]


def test_a_job_that_is_handed_on_is_timed(one_stage: Stage) -> None:
    one_stage.call("metrics")
    purchase = one_stage.purchase("folder", job_id=one_stage.ended()).defer()
    purchase.deliver()
    purchase.deliver()
    names = [name for name, _ in one_stage.call("metrics")]
    assert (names.count("job_seconds"), names.count("webhooks")) == (1, 2)


def test_the_key_is_nowhere_in_what_is_handed_on(one_stage: Stage) -> None:
    purchase = one_stage.purchase("folder", job_id=one_stage.ended()).defer()
    purchase.deliver()
    assert KEY not in json.dumps([purchase.standing(), purchase.told()])
