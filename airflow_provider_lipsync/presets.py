"""Ready-made settings for tasks. Imports nothing of Airflow before it is asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_lipsync.exceptions import (
    LipsyncJobFailed,
    LipsyncJobTimeout,
    LipsyncKeyRefused,
    LipsyncLedgerUnavailable,
    LipsyncMediaUnavailable,
    LipsyncMisconfigured,
    LipsyncNoCredits,
    LipsyncPollFault,
    LipsyncRateLimited,
    LipsyncTransferFailed,
    LipsyncUnknownJob,
    LipsyncUnreachable,
)

if TYPE_CHECKING:
    from airflow.sdk.definitions.retry_policy import RetryPolicy

__all__ = ["lipsync_retry_policy"]

_SOON = timedelta(seconds=30)  # looking again, or storing again, is free
_LATER = timedelta(minutes=5)  # somebody else's server needs a rest
_BY_HAND = timedelta(minutes=30)  # somebody has to do something first


def lipsync_retry_policy(*, buys_again: bool = False) -> RetryPolicy:
    """Return a ``retry_policy`` for the operators (Airflow 3.3 and later): what is free is retried soon.

    It decides which of a task's ``retries`` are used, and after which pause; it adds none. What fails for good (a bad
    input, an uncertain submit, a budget) Airflow does not ask it about.

    :param buys_again: whether a job that the vendor failed is bought again, which is charged again; ``max_credits``
        bounds the sum.
    :raises ImportError: this Airflow has no retry policies.
    """
    try:
        from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule
    except ImportError:
        raise ImportError(
            "lipsync_retry_policy needs Airflow 3.3 or later; on an older one, leave retry_policy out and set retries"
        ) from None
    after_failure = RetryAction.RETRY if buys_again else RetryAction.FAIL
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=LipsyncJobFailed, action=after_failure, retry_delay=_SOON, reason="a new one is charged"
            ),
            RetryRule(exception=LipsyncRateLimited, retry_delay=_LATER, reason="the vendor asks to slow down"),
            RetryRule(
                exception=[LipsyncNoCredits, LipsyncKeyRefused, LipsyncMisconfigured],
                retry_delay=_BY_HAND,
                reason="somebody has to mend the account or the connection",
            ),
            RetryRule(
                exception=LipsyncUnreachable,
                retry_delay=_SOON,
                reason="free: nothing was sent, or the job that was bought is taken up again",
            ),
            RetryRule(
                exception=[LipsyncJobTimeout, LipsyncPollFault, LipsyncTransferFailed, LipsyncUnknownJob],
                retry_delay=_SOON,
                reason="free: the job that was bought is taken up again",
            ),
            RetryRule(
                exception=[LipsyncLedgerUnavailable, LipsyncMediaUnavailable],
                retry_delay=_LATER,
                reason="nothing was sent: a storage does not answer",
            ),
        ]
    )
