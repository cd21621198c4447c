"""A drawn mouth that opens: lips, teeth and tongue as smooth shapes, laid over a small region of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_lipsync.sandbox.render.picture import Frame
from airflow_provider_lipsync.sandbox.render.style import PLAIN, Colour, Style

__all__ = ["LEFT", "MIDDLE", "RIGHT", "Place", "draw_mouth"]

Grid = npt.NDArray[np.floating[Any]]

_INSIDE: Colour = (74, 20, 30)
_TEETH: Colour = (250, 247, 242)
_TONGUE: Colour = (214, 104, 112)
_CLOSED_MIDDLE = 0.05  # of the mouth's width, down: the middle of a closed, smiling mouth
_CORNER = -0.055  # its corners, up; they stay there when it opens, so that they cover those of the samples
_LEVELS = 48  # steps between closed and open: finer than a pixel at 720 lines


@dataclass(frozen=True)
class Place:
    """Where a mouth is in a picture.

    :param x: its middle, as a fraction of the width.
    :param y: its middle, as a fraction of the height.
    :param width: of the closed mouth, as a fraction of the picture's shorter side.
    """

    x: float
    y: float
    width: float


# Where the samples have their mouths; in a picture of the user's own nobody looks for a face.
MIDDLE = Place(0.5, 0.64, 0.16)
LEFT = Place(0.28, 0.64, 0.105)
RIGHT = Place(0.72, 0.64, 0.105)


def draw_mouth(picture: Frame, place: Place, opening: float, style: Style = PLAIN, mask: Grid | None = None) -> None:
    """Draw a mouth into a picture.

    :param picture: changed in place.
    :param opening: from 0, closed, to 1, wide open.
    :param mask: how far each pixel may change, from 0 to 1, in the shape of the picture; None = all may.
    """
    height, width = picture.shape[:2]
    mouth_width = max(4.0, place.width * min(height, width))
    patch = _patch(round(mouth_width * 4), round(float(opening) * style.reach * _LEVELS), style)
    rows, columns = patch.shape[:2]
    top, left = round(place.y * height) - rows // 2, round(place.x * width) - columns // 2
    inner = patch[max(0, -top) : height - top, max(0, -left) : width - left]
    y, x = max(0, top), max(0, left)
    here = slice(y, y + inner.shape[0]), slice(x, x + inner.shape[1])
    region = picture[here]
    alpha = inner[..., 3:] if mask is None else inner[..., 3:] * mask[here]
    region[:] = np.rint(region * (1 - alpha) + inner[..., :3] * alpha).astype(np.uint8)


@lru_cache(maxsize=4 * _LEVELS)
def _patch(width_in_quarters: int, level: int, style: Style) -> Grid:
    """Return colour and coverage of a mouth, for a mouth width in quarters of a pixel."""
    width, opening = width_in_quarters / 4, level / _LEVELS
    half = int(np.ceil(width * 0.75))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32) / np.float32(width)
    return _paint(x, y, opening, 1 / width, style)


def _paint(x: Grid, y: Grid, opening: float, pixel: float, style: Style) -> Grid:
    middle = _CLOSED_MIDDLE + 0.13 * opening  # the jaw goes down
    bent = y - middle + (middle - _CORNER) * np.square(x / 0.5)
    outer = _ellipse(x, bent, 0.50, 0.085 * style.fullness + 0.21 * opening) / pixel
    inner = _ellipse(x, bent, 0.43 - 0.02 * opening, 0.008 + 0.205 * opening) / pixel
    upper = bent / pixel
    layers = [
        (outer, style.lip),
        (np.maximum(outer, upper), style.shade),
        (inner, _INSIDE),
        (np.maximum(inner, _ellipse(x, bent + 0.62 - 0.10 * opening, 0.9, 0.5) / pixel), _TEETH),
        (np.maximum(inner, _ellipse(x, bent - 0.10 - 0.16 * opening, 0.24, 0.02 + 0.14 * opening) / pixel), _TONGUE),
    ]
    painted = np.zeros((*x.shape, 4), dtype=np.float32)
    painted[..., :3] = style.lip
    painted[..., 3] = _coverage(outer)
    for distance, colour in layers:
        part = _coverage(distance)[..., None]
        painted[..., :3] += part * (np.array(colour, dtype=np.float32) - painted[..., :3])
    return painted


def _ellipse(x: Grid, y: Grid, half_width: float, half_height: float) -> Grid:
    """Return about the distance to an ellipse, negative inside: its equation over its gradient."""
    value = np.square(x / half_width) + np.square(y / half_height) - 1
    slope = 2 * np.hypot(x / half_width**2, y / half_height**2)
    distance: Grid = (value / np.maximum(slope, 1e-3)).astype(np.float32)
    return distance


def _coverage(distance: Grid) -> Grid:
    coverage: Grid = np.clip(0.5 - distance, 0, 1)
    return coverage
