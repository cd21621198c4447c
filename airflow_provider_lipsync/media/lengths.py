"""Stub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_lipsync.media.sources import LocalSource, Source
from airflow_provider_lipsync.media.web import Web


@dataclass(frozen=True, kw_only=True)
class Length:
    seconds: float | None
    why: str = ""
    bytes_read: int = 0


def length_of(source: Source, *, web: Web, log: Any, budget: int = 2_000_000) -> Length:
    import av

    if not isinstance(source, LocalSource):
        return Length(seconds=None, why="stub")
    try:
        with av.open(str(source.path)) as found:
            return Length(seconds=(found.duration or 0) / 1e6)
    except Exception as error:
        return Length(seconds=None, why=str(error))
