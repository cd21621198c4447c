"""The control surface, canned videos, and a hundred submits at once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from airflow_provider_lipsync.sandbox import SandboxServer, Settings
from tests.sandbox.support import IMAGE, Caller, Film


def test_the_ledger_tells_all_of_a_submit(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image", resolution="720p", seed=7)
    canned.query(job_id)
    output = canned.query(job_id)["output"]
    httpx.get(output, timeout=60)
    entry = canned.entry(job_id)
    submitted = datetime.fromisoformat(entry.pop("submitted_at"))
    assert abs(datetime.now(UTC) - submitted) < timedelta(minutes=1)
    assert datetime.fromisoformat(entry.pop("finished_at")) >= submitted
    assert entry == {
        "job_id": job_id,
        "endpoint": "lipsync-image",
        "key_id": "key-1",
        "body": {"formState": {**IMAGE, "resolution": "720p", "seed": 7}},
        "warnings": [],
        "status": "completed",
        "error": "",
        "seconds_charged": 5,
        "credits_charged": 20,
        "polls": 2,
        "fetched": 1,
        "webhook_deliveries": [],
        "faults": [],
    }


def test_nothing_is_charged_in_the_ledger_before_the_lengths_are_known() -> None:
    with SandboxServer(canned=True, job_seconds=(600, 600)) as sandbox:
        caller = Caller(sandbox)
        entry = caller.entry(caller.submit("lipsync-image"))
        assert (entry["status"], entry["seconds_charged"], entry["credits_charged"]) == ("processing", None, None)
        assert entry["finished_at"] is None
        caller.http.close()


def test_downloads_are_counted_once_each(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image")
    url = canned.query(job_id)["output"]
    httpx.get(url, timeout=60)
    httpx.get(url, headers={"Range": "bytes=0-99"})
    httpx.get(url, headers={"Range": "bytes=100-"})
    httpx.head(url)
    assert canned.entry(job_id)["fetched"] == 2


def test_reset_forgets_jobs_and_refusals(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image")
    canned.post("lipsync-image", {})
    response = httpx.post(f"{canned.sandbox.control_url}/reset")
    assert (response.status_code, response.json()) == (200, {"forgotten": 1})
    assert (canned.sandbox.ledger(), canned.sandbox.refused()) == ([], [])
    assert canned.http.get(f"/jobs/{job_id}").status_code == 404
    assert httpx.get(f"{canned.sandbox.url}/outputs/{job_id}.mp4").status_code == 404


@pytest.mark.parametrize("path", ["/", "/sandbox", "/sandbox/"])
def test_the_sandbox_says_what_it_is(canned: Caller, path: str) -> None:
    page = httpx.get(canned.sandbox.url + path).json()
    assert page["api"] == canned.sandbox.base_url
    assert "memory only" in page["state"]
    assert f"{canned.sandbox.url}/samples/portrait.png" in page["samples"]


@pytest.mark.parametrize(("resolution", "lines"), [("480p", 480), ("720p", 720)])
def test_the_canned_video_is_a_real_one_and_fetches_no_media(canned: Caller, resolution: str, lines: int) -> None:
    job_id = canned.submit("lipsync-image", resolution=resolution)  # its media are on a host that cannot exist
    job = canned.query(job_id)
    assert job["status"] == "completed"
    response = httpx.get(job["output"], timeout=60)
    film = Film.read(response.content)
    assert film.codecs == ("h264", "aac")
    assert film.height == lines
    assert film.seconds == pytest.approx(2, abs=0.1)
    assert float(abs(film.sound).max()) > 0.05


def test_a_canned_sandbox_starts_and_stops_quickly_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    started = time.monotonic()
    with SandboxServer(canned=True) as sandbox:
        up = time.monotonic() - started
        assert httpx.get(sandbox.control_url).status_code == 200
        down = time.monotonic()
    assert up < 1
    assert time.monotonic() - down < 2
    assert set(threading.enumerate()) <= before


def test_a_sandbox_can_be_started_again_on_its_port() -> None:
    sandbox = SandboxServer(canned=True)
    for _ in range(3):
        with sandbox:
            assert httpx.get(sandbox.control_url).status_code == 200
            with pytest.raises(RuntimeError, match="already running"):
                sandbox.start()
    sandbox.stop()


def test_a_hundred_jobs_at_once_are_all_different_and_nobody_waits() -> None:
    with SandboxServer(canned=True, job_seconds=(1, 2)) as sandbox:
        ids, slowest = asyncio.run(_submit_and_query(sandbox, 120))
        assert len(set(ids)) == 120
        assert slowest < 5
        assert {entry["job_id"] for entry in sandbox.ledger()} == set(ids)
        caller = Caller(sandbox)
        assert {caller.finish(job_id)["status"] for job_id in ids} == {"completed"}
        caller.http.close()


async def _submit_and_query(sandbox: SandboxServer, count: int) -> tuple[list[str], float]:
    headers = {"Authorization": f"Bearer {sandbox.key}"}
    async with httpx.AsyncClient(base_url=sandbox.base_url, headers=headers, trust_env=False) as client:

        async def one() -> tuple[str, float]:
            submitted = await client.post("/lipsync-image", json={"formState": IMAGE})
            started = time.monotonic()
            job = await client.get(f"/jobs/{submitted.json()['id']}")
            return job.json()["id"], time.monotonic() - started

        answers = await asyncio.gather(*(one() for _ in range(count)))
    return [job_id for job_id, _ in answers], max(seconds for _, seconds in answers)


def test_the_log_has_a_line_per_request_without_queries_and_keys(
    canned: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="airflow_provider_lipsync"):
        job_id = canned.submit("lipsync-image", prompt=canned.sandbox.key)
        canned.http.get(f"/jobs/{job_id}?token=secret")
        canned.http.get(f"/jobs/{canned.sandbox.key}")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_lipsync")]
    assert any(line.startswith(f"GET /api/v1/jobs/{job_id} 200 ") for line in lines)
    assert any(line.startswith("POST /api/v1/lipsync-image 200 ") for line in lines)
    assert not [line for line in lines if "secret" in line or canned.sandbox.key in line]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"keys": ()}, "keys", id="no key"),
        pytest.param({"keys": ("a b",)}, "keys", id="a key with a space"),
        pytest.param({"speed": 0}, "speed", id="speed 0"),
        pytest.param({"speed": float("nan")}, "speed", id="speed nan"),
        pytest.param({"job_seconds": (3, 2)}, "job_seconds", id="low over high"),
        pytest.param({"job_seconds": (-1, 2)}, "job_seconds", id="negative time"),
        pytest.param({"job_seconds": (0, float("inf"))}, "job_seconds", id="endless"),
        pytest.param({"renderers": 0}, "renderers", id="no renderer"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)  # type: ignore[arg-type]
