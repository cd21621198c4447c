"""What an operator asks for: its values as they are sent, and its media as the user named them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.api.models import Endpoint, Order, Resolution, SubmitRequest
from airflow_provider_lipsync.exceptions import LipsyncBadInput, LipsyncError
from airflow_provider_lipsync.jobs.budget import Estimate, estimate_job
from airflow_provider_lipsync.jobs.fingerprint import fingerprint

if TYPE_CHECKING:
    from airflow_provider_lipsync.media.publishing import Publisher
    from airflow_provider_lipsync.media.sources import Source

__all__ = ["WantedJob"]

# The media whose lengths the price depends on.
_LENGTHS = {
    Endpoint.VIDEO: ("video", "audio"),
    Endpoint.IMAGE: ("audio",),
    Endpoint.IMAGE_MULTI: ("left_audio", "right_audio"),
}


@dataclass(frozen=True, kw_only=True)
class WantedJob:
    """See :class:`~airflow_provider_lipsync.jobs.wanted.Wanted`.

    :param values: of all fields but the media.
    :param sources: the media, by field.
    :param publisher: makes URLs of them.
    :param log: the task's.
    """

    request_class: type[SubmitRequest]
    values: Mapping[str, Any]
    sources: Mapping[str, Source]
    publisher: Publisher
    log: Any
    _identities: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def endpoint(self) -> Endpoint:
        """Where it is sent."""
        return self.request_class.endpoint

    def marks(self) -> dict[str, str]:
        """Return the fingerprint: hashes of the values, and of what identifies the content of each medium."""
        return self._marks({name: self._identity(name) for name in self.sources})

    def marks_beside(self, before: Mapping[str, str]) -> dict[str, str]:
        """Return the fingerprint to hold against an earlier one; what cannot be read now counts as unchanged."""
        known: dict[str, str] = {}
        for name, source in self.sources.items():
            try:
                known[name] = self._identity(name)
            except LipsyncError as error:
                self.log.warning(
                    "It cannot be told whether %s (%s) changed since the job was bought: %s",
                    name,
                    source.shown,
                    error.message,
                )
        unread = {name: before[name] for name in self.sources if name not in known and name in before}
        return self._marks(known) | unread

    def estimate(self) -> Estimate:
        """Return what it will cost; what cannot be read is unknown, and says why."""
        from airflow_provider_lipsync.media.lengths import length_of

        measured = {
            name: length_of(self.sources[name], web=self.publisher.web, log=self.log)
            for name in _LENGTHS[self.endpoint]
        }
        unknown = {name: length for name, length in measured.items() if length.seconds is None}
        return estimate_job(
            self.endpoint,
            {name: length.seconds for name, length in measured.items() if length.seconds is not None},
            resolution=self._asked("resolution", Resolution.P480),
            order=self._asked("order", Order.MEANWHILE),
            unknown="; ".join(f"{name}: {length.why}" for name, length in unknown.items()),
            may_pass=all(length.may_pass for length in unknown.values()),
        )

    def request(self) -> SubmitRequest:
        """Check the media and return the request, with URLs that the vendor can fetch."""
        media = self.publisher.publish(self.sources)
        for name, identity in self._identities.items():
            if self.sources[name].identity() != identity:
                raise LipsyncBadInput(
                    f"{name}: {self.sources[name].shown} changed while it was read. Nothing was sent."
                )
        return self._with(media)

    def _asked(self, name: str, default: str) -> str:
        """Return a value that the price depends on as it will be sent, over which ``extra_form_state`` has the say."""
        value = {**self.values, **self.values["extra_form_state"]}.get(name)
        return default if value is None else str(value)

    def _identity(self, name: str) -> str:
        if name not in self._identities:
            self._identities[name] = self.sources[name].identity()
        return self._identities[name]

    def _marks(self, identities: Mapping[str, str]) -> dict[str, str]:
        return fingerprint(self._with(identities))

    def _with(self, media: Mapping[str, str]) -> SubmitRequest:
        missing = dict.fromkeys(self.request_class.required, "")
        return self.request_class(**{**missing, **self.values, **media})
