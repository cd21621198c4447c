"""Sample portraits: friendly flat faces, drawn from smooth shapes, with the mouth where the renderer looks for it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_lipsync.sandbox.render.mouth import LEFT, MIDDLE, RIGHT, Place, draw_mouth
from airflow_provider_lipsync.sandbox.render.picture import Frame

__all__ = ["draw_duo", "draw_portrait"]

Grid = npt.NDArray[np.floating[Any]]
Colour = tuple[int, int, int]

_MOUTH_WIDTH = 0.62  # in units of half a face: what ties the face's size to the mouth's
_EYE_WHITE: Colour = (252, 250, 247)
_PUPIL: Colour = (34, 26, 30)


@dataclass(frozen=True)
class Looks:
    """The colours and the hair of a face."""

    skin: Colour
    shade: Colour
    hair: Colour
    hair_light: Colour
    iris: Colour
    clothes: Colour
    collar: Colour
    long_hair: bool


_ADA = Looks(
    skin=(243, 200, 170),
    shade=(224, 168, 138),
    hair=(92, 52, 44),
    hair_light=(126, 74, 58),
    iris=(64, 122, 116),
    clothes=(38, 98, 122),
    collar=(236, 242, 243),
    long_hair=True,
)
_BEN = Looks(
    skin=(198, 142, 104),
    shade=(172, 116, 82),
    hair=(40, 34, 40),
    hair_light=(64, 54, 60),
    iris=(88, 58, 38),
    clothes=(202, 112, 74),
    collar=(250, 236, 216),
    long_hair=False,
)


def draw_portrait() -> Frame:
    """Return the portrait, 768 pixels wide and 1024 high."""
    easel = _Easel(768, 1024, top=(214, 232, 232), bottom=(250, 226, 204))
    easel.draw(_ADA, MIDDLE)
    return easel.finish()


def draw_duo() -> Frame:
    """Return the picture of two, 1024 pixels wide and 768 high."""
    easel = _Easel(1024, 768, top=(226, 228, 240), bottom=(250, 232, 214))
    easel.draw(_ADA, LEFT)
    easel.draw(_BEN, RIGHT)
    return easel.finish()


class _Easel:
    """A picture in the making; positions are in half face widths from the middle of the mouth, y down."""

    def __init__(self, width: int, height: int, *, top: Colour, bottom: Colour) -> None:
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        self._rows, self._columns = rows + 0.5, columns + 0.5
        fade = (rows / height)[..., None]
        self._pixels: Grid = (np.array(top) * (1 - fade) + np.array(bottom) * fade).astype(np.float32)
        self._unit = 1.0
        self._origin = (0.0, 0.0)
        self._focus(-9, -9, 9, 9)

    def draw(self, looks: Looks, place: Place) -> None:
        """Draw a person whose mouth is at a place."""
        height, width = self._pixels.shape[:2]
        self._unit = place.width * min(width, height) / _MOUTH_WIDTH
        self._origin = (place.x * width, place.y * height)
        self._draw_back(looks)
        self._draw_body(looks)
        self._draw_face(looks)
        for side in (-1, 1):
            self._draw_eye(looks, side)
        self._draw_nose(looks)
        self._draw_fringe(looks)
        picture = self.finish()
        draw_mouth(picture, place, 0.0)
        self._pixels = picture.astype(np.float32)

    def finish(self) -> Frame:
        """Return the picture as it is."""
        return np.rint(np.clip(self._pixels, 0, 255)).astype(np.uint8)

    def _draw_back(self, looks: Looks) -> None:
        self._focus(-2, -2.6, 2, 1.5)
        self._paint(self._ellipse(0, -0.55, 1.95, 1.95), (255, 255, 255), 0.45)
        self._focus(-1.3, -2.4, 1.3, 1.5)
        if looks.long_hair:
            self._paint(self._ellipse(0, -0.86, 1.22, 1.40), looks.hair)
            self._paint(self._box(0, -0.05, 1.22, 1.35, 0.55), looks.hair)
        else:
            self._paint(self._ellipse(0, -1.10, 1.12, 1.17), looks.hair)

    def _draw_body(self, looks: Looks) -> None:
        self._focus(-2.1, 0, 2.1, 9)
        self._paint(self._ellipse(0, 2.70, 2.05, 1.62), looks.clothes)
        self._paint(self._ellipse(0, 1.22, 0.66, 0.42), looks.collar)
        self._paint(self._ellipse(0, 1.14, 0.54, 0.38), looks.skin)
        self._paint(self._box(0, 0.70, 0.40, 0.60, 0.12), looks.skin)
        under_chin = np.maximum(self._box(0, 0.70, 0.40, 0.60, 0.12), self._ellipse(0, 0.05, 0.86, 0.78))
        self._paint(under_chin, looks.shade)

    def _draw_face(self, looks: Looks) -> None:
        self._focus(-1.2, -2.2, 1.2, 0.8)
        for side in (-1, 1):
            self._paint(self._ellipse(side * 1.0, -0.72, 0.15, 0.24), looks.skin)
            self._paint(self._ellipse(side * 1.01, -0.72, 0.08, 0.15), looks.shade)
        jaw = self._ellipse(0, -0.62, 0.92, 1.20)
        skull = self._ellipse(0, -0.98, 1.0, 1.06)
        self._paint(_blend(jaw, skull, 0.22 * self._unit), looks.skin)
        for side in (-1, 1):
            self._glow(side * 0.60, -0.28, 0.26, (232, 120, 110), 0.30)

    def _draw_eye(self, looks: Looks, side: int) -> None:
        x, y = side * 0.42, -0.92
        self._focus(x - 0.35, y - 0.5, x + 0.35, y + 0.3)
        white = np.maximum(self._ellipse(x, y + 0.03, 0.205, 0.165), self._ellipse(x, y - 0.06, 0.23, 0.19))
        self._paint(white, _EYE_WHITE)
        self._paint(np.maximum(white, self._ellipse(x, y, 0.118, 0.118)), looks.iris)
        self._paint(np.maximum(white, self._ellipse(x, y, 0.062, 0.062)), _PUPIL)
        self._paint(self._ellipse(x + 0.045, y - 0.045, 0.030, 0.030), (255, 255, 255))
        lid = [(x - 0.215, y + 0.01), (x - 0.12, y - 0.115), (x + 0.12, y - 0.115), (x + 0.215, y + 0.01)]
        self._paint(self._stroke(lid, 0.022), _PUPIL)
        brow = [(x - side * 0.20, y - 0.30), (x, y - 0.40), (x + side * 0.26, y - 0.27)]
        self._paint(self._stroke(brow, 0.034), looks.hair)

    def _draw_nose(self, looks: Looks) -> None:
        self._focus(-0.2, -0.9, 0.2, -0.2)
        self._paint(self._stroke([(0.015, -0.78), (0.10, -0.48), (0.07, -0.38), (-0.06, -0.365)], 0.018), looks.shade)

    def _draw_fringe(self, looks: Looks) -> None:
        side = 1 if looks.long_hair else -1
        self._focus(-1.3, -2.4, 1.3, -0.4)
        cap = self._ellipse(0, -0.90, 1.17, 1.36) if looks.long_hair else self._ellipse(0, -1.10, 1.12, 1.17)
        forehead = self._ellipse(side * 0.42, -0.42, 1.38, 1.22)
        other_side = self._ellipse(side * -0.62, -0.30, 0.66, 1.18)
        end = (self._y + (0.55 if looks.long_hair else 0.98)) * self._unit
        fringe = np.maximum(np.maximum(cap, -forehead), np.maximum(-other_side, end))
        self._paint(fringe, looks.hair)
        upper = [(side * -0.78, -1.72), (side * -0.30, -2.06), (side * 0.35, -2.06)]
        lower = [(side * -0.55, -1.64), (side * -0.20, -1.86), (side * 0.25, -1.90)]
        self._paint(self._stroke(upper, 0.030), looks.hair_light)
        self._paint(self._stroke(lower, 0.020), looks.hair_light)

    def _focus(self, left: float, top: float, right: float, bottom: float) -> None:
        """Look at a part of the picture alone, which is faster."""
        x, y = self._origin
        rows = slice(max(0, int(y + top * self._unit)), max(0, int(y + bottom * self._unit)))
        columns = slice(max(0, int(x + left * self._unit)), max(0, int(x + right * self._unit)))
        self._region = self._pixels[rows, columns]
        self._x = (self._columns[rows, columns] - x) / self._unit
        self._y = (self._rows[rows, columns] - y) / self._unit

    def _paint(self, distance: Grid, colour: Colour, strength: float = 1.0) -> None:
        part = (np.clip(0.5 - distance, 0, 1) * strength)[..., None]
        self._region += part * (np.array(colour, dtype=np.float32) - self._region)

    def _glow(self, x: float, y: float, size: float, colour: Colour, strength: float) -> None:
        part = strength * np.exp(-(np.square(self._x - x) + np.square(self._y - y)) / (size * size / 2))
        self._region += part[..., None] * (np.array(colour, dtype=np.float32) - self._region)

    def _ellipse(self, x: float, y: float, half_width: float, half_height: float) -> Grid:
        u, v = (self._x - x) / half_width, (self._y - y) / half_height
        slope = 2 * np.hypot(u / half_width, v / half_height)
        distance: Grid = (u * u + v * v - 1) / np.maximum(slope, 1e-3) * self._unit
        return distance

    def _box(self, x: float, y: float, half_width: float, half_height: float, corner: float) -> Grid:
        u = np.abs(self._x - x) - half_width + corner
        v = np.abs(self._y - y) - half_height + corner
        outside = np.hypot(np.maximum(u, 0), np.maximum(v, 0))
        distance: Grid = (outside + np.minimum(np.maximum(u, v), 0) - corner) * self._unit
        return distance

    def _stroke(self, points: list[tuple[float, float]], half_width: float) -> Grid:
        distance = np.full_like(self._x, np.inf)
        curve = _smooth(points)
        for (x0, y0), (x1, y1) in itertools.pairwise(curve):
            dx, dy = x1 - x0, y1 - y0
            along = ((self._x - x0) * dx + (self._y - y0) * dy) / max(dx * dx + dy * dy, 1e-9)
            along = np.clip(along, 0, 1)
            distance = np.minimum(distance, np.hypot(self._x - x0 - along * dx, self._y - y0 - along * dy))
        scaled: Grid = (distance - half_width) * self._unit
        return scaled


def _smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Cut the corners of a line three times (Chaikin), so that it looks like a curve."""
    for _ in range(3):
        middle = []
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            middle += [(0.75 * x0 + 0.25 * x1, 0.75 * y0 + 0.25 * y1), (0.25 * x0 + 0.75 * x1, 0.25 * y0 + 0.75 * y1)]
        points = [points[0], *middle, points[-1]]
    return points


def _blend(first: Grid, second: Grid, softness: float) -> Grid:
    """Return the union of two shapes, with a rounded seam."""
    mix = np.clip(0.5 + 0.5 * (second - first) / softness, 0, 1)
    blended: Grid = second * (1 - mix) + first * mix - softness * mix * (1 - mix)
    return blended
