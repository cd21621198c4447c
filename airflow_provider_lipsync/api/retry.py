"""What may be sent again, and when: pure, so that both clients wait alike.

A POST buys a job and the API has no idempotency key: it is sent again only where it provably never left, or where the
vendor refused it with 429. A GET is free: it is sent again on everything that may pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from airflow_provider_lipsync.exceptions import (
    LipsyncError,
    LipsyncRateLimited,
    LipsyncUnreachable,
    LipsyncVendorFault,
)

__all__ = ["LONGEST_WAIT", "RetryPolicy", "may_resend_get", "may_resend_post", "next_delay", "parse_retry_after"]

LONGEST_WAIT = 60.0  # seconds that a worker may be held by waiting in place; a longer wait must free it
_JITTER = 0.25  # of a delay, so that many clients do not come back in step


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently a request is sent again.

    :param attempts: how often it is sent at the most, the first time included.
    :param first_delay: seconds before the second attempt; doubled for each later one.
    :param longest_delay: seconds between two attempts at the most.
    :param longest_total: seconds that all waits of one request may take together.
    """

    attempts: int = 4
    first_delay: float = 0.5
    longest_delay: float = 20.0
    longest_total: float = LONGEST_WAIT


def may_resend_get(error: LipsyncError) -> bool:
    """Whether a query that ended so may be asked again: connection errors, timeouts, 429 and 5xx."""
    return isinstance(error, LipsyncRateLimited | LipsyncVendorFault | LipsyncUnreachable)


def may_resend_post(error: LipsyncError) -> bool:
    """Whether a submit that ended so may be sent again: it never left, or it was refused with 429."""
    return isinstance(error, LipsyncRateLimited | LipsyncUnreachable)


def next_delay(
    policy: RetryPolicy, *, attempt: int, waited: float, retry_after: float | None, chance: float, capped: bool
) -> float | None:
    """Return the seconds to wait before the next attempt, or None where there is to be none.

    :param attempt: how often the request was sent so far (1 = once).
    :param waited: seconds that were waited for this request so far.
    :param retry_after: seconds that the vendor asked for; None where it did not.
    :param chance: a random number from 0 to 1, for the jitter.
    :param capped: whether a longer ``retry_after`` is cut to what is left (a GET) or ends the attempts (a POST).
    """
    left = policy.longest_total - waited
    if attempt >= policy.attempts or left <= 0:
        return None
    if retry_after is None:
        backoff = min(policy.longest_delay, policy.first_delay * 2.0 ** (attempt - 1))
        return min(left, backoff * (1 - _JITTER + 2 * _JITTER * chance))
    wanted = retry_after + min(1.0, retry_after * _JITTER) * chance
    if retry_after > left:
        return left if capped else None
    return min(left, wanted)


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, from its number or its date; None where unreadable.

    :param value: the header as it came.
    :param now: seconds since the epoch.
    """
    text = (value or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = moment.timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
