"""Webhooks: the finished job, once, to whoever was named."""

from __future__ import annotations

import pytest

from airflow_provider_lipsync.sandbox import SandboxServer
from tests.sandbox.conftest import Receiver
from tests.sandbox.support import Caller, wait_for


def _deliveries(caller: Caller, job_id: str) -> list[dict[str, object]]:
    return wait_for(lambda: caller.entry(job_id)["webhook_deliveries"], bool)


def test_a_completed_job_is_delivered_as_the_very_object_of_a_query(canned: Caller, receiver: Receiver) -> None:
    job_id = canned.submit("lipsync-image", webhook=f"{receiver.url}/hooks/lipsync?token=abc")
    path, headers, body = receiver.got.get(timeout=10)
    assert path == "/hooks/lipsync?token=abc"
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers
    assert body == canned.query(job_id)
    (delivery,) = _deliveries(canned, job_id)
    assert (delivery["delivered"], delivery["status"], delivery["error"]) == (True, 200, "")


def test_a_failed_job_is_delivered_too(rendering: Caller, receiver: Receiver) -> None:
    job_id = rendering.submit("lipsync-image", image="http://127.0.0.1:1/face.png", webhook=receiver.url)
    _, _, body = receiver.got.get(timeout=10)
    assert (body["status"], body["error"]) == ("failed", "Could not download image")
    assert body == rendering.query(job_id)


def test_nothing_is_delivered_before_the_job_is_done(receiver: Receiver) -> None:
    with SandboxServer(canned=True, job_seconds=(1, 1)) as sandbox:
        caller = Caller(sandbox)
        job_id = caller.submit("lipsync-image", webhook=receiver.url)
        assert caller.query(job_id)["status"] == "processing"
        assert receiver.got.empty()
        assert receiver.got.get(timeout=10)[2]["status"] == "completed"
        caller.http.close()


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_a_bad_answer_is_noted_and_neither_repeated_nor_followed(
    canned: Caller, receiver: Receiver, status: int
) -> None:
    receiver.answer = status
    job_id = canned.submit("lipsync-image", webhook=receiver.url)
    receiver.got.get(timeout=10)
    (delivery,) = _deliveries(canned, job_id)
    assert (delivery["delivered"], delivery["status"]) == (False, status)
    canned.submit("lipsync-image", webhook=receiver.url)  # whatever else had been sent would be there before this one
    assert receiver.got.get(timeout=10)[2]["id"] != job_id


def test_a_receiver_that_is_not_there_is_noted(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image", webhook="http://127.0.0.1:1/hook")
    (delivery,) = _deliveries(canned, job_id)
    assert (delivery["delivered"], delivery["status"], delivery["error"]) == (False, None, "ConnectError")
