"""What a seed changes: the colour and fullness of the lips, and how wide they open; loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

__all__ = ["PLAIN", "Colour", "Style", "style_of"]

Colour = tuple[int, int, int]

_LIP: Colour = (201, 88, 92)
_TINT: Colour = (26, 34, 44)  # how far each channel of the lips may go, up and down
_SHADE = 0.86  # of the lower lip's light: what the upper lip has


@dataclass(frozen=True)
class Style:
    """How a mouth looks.

    :param lip: colour of the lower lip.
    :param shade: colour of the upper lip.
    :param fullness: how thick the lips are; never below 1, so that they cover those of the samples.
    :param reach: how far the mouth opens at the loudest, from 0 to 1.
    """

    lip: Colour = _LIP
    shade: Colour = (176, 66, 74)
    fullness: float = 1.0
    reach: float = 1.0


PLAIN = Style()


def style_of(seed: int | None) -> Style:
    """Return the style of a seed: the same on every machine and in every version of Python; None = the plain one."""
    if seed is None:
        return PLAIN
    digest = sha256(str(seed).encode()).digest()
    red, green, blue, fullness, reach = (int.from_bytes(digest[at : at + 4]) / 2**32 for at in range(0, 20, 4))
    lip = _shift(_LIP, (red, green, blue))
    shade = tuple(round(channel * _SHADE) for channel in lip)
    return Style(lip, (shade[0], shade[1], shade[2]), 1 + 0.35 * fullness, 0.75 + 0.25 * reach)


def _shift(colour: Colour, parts: tuple[float, float, float]) -> Colour:
    red, green, blue = (
        round(channel + span * (2 * part - 1)) for channel, span, part in zip(colour, _TINT, parts, strict=True)
    )
    return red, green, blue
