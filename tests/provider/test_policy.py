"""The table of `docs/reliability.md`, row by row, and what is recognized as the same input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_lipsync.api.models import ImageMultiRequest, ImageRequest, VideoRequest
from airflow_provider_lipsync.jobs.fingerprint import changed_fields, fingerprint, without_signature
from airflow_provider_lipsync.jobs.ledger import Generation, Record, State
from airflow_provider_lipsync.jobs.policy import Action, Plan, plan_try
from airflow_provider_lipsync.jobs.wishes import Wishes

FIRST = Generation(max_tries=1, clear_number=0)
CLEARED = Generation(max_tries=2, clear_number=1)
MARKS = {"image": "a", "audio": "b"}
OTHER = {"image": "a", "audio": "c"}
RETRY, CLEAR = FIRST, CLEARED


def record(state: State, **changes: Any) -> Record:
    known = state in (State.BOUGHT, State.FAILED, State.DELIVERED)
    values = {"endpoint": "lipsync-image", "generation": FIRST, "submitted_at": 1.0, "fingerprint": MARKS}
    return Record(state=state, **(values | {"job_id": "job-1" if known else None} | changes))


def planned(state: State | None, generation: Generation, marks: dict[str, str] = MARKS, **wishes: Any) -> Plan:
    known = None if state is None else record(state)
    return plan_try(known, generation=generation, fingerprint=marks, wishes=Wishes(**wishes))


@pytest.mark.parametrize(
    ("state", "retry", "clear"),
    [
        pytest.param(None, Action.BUY, Action.BUY, id="nothing"),
        pytest.param(State.REFUSED, Action.BUY, Action.BUY, id="refused"),
        pytest.param(State.INTENT, Action.ASK, Action.ASK, id="intent, no id"),
        pytest.param(State.BOUGHT, Action.REATTACH, Action.REATTACH, id="id, not delivered"),
        pytest.param(State.FAILED, Action.BUY, Action.BUY, id="failed"),
        pytest.param(State.DELIVERED, Action.REATTACH, Action.BUY, id="delivered"),
    ],
)
def test_the_table(state: State | None, retry: Action, clear: Action) -> None:
    assert planned(state, RETRY) == Plan(action=retry)
    assert planned(state, CLEAR) == Plan(action=clear)


@pytest.mark.parametrize("state", [None, *State])
def test_a_clear_that_resubmits_always_buys_and_names_what_it_gives_up(state: State | None) -> None:
    plan = planned(state, CLEAR, on_clear="resubmit")
    assert plan == Plan(action=Action.BUY, given_up="job-1" if state is State.BOUGHT else None)
    assert planned(state, RETRY, on_clear="resubmit") == planned(state, RETRY)


def test_a_clear_that_reuses_never_buys_what_was_delivered() -> None:
    assert planned(State.DELIVERED, CLEAR, on_clear="reuse").action is Action.REATTACH
    assert planned(State.FAILED, CLEAR, on_clear="reuse").action is Action.BUY
    assert planned(State.DELIVERED, CLEAR, OTHER, on_clear="reuse").action is Action.BUY  # this was not delivered


@pytest.mark.parametrize("generation", [RETRY, CLEAR], ids=["retry", "clear"])
def test_an_uncertain_submit_is_bought_again_only_if_the_user_says_so(generation: Generation) -> None:
    assert planned(State.INTENT, generation, OTHER).action is Action.ASK
    assert planned(State.INTENT, generation, on_ambiguous_submit="resubmit").action is Action.BUY


@pytest.mark.parametrize(
    ("wish", "retry", "clear"),
    [
        pytest.param("fail", Action.REFUSE, Action.BUY, id="fail"),
        pytest.param("reattach", Action.REATTACH, Action.REATTACH, id="reattach"),
        pytest.param("resubmit", Action.BUY, Action.BUY, id="resubmit"),
    ],
)
def test_other_inputs_than_those_of_a_job_that_nobody_has_had(wish: Any, retry: Action, clear: Action) -> None:
    for generation, action in ((RETRY, retry), (CLEAR, clear)):
        plan = planned(State.BOUGHT, generation, OTHER, on_changed_input=wish)
        assert plan.action is action
        assert plan.given_up == ("job-1" if action is Action.BUY else None)
        assert action is Action.REATTACH or plan.changed == ("audio",)


def test_a_retry_of_what_was_delivered_never_buys_whatever_changed() -> None:
    for wish in ("fail", "reattach", "resubmit"):
        assert planned(State.DELIVERED, RETRY, OTHER, on_changed_input=wish).action is Action.REATTACH


def test_the_inputs_of_an_adopted_job_are_not_known_and_not_compared() -> None:
    adopted = record(State.BOUGHT, fingerprint={})
    assert plan_try(adopted, generation=RETRY, fingerprint=OTHER, wishes=Wishes()).action is Action.REATTACH


@pytest.mark.parametrize(
    ("now", "is_clear"),
    [
        pytest.param(Generation(max_tries=1, clear_number=0), False, id="retry"),
        pytest.param(Generation(max_tries=2, clear_number=1), True, id="clear"),
        pytest.param(Generation(max_tries=1, clear_number=1), False, id="another task was cleared, or retries lowered"),
        pytest.param(Generation(max_tries=3, clear_number=0), False, id="only max_tries moved"),
        pytest.param(Generation(max_tries=0, clear_number=2), True, id="retries lowered, then a clear"),
        pytest.param(Generation(max_tries=2), True, id="no clear number, other max_tries"),
        pytest.param(Generation(max_tries=1), False, id="no clear number, same max_tries"),
    ],
)
def test_what_counts_as_a_clear(now: Generation, is_clear: bool) -> None:
    assert now.is_clear_of(FIRST) is is_clear


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"on_clear": "buy"}, "on_clear: allowed are auto, resubmit, reuse; got 'buy'"),
        ({"on_ambiguous_submit": "fail"}, "on_ambiguous_submit: allowed are None, resubmit; got 'fail'"),
        ({"on_changed_input": None}, "on_changed_input: allowed are fail, reattach, resubmit; got None"),
    ],
)
def test_a_wish_that_is_none_is_refused(wrong: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Wishes(**wrong)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            "https://b.s3.amazonaws.com/v.mp3?X-Amz-Algorithm=A&X-Amz-Credential=k&X-Amz-Date=1&X-Amz-Expires=9"
            "&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t&X-Amz-Signature=1",
            "https://b.s3.amazonaws.com/v.mp3?X-Amz-Algorithm=A&X-Amz-Credential=j&X-Amz-Date=2&X-Amz-Expires=9"
            "&X-Amz-SignedHeaders=host&X-Amz-Signature=2",
            id="S3",
        ),
        pytest.param(
            "https://b.s3.amazonaws.com/v.mp3?AWSAccessKeyId=k&Signature=1&Expires=1",
            "https://b.s3.amazonaws.com/v.mp3?AWSAccessKeyId=k&Signature=2&Expires=2",
            id="S3, old",
        ),
        pytest.param(
            "https://storage.googleapis.com/b/v.mp3?X-Goog-Algorithm=A&X-Goog-Date=1&X-Goog-Signature=1",
            "https://storage.googleapis.com/b/v.mp3?X-Goog-Algorithm=A&X-Goog-Date=2&X-Goog-Signature=2",
            id="Google",
        ),
        pytest.param(
            "https://a.blob.core.windows.net/c/v.mp3?sv=1&se=2026-01-01&sr=b&sp=r&sig=1%3D",
            "https://a.blob.core.windows.net/c/v.mp3?sv=1&se=2026-01-02&sr=b&sp=r&sig=2%3D",
            id="Azure",
        ),
        pytest.param(
            "https://d.cloudfront.net/v.mp3?Expires=1&Signature=1&Key-Pair-Id=K",
            "https://d.cloudfront.net/v.mp3?Expires=2&Signature=2&Key-Pair-Id=K",
            id="CloudFront",
        ),
    ],
)
def test_a_file_that_is_signed_anew_is_the_same_file(first: str, second: str) -> None:
    assert without_signature(first) == without_signature(second) == first.split("?", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://h/v.mp3?id=1", "https://h/v.mp3?id=2"),
        ("https://h/v.mp3?id=1&X-Amz-Signature=1", "https://h/v.mp3?id=2&X-Amz-Signature=1"),
        ("https://b.s3.amazonaws.com/v?versionId=1&X-Amz-Signature=1", "https://b.s3.amazonaws.com/v?versionId=2"),
        ("https://h/v.mp3?sig=1", "https://h/v.mp3?sig=2"),
        ("https://h/v.mp3?signature=1", "https://h/v.mp3?signature=2"),
        ("https://h/v.mp3?expires=1", "https://h/v.mp3?expires=2"),
        ("https://h/v.mp3?se=1&sp=2", "https://h/v.mp3?se=2&sp=2"),
        ("https://h/v.mp3?token=1", "https://h/v.mp3?token=2"),
        ("https://h/v.mp3?X-Amz-Date=1", "https://h/v.mp3?X-Amz-Date=2"),
        ("https://h/a", "https://h/b"),
        ("https://h/a", "http://h/a"),
        ("https://h/a?id=1", "https://h/a"),
        ("say ?X-Amz-Signature=1", "say ?X-Amz-Signature=2"),
    ],
)
def test_two_files_stay_two_files(first: str, second: str) -> None:
    assert without_signature(first) != without_signature(second)


def test_a_text_that_is_no_url_is_taken_as_it_is() -> None:
    assert without_signature("https://[broken?sig=1&sv=2") == "https://[broken?sig=1&sv=2"


def asked(**changes: Any) -> ImageRequest:
    values = {"image": "https://h/i.png", "audio": "https://h/a.mp3"}
    return ImageRequest(**(values | changes))


def test_each_field_is_told_apart() -> None:
    before = fingerprint(asked())
    assert set(before) == {"endpoint", "image", "audio", "resolution"}
    assert changed_fields(before, fingerprint(asked(seed=1, audio="https://h/b.mp3"))) == ("audio", "seed")
    assert changed_fields(before, fingerprint(asked(extra_form_state={"mood": {"calm": 1}}))) == ("mood",)
    assert changed_fields(before, before) == ()
    video = VideoRequest(video="https://h/i.png", audio="https://h/a.mp3")
    assert "endpoint" in changed_fields(before, fingerprint(video))
    voices = ImageMultiRequest(image="https://h/i", left_audio="https://h/l", right_audio="https://h/r")
    assert "order" in fingerprint(voices)


def test_the_webhook_decides_nothing_about_the_video() -> None:
    assert fingerprint(asked(webhook="https://me/1")) == fingerprint(asked(webhook="https://me/2"))


def test_nothing_of_an_input_can_be_read_from_its_marks() -> None:
    marks = fingerprint(asked(prompt="a secret plan", audio="https://h/a.mp3?X-Amz-Signature=abc&X-Amz-Credential=k"))
    assert "secret" not in str(marks)
    assert "Amz" not in str(marks)


def test_a_request_of_any_size_leaves_a_small_mark() -> None:
    extra = {f"{'field' * 30}-{number}": "x" * 5000 for number in range(300)}
    marks = fingerprint(asked(extra_form_state=extra))
    assert len(str(record(State.INTENT, fingerprint=marks).as_json())) < 3000
    foreign = fingerprint(asked(extra_form_state={f"{number:02}{'字' * 40}": 1 for number in range(30)}))
    assert len(json.dumps(record(State.INTENT, fingerprint=foreign).as_json())) < 3000
    last = sorted(extra)[-1]
    assert changed_fields(marks, fingerprint(asked(extra_form_state=extra | {last: "y"}))) == ("(further fields)",)


def test_what_lies_deeper_is_compared_as_well() -> None:
    def marks(signature: str, key: Any) -> dict[str, str]:
        url = f"https://b.s3.amazonaws.com/v?X-Amz-Signature={signature}"
        return fingerprint(asked(extra_form_state={"clips": [{"url": url, key: 1, "b": 2}]}))

    assert marks("1", 1) == marks("2", 1) == marks("1", "1")
    assert marks("1", 1) != marks("1", 2)
