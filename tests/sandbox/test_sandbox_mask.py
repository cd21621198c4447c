"""Masks, for real: where a mask is black nothing changes, exactly so before the encoder, within its noise after it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from airflow_provider_lipsync.sandbox.render.film import animate
from airflow_provider_lipsync.sandbox.render.mask import find_place, read_mask
from airflow_provider_lipsync.sandbox.render.mouth import LEFT, MIDDLE, RIGHT
from airflow_provider_lipsync.sandbox.render.picture import read_picture, read_video
from airflow_provider_lipsync.sandbox.render.plan import UnreadableMediaError
from tests.sandbox.conftest import Media
from tests.sandbox.support import Caller, Film, write_pixels, write_video, write_wav

Pixels = npt.NDArray[np.uint8]
LINES, COLUMNS = 480, 360
BOX = (slice(264, 336), slice(120, 186))  # of the frame: a little more than the left half of the mouth
WHOLE = (slice(264, 336), slice(140, 220))  # where a mouth would be
KEPT = (slice(292, 332), slice(192, 204))  # of the other half, from the next block of the encoder on


def _texture() -> Pixels:
    """Return a picture with something to see everywhere."""
    rows, columns = np.mgrid[0:LINES, 0:COLUMNS]
    waves = [np.sin(columns / period) * np.cos(rows / (period + 4)) for period in (5, 9, 14)]
    return (128 + 90 * np.stack(waves, axis=2)).astype(np.uint8)


def _box(lines: int = LINES, columns: int = COLUMNS) -> Pixels:
    """Return a mask that is white in :data:`BOX` alone, of another size if need be."""
    mask = np.zeros((LINES, COLUMNS, 3), np.uint8)
    mask[BOX] = 255
    rows, across = (np.arange(size) * whole // size for size, whole in ((lines, LINES), (columns, COLUMNS)))
    return mask[rows][:, across]


@pytest.fixture(scope="module")
def forms(media: Media) -> dict[str, dict[str, str]]:
    folder = media.folder
    sound = media.url(write_wav(folder / "masked.wav", (0.2, 0), (0.4, 0.8)))
    picture = media.url(write_pixels(folder / "texture.png", _texture()))
    video = media.url(write_video(folder / "masked.mp4", 0.4, width=COLUMNS, height=LINES))
    return {"lipsync-image": {"image": picture, "audio": sound}, "lipsync-video": {"video": video, "audio": sound}}


@pytest.fixture(scope="module")
def masks(media: Media) -> dict[str, str]:
    blank = np.zeros((32, 24, 3), np.uint8)
    pixels = {"box": _box(), "black": blank, "white": np.full_like(blank, 255)}
    return {name: media.url(write_pixels(media.folder / f"mask-{name}.png", mask)) for name, mask in pixels.items()}


def _render(caller: Caller, endpoint: str, form: dict[str, str], mask: str | None = None) -> bytes:
    job = caller.finish(caller.submit(endpoint, **form, **({} if mask is None else {"mask_image": mask})))
    assert (job["status"], job["error"]) == ("completed", "")
    return httpx.get(job["output"], timeout=60).content


@pytest.mark.parametrize("endpoint", ["lipsync-image", "lipsync-video"])
def test_nothing_outside_the_mask_changes_in_the_finished_film(
    rendering: Caller, forms: dict[str, dict[str, str]], masks: dict[str, str], endpoint: str
) -> None:
    still, masked, free = (
        Film.read(_render(rendering, endpoint, forms[endpoint], masks.get(name))) for name in ("black", "box", "none")
    )
    inside = np.zeros((LINES, COLUMNS), bool)
    inside[BOX] = True
    kept = np.zeros((LINES, COLUMNS), bool)
    kept[KEPT] = True
    assert _change(masked, still, inside) > 10
    would_change, changed = (_change(film, still, kept) for film in (free, masked))
    assert would_change > 10  # for there a mouth would be
    assert changed < 0.1 * would_change
    assert _change(masked, still, ~inside) < 1


def test_with_a_black_mask_nothing_moves(
    rendering: Caller, forms: dict[str, dict[str, str]], masks: dict[str, str]
) -> None:
    still, free = (
        Film.read(_render(rendering, "lipsync-image", forms["lipsync-image"], masks.get(name)))
        for name in ("black", "none")
    )
    last = len(still.frames) - 3
    assert still.mouth_change(0, last) < 1
    assert free.mouth_change(0, last) > 10
    error = np.abs(still.frames[last].astype(int) - _texture()).mean(axis=2)
    assert error[WHOLE].mean() < 1.5 * error.mean()  # the encoder's alone: not even a closed mouth is drawn


def test_a_white_mask_changes_nothing_of_the_result(
    rendering: Caller, forms: dict[str, dict[str, str]], masks: dict[str, str]
) -> None:
    form = forms["lipsync-image"]
    assert _render(rendering, "lipsync-image", form, masks["white"]) == _render(rendering, "lipsync-image", form)


@pytest.fixture
def backgrounds(tmp_path: Path, request: pytest.FixtureRequest) -> Iterable[Pixels]:
    if request.param == "a picture":
        return itertools.repeat(read_picture(write_pixels(tmp_path / "still.png", _texture()), LINES))
    return read_video(write_video(tmp_path / "film.mp4", 0.3, width=COLUMNS, height=LINES), LINES)


@pytest.mark.parametrize("backgrounds", ["a picture", "a video"], indirect=True)
def test_outside_the_mask_every_pixel_is_the_source_s_before_it_is_encoded(
    tmp_path: Path, backgrounds: Iterable[Pixels]
) -> None:
    mask = read_mask(write_pixels(tmp_path / "mask.png", _box()), LINES, COLUMNS)
    sources = list(itertools.islice(backgrounds, 12))  # one more round than the video has frames
    openings = np.linspace(0, 1, len(sources))
    drawn = animate(sources, [(MIDDLE, openings)], len(sources), mask=mask)
    for source, frame in zip(sources, drawn, strict=True):
        changed = (frame != source).any(axis=2)
        assert changed[BOX].sum() > 200
        changed[BOX] = False
        assert not changed.any()


@pytest.mark.parametrize(
    ("name", "lines", "columns"),
    [
        pytest.param("large.png", 3 * LINES, 3 * COLUMNS, id="larger"),
        pytest.param("small.png", LINES // 6, COLUMNS // 6, id="smaller"),
        pytest.param("wide.png", LINES // 12, COLUMNS, id="of another aspect"),
        pytest.param("mask.jpg", LINES, COLUMNS, id="jpeg"),
        pytest.param("large.jpg", 2 * LINES, 2 * COLUMNS, id="jpeg, larger"),
    ],
)
def test_a_mask_of_any_size_is_stretched_to_the_frame(tmp_path: Path, name: str, lines: int, columns: int) -> None:
    mask = read_mask(write_pixels(tmp_path / name, _box(lines, columns)), LINES, COLUMNS)[..., 0]
    assert mask.shape == (LINES, COLUMNS)
    inside = np.zeros((LINES, COLUMNS), bool)
    inside[BOX] = True
    assert not mask[~inside].any()
    deep = mask[BOX][12:-12, 6:-6]
    assert (deep == 1).all()


@pytest.mark.parametrize(
    ("pixel", "pixel_format", "expected"),
    [
        pytest.param((255,), "gray", 1, id="grey picture, white"),
        pytest.param((0,), "gray", 0, id="grey picture, black"),
        pytest.param((120,), "gray", 0, id="darker than middle grey is black"),
        pytest.param((235,), "gray", 1, id="almost white is white"),
        pytest.param((255, 255, 255, 255), "rgba", 1, id="opaque white"),
        pytest.param((255, 255, 255, 0), "rgba", 0, id="transparent is black"),
    ],
)
def test_white_may_change_and_black_may_not(
    tmp_path: Path, pixel: tuple[int, ...], pixel_format: str, expected: int
) -> None:
    pixels = np.full((1, 1, len(pixel)), pixel, np.uint8) if len(pixel) > 1 else np.full((1, 1), pixel[0], np.uint8)
    mask = read_mask(write_pixels(tmp_path / "pixel.png", pixels, pixel_format), 48, 64)
    assert mask.shape == (48, 64, 1)
    assert (mask == expected).all()


def test_a_mask_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("white")
    with pytest.raises(UnreadableMediaError, match=r"^Invalid mask_image format$"):
        read_mask(tmp_path / "text.png", LINES, COLUMNS)


def _mask(rows: slice, columns: slice) -> npt.NDArray[np.float32]:
    mask = np.zeros((LINES, COLUMNS, 1), np.float32)
    mask[rows, columns] = 1
    return mask


def test_the_mouth_goes_into_the_white_area_where_its_usual_place_is_black() -> None:
    assert find_place(_mask(slice(None), slice(None))) == MIDDLE
    assert find_place(_mask(slice(0, 0), slice(0, 0))) == MIDDLE
    assert find_place(_mask(*BOX)) == MIDDLE
    assert find_place(_mask(slice(None), slice(0, 170))) == LEFT  # half of a picture of two
    assert find_place(_mask(slice(None), slice(190, 360))) == RIGHT
    strip = find_place(_mask(slice(None), slice(0, 60)))
    assert (strip.x, strip.y, strip.width) == (pytest.approx(30 / 360), pytest.approx(MIDDLE.y), pytest.approx(0.15))
    corner = find_place(_mask(slice(0, 48), slice(324, 360)))
    assert (corner.x, corner.y, corner.width) == (
        pytest.approx(0.95),
        pytest.approx(0.05, abs=0.01),
        pytest.approx(0.09),
    )


def _change(film: Film, other: Film, where: npt.NDArray[np.bool_]) -> float:
    """Return how much the films differ in a part of their frames, in levels of 255."""
    pairs = zip(film.frames, other.frames, strict=True)
    return max(float(np.abs(one.astype(int) - two)[where].mean()) for one, two in pairs)
