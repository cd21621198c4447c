"""What OpenLineage is told of a task: its media, its stored video, and a facet with the job and its credits.

The methods are called by the OpenLineage provider, which they import; without it nobody calls them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["LineageTask", "dataset_name"]


class LineageTask:
    """Mixed into a task that buys a job, waits for one, or stores its video: each tells what it knows."""

    def get_openlineage_facets_on_start(self) -> Any:
        """Return nothing yet: the media are known once they were looked at."""
        return _lineage()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the media, the stored video and the job, as an ``OperatorLineage``; None without OpenLineage."""
        from airflow_provider_lipsync.jobs.card import CARD_KEY

        told = {key: _pulled(task_instance, key) for key in ("return_value", CARD_KEY)}
        result, card = told["return_value"], told[CARD_KEY]
        stored = result.get("output_uri")
        return _lineage(
            inputs=list(dict.fromkeys((card.get("inputs") or {}).values())),
            outputs=[stored] if stored else [],
            job=_facet(result, card) if result or card else None,
        )

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return the same as of a success, as far as it came."""
        return self.get_openlineage_facets_on_complete(task_instance)


def dataset_name(uri: str) -> tuple[str, str]:
    """Return namespace and name of a place, as OpenLineage's naming has them.

    :param uri: ``s3://bucket/key``, ``https://host/path``, ``file:///path`` or a path; without credentials.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        return "file", parts.path
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path.lstrip("/") or "/"


def _pulled(task_instance: Any, key: str) -> Mapping[str, Any]:
    """Return what the task handed on; empty where it was nothing, or where Airflow cannot be asked."""
    where = {"task_ids": task_instance.task_id, "map_indexes": task_instance.map_index}
    try:
        found = task_instance.xcom_pull(key=key, **where)
    except Exception:  # noqa: BLE001 - lineage is not worth a task
        return {}
    return found if isinstance(found, Mapping) else {}


def _facet(result: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, Any]:
    def first(name: str) -> Any:
        return result.get(name) if result.get(name) is not None else card.get(name)

    return {
        "jobId": first("job_id"),
        "model": card.get("endpoint") or result.get("model"),
        "creditsEstimated": first("credits_estimated"),
        "secondsCharged": card.get("seconds"),
        "resolution": card.get("resolution"),
        "labels": first("labels"),
    }


def _lineage(
    *, inputs: list[str] | None = None, outputs: list[str] | None = None, job: Mapping[str, Any] | None = None
) -> Any:
    try:
        from airflow.providers.common.compat.openlineage.facet import Dataset
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_provider_lipsync.operators.lineage_facet import LipsyncJobRunFacet
    except ImportError:
        return None

    def datasets(uris: list[str] | None) -> list[Any]:
        named = [dataset_name(str(uri)) for uri in uris or ()]
        return [Dataset(namespace=namespace, name=name) for namespace, name in named]

    facets = {} if job is None else {"lipsync_job": LipsyncJobRunFacet(**job)}
    return OperatorLineage(inputs=datasets(inputs), outputs=datasets(outputs), run_facets=facets)
