"""What the vendor would refuse is refused, with words that help, and not charged; what was inferred is accepted."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.sandbox.support import FORMS, IMAGE, MULTI, VIDEO, Caller

GONE = object()


def _form(endpoint: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**FORMS[endpoint], **changes}.items() if value is not GONE}


_MISSING = [
    pytest.param(endpoint, {name: GONE}, f"formState.{name}: required, but missing", id=f"{endpoint} without {name}")
    for endpoint, form in FORMS.items()
    for name in form
]
_EMPTY = [
    pytest.param(endpoint, {name: ""}, f"formState.{name}: must not be empty", id=f"{endpoint} with empty {name}")
    for endpoint, form in FORMS.items()
    for name in form
]
_URLS = [
    pytest.param("lipsync-image", {"image": value}, "formState.image: must be an http or https URL", id=f"image {name}")
    for name, value in {
        "null": None,
        "a number": 3,
        "an array": ["http://a/b"],
        "an object": {"url": "http://a/b"},
        "a path": "/tmp/face.png",
        "a name": "face.png",
        "ftp": "ftp://media.invalid/face.png",
        "s3": "s3://bucket/face.png",
        "file": "file:///etc/passwd",
        "a data URL": "data:image/png;base64,AAAA",
        "without a host": "http:///face.png",
        "scheme alone": "https://",
        "with a bad port": "http://media.invalid:99999/x",
        "with port 0": "http://media.invalid:0/x",
        "with a space": "http://media.invalid/my face.png",
        "with a newline": "http://media.invalid/a\nb",
        "a template": "{{ ti.xcom_pull() }}",
        "a broken IPv6 host": "http://[::1/x",
    }.items()
]
_VALUES = [
    pytest.param("lipsync-image", {"resolution": "1080p"}, "one of 480p, 720p, got '1080p'", id="unknown resolution"),
    pytest.param("lipsync-image", {"resolution": 480}, "one of 480p, 720p, got 480", id="resolution a number"),
    pytest.param("lipsync-image", {"resolution": None}, "formState.resolution: must be", id="resolution null"),
    pytest.param("lipsync-video", {"resolution": ""}, "formState.resolution: must not be empty", id="resolution empty"),
    pytest.param("lipsync-video", {"resolution": ["480p"]}, "formState.resolution: must be", id="resolution an array"),
    pytest.param("lipsync-image-multi", {"order": "both"}, "one of meanwhile, left_right, right_left", id="order"),
    pytest.param("lipsync-image-multi", {"order": 1}, "formState.order: must be", id="order a number"),
    pytest.param("lipsync-image-multi", {"order": ""}, "formState.order: must not be empty", id="order empty"),
    pytest.param("lipsync-image", {"seed": "42"}, "formState.seed: must be an integer, got '42'", id="seed a string"),
    pytest.param("lipsync-image", {"seed": True}, "formState.seed: must be an integer, got true", id="seed a bool"),
    pytest.param("lipsync-image", {"seed": 4.0}, "formState.seed: must be an integer, got 4.0", id="seed a float"),
    pytest.param("lipsync-image", {"seed": None}, "formState.seed: must be an integer, got null", id="seed null"),
    pytest.param("lipsync-video", {"prompt": 1}, "formState.prompt: must be a string, got 1", id="prompt a number"),
    pytest.param("lipsync-video", {"prompt": None}, "formState.prompt: must be a string", id="prompt null"),
    pytest.param("lipsync-video", {"prompt": {}}, "formState.prompt: must be a string", id="prompt an object"),
    pytest.param("lipsync-video", {"mask_image": "mask.png"}, "formState.mask_image: must be an http", id="mask"),
    pytest.param("lipsync-image", {"mask_image": ""}, "formState.mask_image: must not be empty", id="mask empty"),
]


@pytest.mark.parametrize(("endpoint", "changes", "message"), _MISSING + _EMPTY + _URLS + _VALUES)
def test_a_wrong_form_state_is_refused_and_not_charged(
    canned: Caller, endpoint: str, changes: dict[str, Any], message: str
) -> None:
    response = canned.post(endpoint, {"formState": _form(endpoint, **changes)})
    assert response.status_code == 422
    assert list(response.json()) == ["error"]
    assert message in response.json()["error"]
    assert canned.sandbox.ledger() == []
    (refusal,) = canned.sandbox.refused()
    assert (refusal["endpoint"], refusal["http_status"], refusal["key_id"]) == (endpoint, 422, "key-1")
    assert refusal["error"] == response.json()["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({}, "formState: required, but missing", id="missing"),
        pytest.param({"formState": None}, "formState: must be an object, got null", id="null"),
        pytest.param({"formState": "{}"}, "formState: must be an object, got '{}'", id="a string"),
        pytest.param({"formState": []}, "formState: must be an object, got an array", id="an array"),
        pytest.param(IMAGE, "formState: required, but missing", id="fields at the top"),
    ],
)
def test_a_form_state_that_is_no_object_is_refused(canned: Caller, body: Any, message: str) -> None:
    response = canned.post("lipsync-image", body)
    assert (response.status_code, response.json()) == (422, {"error": message})
    assert canned.sandbox.ledger() == []


@pytest.mark.parametrize(
    "webhook",
    [
        pytest.param("http://hooks.example.com/x", id="http"),
        pytest.param("http://10.0.0.1/x", id="http in a private network"),
        pytest.param("http://127.0.0.1.example.com/x", id="http on a host that only looks like loopback"),
        pytest.param("ftp://hooks.example.com/x", id="ftp"),
        pytest.param("hooks.example.com", id="no scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param(True, id="a bool"),
        pytest.param({"url": "https://a/b"}, id="an object"),
    ],
)
def test_a_wrong_webhook_is_refused(canned: Caller, webhook: Any) -> None:
    response = canned.post("lipsync-image", {"webhook": webhook, "formState": IMAGE})
    assert response.status_code == 422
    assert response.json()["error"].startswith("webhook: must be an https URL with a host")
    assert canned.sandbox.ledger() == []


@pytest.mark.parametrize("webhook", ["http://127.0.0.1:1/x", "http://localhost:1/x", "http://[::1]:1/x"])
def test_a_webhook_on_loopback_may_be_http(canned: Caller, webhook: str) -> None:
    assert canned.post("lipsync-image", {"webhook": webhook, "formState": IMAGE}).status_code == 200


@pytest.mark.parametrize(
    ("endpoint", "form"),
    [
        pytest.param("lipsync-image", {**IMAGE, "resolution": "720p", "seed": 42}, id="image"),
        pytest.param(
            "lipsync-video",
            {**VIDEO, "resolution": "480p", "mask_image": "https://a/m.png", "prompt": "", "seed": -1},
            id="video",
        ),
    ],
)
def test_what_the_vendor_states_is_accepted_without_a_doubt(canned: Caller, endpoint: str, form: Any) -> None:
    assert canned.post(endpoint, {"formState": form}).status_code == 200
    (entry,) = canned.sandbox.ledger()
    assert entry["warnings"] == []


@pytest.mark.parametrize(
    ("endpoint", "changes", "warning"),
    [
        pytest.param(
            "lipsync-image", {"mask_image": "https://a/m.png"}, "formState.mask_image is only inferred", id="mask"
        ),
        pytest.param("lipsync-image", {"prompt": "calm"}, "formState.prompt is only inferred", id="prompt"),
        pytest.param("lipsync-image-multi", {}, "formState.image is only inferred", id="image of a dialogue"),
        pytest.param("lipsync-image-multi", {"resolution": "720p"}, "formState.resolution is only", id="resolution"),
        pytest.param("lipsync-image-multi", {"seed": 1}, "formState.seed is only inferred", id="seed"),
        pytest.param("lipsync-image-multi", {"prompt": "calm"}, "formState.prompt is only inferred", id="multi prompt"),
        pytest.param("lipsync-image-multi", {"order": "left_right"}, "order 'left_right' is only inferred", id="left"),
        pytest.param("lipsync-image-multi", {"order": "right_left"}, "order 'right_left' is only inferred", id="right"),
        pytest.param("lipsync-image", {"emotion": "joy"}, "formState.emotion is not a field", id="unknown field"),
        pytest.param("lipsync-image", {"order": "meanwhile"}, "formState.order is not a field", id="another's field"),
    ],
)
def test_what_is_only_inferred_is_accepted_with_a_warning(
    canned: Caller, caplog: pytest.LogCaptureFixture, endpoint: str, changes: dict[str, Any], warning: str
) -> None:
    with caplog.at_level(logging.WARNING, logger="airflow_provider_lipsync.sandbox"):
        job_id = canned.submit(endpoint, **changes)
    entry = canned.entry(job_id)
    assert any(warning in text for text in entry["warnings"])
    assert any(job_id in record.message and warning in record.message for record in caplog.records)


def test_an_order_that_the_vendor_states_is_no_doubt(canned: Caller) -> None:
    job_id = canned.submit("lipsync-image-multi", order="meanwhile")
    assert not any("order" in warning for warning in canned.entry(job_id)["warnings"])


def test_an_unknown_field_at_the_top_is_accepted_with_a_warning(canned: Caller) -> None:
    assert canned.post("lipsync-image", {"formState": IMAGE, "priority": 1}).status_code == 200
    assert any("priority" in warning for warning in canned.sandbox.ledger()[0]["warnings"])


def test_a_refusal_shows_no_query_string(canned: Caller) -> None:
    response = canned.post("lipsync-image", {"formState": {**MULTI, "image": "s3://b/k?X-Amz-Signature=secret"}})
    assert "s3://b/k" in response.json()["error"]
    assert "secret" not in response.json()["error"]
