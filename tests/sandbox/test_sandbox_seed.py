"""Seeds, for real: the same inputs and the same seed give the same bytes, another seed another mouth."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import numpy as np
import numpy.typing as npt
import pytest

from airflow_provider_lipsync.sandbox import SandboxServer
from airflow_provider_lipsync.sandbox.render.encode import write_film
from airflow_provider_lipsync.sandbox.render.portrait import draw_portrait
from airflow_provider_lipsync.sandbox.render.style import PLAIN, style_of
from tests.sandbox.conftest import Media
from tests.sandbox.support import Caller, Film, write_picture, write_video, write_wav

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def forms(media: Media) -> dict[str, dict[str, str]]:
    picture = media.url(write_picture(media.folder / "small.png", 300, 300))
    video = media.url(write_video(media.folder / "small.mp4", 0.3))
    sound = media.url(write_wav(media.folder / "word.wav", (0.1, 0), (0.4, 0.8)))
    return {
        "lipsync-image": {"image": picture, "audio": sound},
        "lipsync-video": {"video": video, "audio": sound},
        "lipsync-image-multi": {"image": picture, "left_audio": sound, "right_audio": sound},
    }


@pytest.fixture
def other_run() -> Iterator[Caller]:
    """A sandbox that began later."""
    with SandboxServer(job_seconds=(0, 0)) as sandbox:
        caller = Caller(sandbox)
        yield caller
        caller.http.close()


def _render(caller: Caller, endpoint: str, form: dict[str, str], seed: int | None = None) -> bytes:
    job_id = caller.submit(endpoint, **form, **({} if seed is None else {"seed": seed}))
    job = caller.finish(job_id)
    assert (job["status"], job["error"]) == ("completed", "")
    return httpx.get(job["output"], timeout=60).content


@pytest.mark.parametrize("seed", [None, 7], ids=["no seed", "a seed"])
@pytest.mark.parametrize("endpoint", ["lipsync-image", "lipsync-video", "lipsync-image-multi"])
def test_the_same_seed_gives_the_same_bytes_in_another_process_and_another_run(
    rendering: Caller, other_run: Caller, forms: dict[str, dict[str, str]], endpoint: str, seed: int | None
) -> None:
    first = _render(rendering, endpoint, forms[endpoint], seed)
    assert _render(other_run, endpoint, forms[endpoint], seed) == first
    assert set(_list_times(first)) == {0}  # no clock in it, however coarse


@pytest.mark.parametrize("endpoint", ["lipsync-image", "lipsync-video", "lipsync-image-multi"])
def test_another_seed_gives_another_mouth_and_the_rest_of_the_picture_stays(
    rendering: Caller, forms: dict[str, dict[str, str]], endpoint: str
) -> None:
    contents = [_render(rendering, endpoint, forms[endpoint], seed) for seed in (None, 1, 2)]
    assert len(set(contents)) == 3
    plain, one, two = map(Film.read, contents)
    x = 0.28 if endpoint == "lipsync-image-multi" else 0.5
    for first, second in ((plain, one), (plain, two), (one, two)):
        assert len(first.frames) == len(second.frames)
        change = np.abs(first.mouth(-3, x) - second.mouth(-3, x)).max()
        top = first.frames[-3][: first.height // 3].astype(int) - second.frames[-3][: first.height // 3]
        assert change > 20  # of 255: to be seen, beside each other
        assert np.abs(top).max() <= 3


def test_what_was_in_memory_before_does_not_matter(tmp_path: Path) -> None:
    frames = _come_nearer(20)
    sound = [np.full((2, 1920), 0.1 * (number % 7), np.float32) for number in range(len(frames))]
    contents = set()
    for junk in (0, 3, 10, 1, 25, 0):
        write_film(tmp_path / "film.mp4", _stir(frames, junk), sound)
        contents.add((tmp_path / "film.mp4").read_bytes())
    assert len(contents) == 1


def test_every_seed_has_a_style_of_its_own_that_is_as_good_as_the_plain_one() -> None:
    seeds = [0, 1, 2, 42, -1, 2**31, -(2**63), 10**300, *range(100, 1100)]
    styles = [style_of(seed) for seed in seeds]
    assert style_of(None) == PLAIN
    assert len({PLAIN, *styles}) == len(seeds) + 1
    for style in styles:
        assert 1 <= style.fullness <= 1.35  # thinner lips would show the mouth that is drawn into the samples
        assert 0.75 <= style.reach <= 1
        assert all(0 <= channel <= 255 for channel in (*style.lip, *style.shade))


def test_the_style_of_a_seed_is_the_one_that_it_always_was() -> None:
    style = style_of(7)
    assert (style.lip, style.shade) == ((200, 115, 72), (172, 99, 62))
    assert (style.fullness, style.reach) == (pytest.approx(1.001978, abs=1e-6), pytest.approx(0.976971, abs=1e-6))


def _come_nearer(count: int) -> list[Pixels]:
    """Return the portrait coming nearer: smooth areas that move, where an encoder has most to choose from."""
    portrait = av.VideoFrame.from_ndarray(draw_portrait(), format="rgb24")
    found = []
    for number in range(count):
        lines = 480 + 2 * number
        pixels = portrait.reformat(width=360 + 2 * number, height=lines, interpolation="BILINEAR").to_ndarray()
        found.append(np.ascontiguousarray(pixels[lines - 480 :, number : number + 352]))
    return found


def _stir(frames: list[Pixels], junk: int) -> Iterator[Pixels]:
    """Yield frames while memory that holds something else is given back."""
    kept = [np.full(200_000 + 7919 * number, number % 251, np.uint8) for number in range(junk)]
    for number, frame in enumerate(frames):
        if number % 5 == 0 and kept:
            kept.pop()
        yield frame


def _list_times(content: bytes) -> list[int]:
    """Return when a film, its tracks and their media were made and changed, as its header says."""
    times: list[int] = []
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        at = -1
        while (at := content.find(name, at + 1)) >= 0:
            assert content[at + 4] == 0  # the version of the box with times of four bytes
            times += struct.unpack(">II", content[at + 8 : at + 16])
    assert len(times) == 10  # the film's two, and four of each track
    return times
