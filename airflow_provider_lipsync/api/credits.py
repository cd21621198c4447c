"""What a job will cost, in credits: pure, and never lower than what the vendor charges.

Source of the rules: the vendor's API page, "API pricing", notes. The rounding of fractions of a second is not stated
there; it is inferred here, upwards, because a guard must never guess low.
"""

from __future__ import annotations

import math

from airflow_provider_lipsync.api.models import Endpoint, Order, Resolution

__all__ = ["MINIMUM_SECONDS", "charged_seconds", "estimate_credits"]

MINIMUM_SECONDS = 5  # stated: "minimum charge: 5 seconds a job"
_CREDITS_PER_SECOND = {Resolution.P480: 2, Resolution.P720: 4}  # stated


def charged_seconds(
    endpoint: Endpoint | str,
    *,
    video: float | None = None,
    audio: float | None = None,
    left_audio: float | None = None,
    right_audio: float | None = None,
    order: Order | str = Order.MEANWHILE,
) -> int | None:
    """Return the whole seconds that a job is charged for.

    :param endpoint: which of the three submits.
    :param video: length of the source video in seconds (``lipsync-video``); None = unknown.
    :param audio: length of the sound in seconds (``lipsync-video``, ``lipsync-image``); None = unknown.
    :param left_audio: length of the left speaker's sound in seconds (``lipsync-image-multi``); None = unknown.
    :param right_audio: length of the right speaker's sound in seconds (``lipsync-image-multi``); None = unknown.
    :param order: ``meanwhile`` charges the longer of the two sounds, any other order their sum.
    :return: seconds, rounded up, at least :data:`MINIMUM_SECONDS`; None where a length that is needed is unknown.
    :raises ValueError: a length is negative or not a finite number, or the endpoint or order is not known.
    """
    known_order = Order(order)
    lengths: list[float] = []
    for length in _needed(Endpoint(endpoint), video, audio, left_audio, right_audio):
        if length is None:
            return None
        if not math.isfinite(length) or length < 0:
            raise ValueError(f"the length of a medium must be finite and not negative, got {length!r} seconds")
        lengths.append(length)
    match Endpoint(endpoint), known_order:
        case Endpoint.VIDEO, _:  # the longer one is cut, or extended: the shorter one is charged
            seconds = min(lengths)
        case Endpoint.IMAGE_MULTI, Order.LEFT_RIGHT | Order.RIGHT_LEFT:
            seconds = sum(lengths)
        case _:
            seconds = max(lengths)
    return max(MINIMUM_SECONDS, math.ceil(seconds))


def estimate_credits(seconds: int | None, resolution: Resolution | str = Resolution.P480) -> int | None:
    """Return the credits for a number of charged seconds.

    :param seconds: what :func:`charged_seconds` returned; None = unknown.
    :param resolution: ``480p`` costs 2 credits a second, ``720p`` costs 4.
    :return: credits; None where the seconds are unknown (never 0).
    :raises ValueError: the resolution is not known.
    """
    rate = _CREDITS_PER_SECOND[Resolution(resolution)]
    return None if seconds is None else max(MINIMUM_SECONDS, seconds) * rate


def _needed(
    endpoint: Endpoint, video: float | None, audio: float | None, left_audio: float | None, right_audio: float | None
) -> tuple[float | None, ...]:
    match endpoint:
        case Endpoint.VIDEO:
            return video, audio
        case Endpoint.IMAGE:
            return (audio,)
        case Endpoint.IMAGE_MULTI:
            return left_audio, right_audio
