"""What a try asks for, before anything of it has left: known by its marks, made a request only when it is bought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from airflow_provider_lipsync.api.models import Endpoint, SubmitRequest
from airflow_provider_lipsync.jobs.budget import Estimate

__all__ = ["Marks", "Wanted"]

Marks = Mapping[str, str]
"""A fingerprint: a short hash for each field that decides what is rendered."""


class Wanted(Protocol):
    """What a try asks for."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it is sent."""

    def marks(self) -> Marks:
        """Return the fingerprint.

        :raises LipsyncBadInput: an input does not exist, or cannot be read.
        :raises LipsyncMediaUnavailable: its storage does not answer.
        """

    def marks_beside(self, before: Marks) -> Marks:
        """Return the fingerprint to hold against an earlier one; an input that cannot be read now counts as unchanged.

        The job that is waited for has had its inputs: they may be gone by now.
        """

    def estimate(self) -> Estimate:
        """Return what it will cost, by the lengths of its media: their heads are read, nothing is made of them."""

    def request(self) -> SubmitRequest:
        """Check the media, and make URLs of them that the vendor can fetch: right before the submit.

        :raises LipsyncBadInput: one cannot be sent.
        :raises LipsyncMediaUnavailable: a storage does not answer.
        """
