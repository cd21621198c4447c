"""Media by their names, as an operator takes them."""

from __future__ import annotations

from airflow_provider_lipsync.media.named import named_medium
from airflow_provider_lipsync.media.sources import Source
from airflow_provider_lipsync.media.sources import source_of as source_from


def source_of(field: str, value: object, *, required: bool) -> Source | None:
    """Return what a value names, ready to be looked at."""
    medium = named_medium(field, value, required=required)
    return None if medium is None else source_from(field, medium)
