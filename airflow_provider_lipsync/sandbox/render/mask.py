"""Which part of a picture may change: white may, black may not (inferred: the vendor's page does not say)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from airflow_provider_lipsync.sandbox.render.demux import refusing
from airflow_provider_lipsync.sandbox.render.mouth import LEFT, MIDDLE, RIGHT, Place
from airflow_provider_lipsync.sandbox.render.picture import read_still, scale

__all__ = ["Mask", "find_place", "read_mask"]

Mask = npt.NDArray[np.floating[Any]]  # of the shape (lines, columns, 1), from 0 = stays to 1 = may change

_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Of full light: JPEG leaves neither quite so; and scaling blurs an edge, which softens its white side alone.
_BLACK, _WHITE = 0.5, 0.9


def read_mask(path: Path, lines: int, columns: int) -> Mask:
    """Return a mask stretched to the size of the frames, its transparent parts black.

    :raises UnreadableMediaError: it cannot be read as a picture.
    """
    with refusing("Invalid mask_image format"):
        pixels = scale(read_still(path), columns, lines, "rgba").astype(np.float32) / 255
    light = (pixels[..., :3] @ _LUMINANCE) * pixels[..., 3]
    mask: Mask = np.clip((light - _BLACK) / (_WHITE - _BLACK), 0, 1)[..., None]
    return mask


def find_place(mask: Mask) -> Place:
    """Return where a speaker's mouth goes: in the middle if the mask is white there, else into the white area.

    There it takes the place of a dialogue's mouth that is all white, so that half a picture of two picks its speaker;
    or else the middle: lower in a tall area, which may be a face, than in one around a mouth.
    """
    lines, columns = mask.shape[:2]
    if mask[int(MIDDLE.y * lines), int(MIDDLE.x * columns), 0] > 0:
        return MIDDLE
    rows, across = (np.flatnonzero(mask[..., 0].any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return MIDDLE
    for place in (LEFT, RIGHT):
        if _is_white(mask, place):
            return place
    height, width = rows[-1] + 1 - rows[0], across[-1] + 1 - across[0]
    down = 0.5 + (MIDDLE.y - 0.5) * height / lines
    return Place(
        x=float(across[0] + width / 2) / columns,
        y=float(rows[0] + down * height) / lines,
        width=min(MIDDLE.width, float(0.9 * width) / min(lines, columns)),
    )


def _is_white(mask: Mask, place: Place) -> bool:
    lines, columns = mask.shape[:2]
    reach = place.width / 2 * min(lines, columns)
    rows = slice(int(place.y * lines - reach), int(place.y * lines + reach))
    across = slice(int(place.x * columns - reach), int(place.x * columns + reach))
    return bool((mask[rows, across] == 1).all())
