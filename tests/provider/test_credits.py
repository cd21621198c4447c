"""Credits: estimated before the submit, held against limits, split by labels, told where they are missing."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Asset, TaskDeferred

from airflow_provider_lipsync import LipsyncImageMultiOperator, LipsyncImageOperator, LipsyncJobSensor
from airflow_provider_lipsync.exceptions import (
    LipsyncBadInput,
    LipsyncError,
    LipsyncJobFailed,
    LipsyncMisconfigured,
    LipsyncNoCredits,
    LipsyncOverBudget,
    LipsyncSubmitUncertain,
)
from airflow_provider_lipsync.jobs.card import CARD_KEY
from airflow_provider_lipsync.media import origins
from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX
from tests.media.range_server import RangeServer, range_server
from tests.provider.conftest import Tell
from tests.support.places import Place
from tests.support.scripted import answer, drop
from tests.support.shop import Shop, begin
from tests.support.tasks import FakeTaskInstance, Tries, new_context, run_task, succeed
from tests.support.vendor import KEY, connection
from tests.support.videos import VIDEO, video_at

IMAGE = "https://cdn.invalid/host.png"


class Sounds:
    """Files of this worker, and a place where the vendor could fetch their copies."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, vendor: Shop) -> None:
        self.folder, self.monkeypatch, self.vendor = folder, monkeypatch, vendor
        self.staging = folder / "staging"
        self.staging.mkdir()
        self.connect()

    def connect(self, **extra: Any) -> None:
        base = {f"file://{self.staging}/": "https://cdn.invalid/staging/"}
        text = connection(self.vendor.url, staging_path=f"file://{self.staging}", public_url_base=base, **extra)
        self.monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", text)

    def speech(self, seconds: float) -> str:
        path = self.folder / f"{seconds}.wav"
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(b"\x00\x01" * round(8000 * seconds))
        return str(path)


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: Shop) -> Sounds:
    return Sounds(tmp_path, monkeypatch, vendor)


@pytest.fixture(autouse=True)
def _a_video(vendor: Shop) -> None:
    vendor.output = "https://cdn.invalid/result.mp4"


def task_for(audio: str, **changes: Any) -> Any:
    values: dict[str, Any] = {"image": IMAGE, "audio": audio, "poll_interval": 0.01, "task_id": "render"}
    return LipsyncImageOperator(**values | changes)


def test_credits_are_in_the_result_the_card_and_the_log_before_the_submit(
    sounds: Sounds, vendor: Shop, deferrable: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    context = new_context()
    result = run_task(task_for(sounds.speech(12.3), resolution="720p", deferrable=deferrable), context)
    assert result["credits_estimated"] == 52
    card = context["ti"].xcoms[CARD_KEY]
    assert (card["seconds"], card["credits_estimated"], card["resolution"]) == (13, 52, "720p")
    log = "".join(capfd.readouterr())
    assert log.index("Credits, estimated: 52 credits (13 s)") < log.index("was bought")


def test_both_speakers_are_counted(sounds: Sounds, vendor: Shop) -> None:
    left, right = sounds.speech(6.5), sounds.speech(7.5)
    task = LipsyncImageMultiOperator(
        task_id="render", image=IMAGE, left_audio=left, right_audio=right, order="left_right", poll_interval=0.01
    )
    assert run_task(task, new_context())["credits_estimated"] == 28


def test_what_goes_over_known_fields_is_what_is_counted(sounds: Sounds, vendor: Shop) -> None:
    """Else a DAG author could pass a limit of the connection by `extra_form_state`."""
    sounds.connect(max_credits_per_job=26)
    extra = {"audio": sounds.speech(12.3), "resolution": "720p"}
    with pytest.raises(LipsyncOverBudget, match=r"52 credits \(13 s\)"):
        task_for(sounds.speech(1), extra_form_state=extra).execute(new_context())
    for resolution in ("1080p", "", 0):  # no price is known of what the vendor's page does not have
        with pytest.raises(LipsyncOverBudget, match="no price is known"):
            task_for(sounds.speech(1), extra_form_state={"resolution": resolution}).execute(new_context())
    assert vendor.bodies == []


def test_what_cannot_be_measured_is_unknown_and_bought_where_nobody_set_a_limit(
    vendor: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    context = new_context()
    result = run_task(task_for("https://cdn.invalid/speech.mp3"), context)
    assert result["credits_estimated"] is None
    assert context["ti"].xcoms[CARD_KEY]["credits_estimated"] is None
    assert "Credits, estimated: unknown (audio:" in "".join(capfd.readouterr())


@pytest.mark.parametrize("limit", ["operator", "connection"])
def test_a_job_over_the_limit_is_refused_for_good_before_the_submit(sounds: Sounds, vendor: Shop, limit: str) -> None:
    audio, given = sounds.speech(12.3), {}
    if limit == "operator":
        given["max_credits"] = 25
    else:
        sounds.connect(max_credits_per_job=25)
        given["max_credits"] = 1000  # a DAG author cannot raise it
    tries = Tries(retries=3)
    with pytest.raises(LipsyncOverBudget, match=r"26 credits \(13 s\).*allows 25 credits") as refused:
        task_for(audio, **given).execute(tries.next())
    assert isinstance(refused.value, AirflowFailException)
    assert str(refused.value).startswith("job none · charged: no")
    assert vendor.bodies == []
    assert list(sounds.staging.iterdir()) == []  # not even a copy was made
    assert tries.store.rows == {}


@pytest.mark.parametrize(
    ("status", "then"),
    [
        pytest.param(404, "use media whose length can be read", id="for good"),
        pytest.param(503, "clear the task once its media can be read again", id="now"),
    ],
)
def test_an_unknown_cost_is_refused_where_there_is_a_limit(
    vendor: Shop, monkeypatch: pytest.MonkeyPatch, status: int, then: str
) -> None:
    monkeypatch.setattr(origins, "_WAITS", (0.0, 0.0))
    with range_server(RangeServer(statuses=[status] * 5)) as served:
        task = task_for(served.url, max_credits=1000)
        with pytest.raises(LipsyncOverBudget, match="What this job costs is not known: audio: ") as refused:
            task.execute(new_context())
    assert isinstance(refused.value, AirflowFailException)
    assert refused.value.next_step.startswith(then)
    assert vendor.bodies == []


def test_an_input_that_is_wrong_is_told_before_a_cost_that_is_not_known(sounds: Sounds, vendor: Shop) -> None:
    path = sounds.folder / "speech.mp3"
    path.write_text("<html>Not found</html>")
    with pytest.raises(LipsyncBadInput, match="audio"):
        task_for(str(path), max_credits=1000).execute(new_context())


def fail_once(tries: Tries, vendor: Shop, audio: str, **changes: Any) -> None:
    vendor.status = "failed"
    with pytest.raises(LipsyncJobFailed):
        run_task(task_for(audio, deferrable=False, **changes), tries.next())
    vendor.status = "completed"


@pytest.mark.parametrize("cleared", [False, True], ids=["retry", "clear"])
def test_all_tries_count_together(sounds: Sounds, vendor: Shop, cleared: bool) -> None:
    audio, tries = sounds.speech(12.3), Tries(retries=3)
    fail_once(tries, vendor, audio, max_credits=51)
    with pytest.raises(LipsyncOverBudget, match="earlier tries of this task spent 26: 52 in all"):
        run_task(task_for(audio, max_credits=51), tries.next(cleared=cleared))
    assert len(vendor.bodies) == 1
    result = run_task(task_for(audio, max_credits=52), tries.next())
    assert (result["credits_estimated"], len(vendor.bodies)) == (26, 2)


def test_a_submit_that_was_refused_costs_nothing(sounds: Sounds, vendor: Shop) -> None:
    audio, tries = sounds.speech(12.3), Tries(retries=3)
    vendor.refuses = 402
    with pytest.raises(LipsyncNoCredits):
        task_for(audio, max_credits=26).execute(tries.next())
    vendor.refuses = None
    assert run_task(task_for(audio, max_credits=26), tries.next(cleared=True))["credits_estimated"] == 26


def test_a_submit_whose_answer_was_lost_counts_since_it_may_have_been_charged(sounds: Sounds, tell: Tell) -> None:
    audio, tries = sounds.speech(12.3), Tries(retries=3)
    sounds.vendor.url = tell(drop).url
    sounds.connect()
    with pytest.raises(LipsyncSubmitUncertain):
        task_for(audio, max_credits=51).execute(tries.next())
    again = {"on_ambiguous_submit": "resubmit"}
    with pytest.raises(LipsyncOverBudget, match="earlier tries of this task spent 26: 52 in all"):
        task_for(audio, max_credits=51, **again).execute(tries.next(cleared=True))


def test_a_retry_of_a_bought_job_spends_nothing_and_knows_what_it_cost(sounds: Sounds, vendor: Shop) -> None:
    audio, tries = sounds.speech(12.3), Tries(retries=3)
    begin(task_for(audio, max_credits=26, labels={"client": "acme"}), tries.next(), vendor)  # nobody comes back
    context = tries.next()
    result = run_task(task_for(audio, max_credits=26, labels={"client": "acme"}), context)
    assert (result["credits_estimated"], result["labels"], len(vendor.bodies)) == (26, {"client": "acme"}, 1)
    assert context["ti"].xcoms[CARD_KEY]["seconds"] == 13


def test_a_record_of_an_earlier_release_counts_as_unknown(sounds: Sounds, vendor: Shop) -> None:
    audio, tries = sounds.speech(12.3), Tries(retries=3)
    fail_once(tries, vendor, audio)
    record = tries.store.get("lipsync_job")
    tries.store.rows["lipsync_job"] = json.dumps(
        {name: value for name, value in record.items() if name not in ("credits", "seconds", "spent", "spent_unknown")}
    )
    with pytest.raises(LipsyncOverBudget, match="cannot be counted"):
        run_task(task_for(audio, max_credits=1000), tries.next())
    assert run_task(task_for(audio), tries.next())["credits_estimated"] == 26


def test_an_adopted_job_costs_the_task_nothing(sounds: Sounds, vendor: Shop) -> None:
    audio, tries = sounds.speech(12.3), Tries(retries=3)
    found = "550e8400-e29b-41d4-a716-446655440000"
    result = run_task(task_for(audio, max_credits=1, resume_job_id=found), tries.next())
    assert (result["job_id"], result["credits_estimated"], vendor.bodies) == (found, None, [])


@pytest.mark.parametrize("value", [-1, "many", 2.5, True])
def test_a_limit_that_is_none_is_refused_while_the_dag_is_read(value: Any) -> None:
    with pytest.raises(LipsyncBadInput, match="max_credits: a whole number of credits"):
        task_for("https://cdn.invalid/a.mp3", max_credits=value)


def test_a_limit_may_come_out_of_a_template(sounds: Sounds) -> None:
    task = task_for(sounds.speech(12.3), max_credits="{{ params.limit }}")
    task.max_credits = "25"
    with pytest.raises(LipsyncOverBudget):
        task.execute(new_context())


@pytest.mark.parametrize(("rendered", "is_told"), [("None", True), ("", True), (None, False)])
def test_a_template_that_comes_out_empty_is_no_limit_and_says_so(
    sounds: Sounds, capfd: pytest.CaptureFixture[str], rendered: str | None, is_told: bool
) -> None:
    task = task_for(sounds.speech(12.3), max_credits="{{ params.limit }}")
    task.max_credits = rendered
    assert run_task(task, new_context())["status"] == "completed"
    assert ("the task has no limit of its own" in "".join(capfd.readouterr())) is is_told


def test_a_limit_of_the_connection_that_is_none_is_refused(sounds: Sounds, vendor: Shop) -> None:
    sounds.connect(max_credits_per_job="a few")
    with pytest.raises(LipsyncMisconfigured, match="max_credits_per_job must be a whole number"):
        task_for(sounds.speech(1)).execute(new_context())
    assert vendor.bodies == []


# No credits.


def test_no_credits_fail_for_good_and_nothing_was_charged(vendor: Shop) -> None:
    vendor.refuses = 402
    with pytest.raises(LipsyncNoCredits, match="charged: no") as refused:
        task_for("https://cdn.invalid/a.mp3").execute(new_context())
    assert isinstance(refused.value, AirflowFailException)


def test_no_credits_are_retried_where_that_was_asked_for(vendor: Shop) -> None:
    vendor.refuses = 402
    tries = Tries(retries=1)
    with pytest.raises(LipsyncNoCredits, match=r"charged: no .* a retry submits again") as refused:
        task_for("https://cdn.invalid/a.mp3", on_no_credits="retry").execute(tries.next())
    assert not isinstance(refused.value, AirflowFailException)
    vendor.refuses = None
    assert run_task(task_for("https://cdn.invalid/a.mp3", on_no_credits="retry"), tries.next())["status"] == "completed"


def test_another_wish_about_credits_is_refused_while_the_dag_is_read() -> None:
    with pytest.raises(LipsyncBadInput, match="on_no_credits: allowed are fail, retry"):
        task_for("https://cdn.invalid/a.mp3", on_no_credits="wait")


# Labels.


def test_labels_go_into_result_log_card_receipt_and_asset_event(
    place: Place, vendor: Shop, capfd: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    told: dict[str, Any] = {}

    class Events:
        """As Airflow hands them to a task; an asset of Airflow 3.1 is no key of a dict."""

        extra = told

        def __getitem__(self, _: Asset) -> Events:
            return self

    asset = Asset("s3://bucket/video.mp4")
    context = {**new_context(), "outlet_events": Events()}
    labels = {"client": "acme", "cost_centre": 7}
    task = task_for(
        "https://cdn.invalid/a.mp3",
        labels=labels,
        output_path=place.path,
        outlets=[asset],
        deferrable=deferrable,
    )
    with video_at(answer(200, VIDEO)) as vendor.output:
        result = run_task(task, context)
    expected = {"client": "acme", "cost_centre": "7"}
    assert result["labels"] == context["ti"].xcoms[CARD_KEY]["labels"] == told["labels"] == expected
    assert "credits_estimated" in told
    assert "Labels: client=acme, cost_centre=7." in "".join(capfd.readouterr())
    receipt = json.loads(place.beside(RECEIPT_SUFFIX) or b"{}")
    assert receipt["labels"] == expected


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(["acme"], id="list"),
        pytest.param({"client": ["acme"]}, id="nested"),
        pytest.param({"client": "a" * 129}, id="long"),
        pytest.param({f"n{number}": "x" for number in range(17)}, id="many"),
        pytest.param({"client": "a\nb"}, id="two lines"),
        pytest.param({"client": True}, id="switch"),
    ],
)
def test_labels_that_are_none_are_refused_while_the_dag_is_read(labels: Any) -> None:
    with pytest.raises(LipsyncBadInput, match="labels: "):
        task_for("https://cdn.invalid/a.mp3", labels=labels)


def test_the_key_as_a_label_is_refused(vendor: Shop) -> None:
    with pytest.raises(LipsyncBadInput) as refused:
        task_for("https://cdn.invalid/a.mp3", labels={"key": KEY}).execute(new_context())
    assert KEY not in str(refused.value)
    assert vendor.bodies == []


def test_labels_and_credits_are_templates(sounds: Sounds) -> None:
    assert {"labels", "max_credits"} <= set(LipsyncImageOperator.template_fields)


def test_a_sensor_hands_on_what_the_result_it_was_given_knows(vendor: Shop) -> None:
    given = {"job_id": "550e8400-e29b-41d4-a716-446655440000", "credits_estimated": 26, "labels": {"client": "acme"}}
    result = run_task(LipsyncJobSensor(task_id="render", job=given, poke_interval=0.01), new_context())
    assert (result["credits_estimated"], result["labels"]) == (26, {"client": "acme"})


# The card.


def test_the_card_stands_while_the_job_renders_and_holds_no_secret(vendor: Shop) -> None:
    context = new_context()
    url = "https://user:secret@cdn.invalid/a.mp3?X-Amz-Signature=verysecret"
    begin(task_for(url, seed=7, output_path="file:///tmp/none/{{ ds }}.mp4".replace("{{ ds }}", "x")), context, vendor)
    card = context["ti"].xcoms[CARD_KEY]
    assert card["inputs"] == {"image": IMAGE, "audio": "https://cdn.invalid/a.mp3?…"}
    assert (card["seed"], card["endpoint"], card["job_id"]) == (7, "lipsync-image", vendor.jobs[-1])
    assert card["deadline"] - card["submitted_at"] == pytest.approx(1800)
    assert card["player_url"].endswith("/lipsync/player?dag_id=show&run_id=manual__2026-01-05&task_id=render")
    assert not any(secret in json.dumps(card) for secret in ("verysecret", "user:", KEY))


def test_a_card_that_airflow_does_not_take_costs_nothing(vendor: Shop) -> None:
    context = new_context()

    def refuse(key: str, value: Any) -> None:
        raise OSError("the database is gone")

    context["ti"].xcom_push = refuse
    assert run_task(task_for("https://cdn.invalid/a.mp3"), context)["status"] == "completed"


def test_a_video_that_stands_has_a_card_too(place: Place, vendor: Shop) -> None:
    given = {"output_path": place.path, "labels": {"client": "acme"}}
    first, tries = new_context(), Tries()
    task = task_for("https://cdn.invalid/a.mp3", **given)
    with video_at(answer(200, VIDEO)) as vendor.output:
        bought = run_task(task, first)
    succeed(task, first)
    other = tries.next()
    other["ti"].run_id = FakeTaskInstance.run_id + "-again"
    found = run_task(task_for("https://cdn.invalid/a.mp3", **given), other)
    assert found["sha256"] == bought["sha256"]
    card = other["ti"].xcoms[CARD_KEY]
    assert (card["job_id"], card["submitted_at"]) == (bought["job_id"], None)
    assert len(vendor.bodies) == 1


def test_credits_and_labels_are_known_where_nobody_carried_them_through_the_deferral(
    sounds: Sounds, vendor: Shop
) -> None:
    task, context = task_for(sounds.speech(12.3), labels={"client": "acme"}), new_context()
    vendor.status = "processing"
    with pytest.raises(TaskDeferred) as waiting:
        task.execute(context)
    vendor.status = "completed"
    event = {"status": "completed", "job_id": vendor.jobs[-1], "job": None, "message": ""}
    result = task.resume_execution(waiting.value.method_name, {"event": event}, context)  # as dag.test() does
    assert (result["credits_estimated"], result["labels"]) == (26, {"client": "acme"})


@pytest.mark.parametrize("limit", [1, None], ids=["refused before the submit", "failed at the vendor"])
def test_why_a_try_failed_is_handed_on_for_the_pages(vendor: Shop, sounds: Sounds, limit: int | None) -> None:
    vendor.status = "failed"
    context = new_context()
    with pytest.raises(LipsyncError) as failed:
        run_task(task_for(sounds.speech(1), max_credits=limit), context)
    told = context["ti"].xcoms["lipsync_error"]
    assert told["error"] == type(failed.value).__name__
    assert (told["message"], told["next_step"]) == (failed.value.message, failed.value.next_step)
    assert (told["charged"], told["job_id"]) == (("no", None) if limit else ("yes", vendor.jobs[-1]))
