"""OpenLineage: what its provider is told of a task, through its real listener's extractor."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncJobSensor, LipsyncToObjectStorageOperator
from airflow_provider_lipsync.jobs.card import CARD_KEY
from airflow_provider_lipsync.media.named import named_medium
from airflow_provider_lipsync.media.sources import source_of
from airflow_provider_lipsync.operators.lineage import dataset_name
from tests.support.places import Place
from tests.support.scripted import answer
from tests.support.shop import Shop
from tests.support.tasks import new_context, run_task
from tests.support.vendor import JOB_ID, KEY
from tests.support.videos import VIDEO, video_at

CONTENTS = {"image": "https://cdn.invalid/face.png", "audio": "https://cdn.invalid/a.mp3?X-Amz-Signature=verysecret"}


def finished(vendor: Shop) -> tuple[Any, Any]:
    """A task that has ended well, and its task instance as a listener sees it."""
    vendor.output = "https://cdn.invalid/result.mp4"
    task = LipsyncImageOperator(task_id="render", poll_interval=0.01, labels={"client": "acme"}, **CONTENTS)
    context = new_context()
    result = run_task(task, context)
    ti = context["ti"]
    ti.xcoms["return_value"] = {**result, "output_uri": "s3://bucket/out/video.mp4", "credits_estimated": 26}
    ti.task = task
    return task, ti


def extracted(task: Any, ti: Any) -> Any:
    """What OpenLineage's provider makes of the task."""
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    return DefaultExtractor(task).extract_on_complete(ti)


def test_openlineage_hears_of_media_video_job_and_credits(vendor: Shop) -> None:
    task, ti = finished(vendor)
    lineage = extracted(task, ti)
    assert [(one.namespace, one.name) for one in lineage.inputs] == [
        ("https://cdn.invalid", "face.png"),
        ("https://cdn.invalid", "a.mp3"),
    ]
    assert [(one.namespace, one.name) for one in lineage.outputs] == [("s3://bucket", "out/video.mp4")]
    facet = lineage.run_facets["lipsync_job"]
    assert (facet.jobId, facet.model, facet.creditsEstimated) == (vendor.jobs[0], "lipsync-image", 26)
    assert facet.labels == {"client": "acme"}


@pytest.mark.parametrize(
    ("medium", "expected"),
    [
        pytest.param("s3://aws_mine@bucket/in/face.png", ("s3://bucket", "in/face.png"), id="object storage"),
        pytest.param("/mnt/studio/face.png", ("file", "/mnt/studio/face.png"), id="disk"),
        pytest.param("file:///mnt/studio/face.png", ("file", "/mnt/studio/face.png"), id="disk, as a URL"),
    ],
)
def test_media_of_any_kind_are_inputs(vendor: Shop, medium: str, expected: tuple[str, str]) -> None:
    task, ti = finished(vendor)
    named = named_medium("image", medium, required=True)
    assert named is not None
    ti.xcoms[CARD_KEY]["inputs"] = {"image": source_of("image", named).shown}  # as the card of such a task has it
    [found] = extracted(task, ti).inputs
    assert (found.namespace, found.name) == expected


def test_a_sensor_tells_the_job_and_a_transfer_tells_the_video_that_it_stored(vendor: Shop, place: Place) -> None:
    given = {"job_id": JOB_ID, "credits_estimated": 26, "labels": {"client": "acme"}}
    with video_at(answer(200, VIDEO)) as vendor.output:
        for task in (
            LipsyncJobSensor(task_id="render", job=given, poke_interval=0.01),
            LipsyncToObjectStorageOperator(task_id="render", job=given, output_path=place.path),
        ):
            context = new_context()
            context["ti"].xcoms["return_value"] = result = run_task(task, context)
            lineage = extracted(task, context["ti"])
            facet = lineage.run_facets["lipsync_job"]
            assert (facet.jobId, facet.model, facet.creditsEstimated) == (JOB_ID, "lipsync-image", 26)
            assert facet.labels == {"client": "acme"}
    assert lineage.inputs == []
    [stored] = lineage.outputs
    assert (stored.namespace, stored.name) == dataset_name(result["output_uri"])


def test_what_leaves_is_json_of_openlineage_and_no_secret(vendor: Shop) -> None:
    from openlineage.client.serde import Serde

    told = Serde.to_json(extracted(*finished(vendor)).run_facets["lipsync_job"])
    assert {"_producer", "_schemaURL", "jobId"} <= set(json.loads(told))
    assert not [secret for secret in ("verysecret", KEY) if secret in told]


def test_a_task_that_ended_before_it_had_a_job_tells_nothing_wrong(vendor: Shop) -> None:
    task, ti = finished(vendor)
    ti.xcoms.clear()
    lineage = extracted(task, ti)
    assert (lineage.inputs, lineage.outputs, lineage.run_facets) == ([], [], {})


def test_without_openlineage_nothing_is_told_and_nothing_breaks() -> None:
    program = """
import sys
from airflow_provider_lipsync import LipsyncImageOperator
sys.modules["airflow.providers.openlineage.extractors"] = None
sys.modules["openlineage"] = None
task = LipsyncImageOperator(task_id="render", image="https://h/i.png", audio="https://h/a.mp3")
assert task.get_openlineage_facets_on_start() is None
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("s3://bucket/a/b.mp4", ("s3://bucket", "a/b.mp4"), id="S3"),
        pytest.param("https://user:secret@host:8443/a.mp4", ("https://host:8443", "a.mp4"), id="web"),
        pytest.param("file:///data/a.mp4", ("file", "/data/a.mp4"), id="disk"),
        pytest.param("/data/a.mp4", ("file", "/data/a.mp4"), id="path"),
    ],
)
def test_places_are_named_as_openlineage_names_them(uri: str, expected: tuple[str, str]) -> None:
    assert dataset_name(uri) == expected
