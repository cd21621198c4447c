"""How long media are: never lower than what the sandbox charges, equal almost always, from few bytes, whatever comes."""

from __future__ import annotations

import logging
import math
import random
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_lipsync.api.credits import charged_seconds
from airflow_provider_lipsync.media import lengths
from airflow_provider_lipsync.media.lengths import Length, length_of
from airflow_provider_lipsync.media.sources import LocalSource, ObjectSource, Source, WebSource
from airflow_provider_lipsync.media.web import Web
from airflow_provider_lipsync.sandbox import SandboxServer
from airflow_provider_lipsync.sandbox.render.picture import measure_video
from airflow_provider_lipsync.sandbox.render.plan import UnreadableMediaError
from airflow_provider_lipsync.sandbox.render.sound import read_sound, seconds_of
from tests.media import odd_media as odd
from tests.media.publishing_support import MEDIA, encoded, store
from tests.media.range_server import RangeServer, range_server
from tests.media.video_server import open_web
from tests.sandbox.support import Caller

BUDGET = 2_000_000
log = logging.getLogger(__name__)


@pytest.fixture
def web() -> Iterator[Web]:
    with open_web() as opened:
        yield opened


class Scale:
    """Measures media that lie in a folder: as the provider estimates, and as the sandbox charges."""

    def __init__(self, folder: Path, web: Web) -> None:
        self.folder, self.web = folder, web

    def put(self, content: bytes, field: str) -> Source:
        path = self.folder / field  # the sandbox's files have no suffix either
        path.write_bytes(content)
        return LocalSource(field=field, path=path)

    def estimate(self, content: bytes, field: str = "audio", budget: int = BUDGET) -> Length:
        return length_of(self.put(content, field), web=self.web, log=log, budget=budget)

    def charged(self, content: bytes, field: str = "audio") -> float:
        """Return what the sandbox's own functions measure; 0 where it fails the job."""
        self.put(content, field)
        try:
            path = self.folder / field
            return measure_video(path) if field == "video" else seconds_of(read_sound(path))
        except UnreadableMediaError:
            return 0.0


@pytest.fixture
def scale(tmp_path: Path, web: Web) -> Scale:
    return Scale(tmp_path, web)


class Tally:
    """How estimates compare with charges, in whole seconds, since those are charged."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.below: list[str] = []
        self.other: list[str] = []

    def add(self, name: str, estimate: Length, charged: float) -> None:
        found = None if estimate.seconds is None else math.ceil(estimate.seconds) - math.ceil(charged)
        kind = "unknown" if found is None else "equal" if found == 0 else "below" if found < 0 else "above"
        self.counts[kind] += 1
        if kind != "equal":
            self.other.append(f"{kind}: {name}: {estimate.seconds} for {charged} {estimate.why}")
        if kind == "below":
            self.below.append(self.other[-1])

    @property
    def share(self) -> float:
        return self.counts["equal"] / sum(self.counts.values())


def compare(scale: Scale, number: int, seed: int) -> Tally:
    chance, tally = random.Random(seed), Tally()
    for place in range(number):
        name, field, content = odd.draw(chance)
        tally.add(f"{place} {name}", scale.estimate(content, field), scale.charged(content, field))
    log.warning("%s %s", dict(tally.counts), tally.other)
    return tally


def test_estimates_of_random_media_are_never_below_the_charge_and_mostly_equal(scale: Scale) -> None:
    tally = compare(scale, 60, seed=60)
    assert not tally.below
    assert tally.share >= 0.98, tally.other


@pytest.mark.full
def test_estimates_of_two_hundred_random_media_are_never_below_the_charge_and_mostly_equal(scale: Scale) -> None:
    tally = compare(scale, 200, seed=200)
    assert not tally.below
    assert tally.share >= 0.98, tally.other


def test_what_headers_and_ends_alone_tell_is_never_below_the_charge(
    scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if each of them were too large to be read whole."""
    monkeypatch.setattr(lengths, "_WHOLE", 0)
    tally = compare(scale, 60, seed=7)
    assert not tally.below
    assert tally.counts["equal"] > 4 * tally.counts["above"], tally.other
