"""What a rendering process is asked to do, and where it gives up; loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_lipsync.api.models import Endpoint, Order, Resolution

__all__ = ["FRAMES_PER_SECOND", "SAMPLE_RATE", "Plan", "UnreadableMediaError", "lines_of"]

FRAMES_PER_SECOND = 25
SAMPLE_RATE = 48_000  # what AAC in MP4 usually carries


class UnreadableMediaError(Exception):
    """A medium that cannot be used; the text is the job's ``error``."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One video to render.

    :param endpoint: which of the three submits.
    :param media: file of each medium, by the name of its field.
    :param resolution: lines of the video.
    :param order: who speaks when, in a dialogue.
    :param seed: what varies the look of the mouth; None = the plain look.
    :param output: where the MP4 goes.
    """

    endpoint: Endpoint
    media: Mapping[str, Path]
    resolution: Resolution
    order: Order
    seed: int | None
    output: Path

    @classmethod
    def parse(cls, work: Mapping[str, Any]) -> Plan:
        """Return the plan that came through the pipe."""
        return cls(
            endpoint=Endpoint(work["endpoint"]),
            media={name: Path(path) for name, path in work["media"].items()},
            resolution=Resolution(work["resolution"]),
            order=Order(work["order"]),
            seed=work["seed"],
            output=Path(work["output"]),
        )


def lines_of(resolution: Resolution) -> int:
    """Return the height of the video in pixels."""
    return int(resolution.removesuffix("p"))
