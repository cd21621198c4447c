"""From an operator's fields to a request that was checked; and what can be refused while a DAG is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lipsync.api import check
from airflow_provider_lipsync.api.models import SubmitRequest
from airflow_provider_lipsync.api.texts import refuse_key
from airflow_provider_lipsync.exceptions import LipsyncBadInput
from airflow_provider_lipsync.jobs.outcome import as_task_error, job_id_of
from airflow_provider_lipsync.media.named import NamedMedium, named_medium

if TYPE_CHECKING:
    from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
    from airflow_provider_lipsync.media.sources import Source
    from airflow_provider_lipsync.media.staging import Staging
    from airflow_provider_lipsync.media.web import Web
    from airflow_provider_lipsync.operators.wanted import WantedJob

__all__ = ["JobInputs", "as_text", "seconds"]

_SHORTEST_URL_SECONDS = 3600.0  # that a signed URL lives: the vendor fetches right after the submit, or from its queue
_LONGEST_SECONDS = 366 * 24 * 3600.0  # a year: beyond, dates overflow


class JobInputs:
    """Mixed into an operator: its fields are those of :attr:`request_class`."""

    request_class: ClassVar[type[SubmitRequest]]
    template_fields: Sequence[str]
    extra_form_state: Any
    webhook_url: Any
    resume_job_id: Any
    labels: Any
    max_credits: Any

    wait_for_completion: bool
    job_timeout: float
    log: Any

    @property
    def hook(self) -> LipsyncHook:
        """The hook; a host has one."""
        raise NotImplementedError

    def _wanted(self, web: Web, staging: Staging | None) -> WantedJob:
        """Return what is asked for, from values that are rendered by now; nothing is read of the media yet.

        :raises LipsyncBadInput: a value cannot be sent; the message never holds the API key.
        """
        from airflow_provider_lipsync.media.publishing import Publisher
        from airflow_provider_lipsync.operators.wanted import WantedJob

        settings = self.hook.settings
        refuse_key({name: getattr(self, name) for name in self.template_fields}, settings.target.api_key)
        extra = check.checked_mapping("extra_form_state", self.extra_form_state)
        return WantedJob(
            request_class=self.request_class,
            values=self._checked_values(extra, settings.target.base_url),
            sources=self._sources(extra),
            publisher=Publisher(
                staging=staging,
                public_url_base=settings.public_url_base,
                lifetime=max(_SHORTEST_URL_SECONDS, self.job_timeout),
                largest=settings.largest_input,
                web=web,
                log=self.log,
            ),
            log=self.log,
        )

    def _checked_values(self, extra: Mapping[str, Any], vendor_url: str) -> dict[str, Any]:
        """Return all but the media."""
        checked = {name: self._checked(name) for name in self._plain_fields() if name not in extra}
        webhook = check.checked_webhook(self.webhook_url, vendor_url=vendor_url)
        further = {name: value for name, value in extra.items() if name not in self.request_class.media_fields()}
        return {**checked, "extra_form_state": further, "webhook": webhook}

    def _sources(self, extra: Mapping[str, Any]) -> dict[str, Source]:
        """Return the media, those of ``extra_form_state`` over the fields of the same name."""
        from airflow_provider_lipsync.media.sources import source_of

        return {name: source_of(name, medium) for name, medium in self._media(extra).items()}

    def _media(self, extra: Mapping[str, Any]) -> dict[str, NamedMedium]:
        """Return what the media are called, likewise."""
        given = {name: extra.get(name, getattr(self, name)) for name in self.request_class.media_fields()}
        found = {name: self._medium(name, value) for name, value in given.items()}
        return {name: medium for name, medium in found.items() if medium is not None}

    def _medium(self, name: str, value: object) -> NamedMedium | None:
        medium = named_medium(name, value, required=name in self.request_class.required)
        if medium is not None and medium.way == "local" and not self.wait_for_completion:
            raise LipsyncBadInput(
                f"{name}: a local file needs wait_for_completion=True, since its copy in the staging_path is removed "
                f"when the job is over; or put the file into an object storage yourself. Got {medium.text}. "
                "Nothing was sent."
            )
        return medium

    def _checked(self, name: str) -> Any:
        """Return the value of one field as it is sent."""
        value = getattr(self, name)
        match name:
            case "resolution":
                return check.checked_resolution(value)
            case "order":
                return check.checked_order(value)
            case "seed":
                return check.checked_seed(value)
            case _:
                return check.checked_text(name, value)

    def _check_literals(self) -> None:
        """Refuse, while the DAG is being written, what can be seen to be wrong already.

        :raises LipsyncBadInput: a value that is neither a template nor an XCom cannot be sent.
        """
        try:
            if _is_literal(self.webhook_url):
                check.checked_webhook(self.webhook_url, vendor_url=None)
            if _is_literal(self.labels):
                check.checked_labels(self.labels)
            if _is_literal(self.max_credits):
                check.checked_credits("max_credits", self.max_credits)
            if not _is_literal(self.extra_form_state):
                return
            extra = check.checked_mapping("extra_form_state", self.extra_form_state)
            for name in self.request_class.media_fields():
                if _is_literal(value := extra.get(name, getattr(self, name))):
                    self._medium(name, value)
            for name in self._plain_fields():
                if name not in extra and _is_literal(getattr(self, name)):
                    self._checked(name)
        except LipsyncBadInput as error:
            raise as_task_error(error, AirflowFailException) from None

    def _plain_fields(self) -> tuple[str, ...]:
        return (*(("order",) if hasattr(self, "order") else ()), "resolution", "prompt", "seed")

    def _resumed_id(self) -> str | None:
        """Return the job that a person named; None where an empty template, or nothing, was given.

        :raises LipsyncBadInput: it is no job id.
        """
        given = self.resume_job_id
        if given is None or (isinstance(given, str) and given.strip() in ("", "None")):
            return None
        try:
            return job_id_of(given, api_key=self.hook.settings.target.api_key)
        except LipsyncBadInput as error:
            raise LipsyncBadInput(f"resume_{error.message}") from None


def _is_literal(value: object) -> bool:
    """Whether a value is what will be sent, not a template or an XCom that will be resolved at run time."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(_is_literal(key) and _is_literal(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, bool | int | float)


def as_text(medium: Any) -> Any:
    """Return a ``pathlib.Path`` as text: Airflow does not render it, and 3.1 calls its ``resolve()`` to do so."""
    return str(medium) if isinstance(medium, PurePath) else medium


def seconds(name: str, value: object) -> float:
    """Return a positive number of seconds.

    :raises LipsyncBadInput: it is not one.
    """
    found = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found <= _LONGEST_SECONDS:
        error = LipsyncBadInput(f"{name}: a positive number of seconds (at most a year) is allowed; got {value!r}")
        raise as_task_error(error, AirflowFailException)
    return float(found)
