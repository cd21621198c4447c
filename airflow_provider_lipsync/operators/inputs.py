"""From an operator's fields to a request that was checked; and what can be refused while a DAG is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lipsync.api import check
from airflow_provider_lipsync.api.models import SubmitRequest
from airflow_provider_lipsync.api.wire import refuse_key
from airflow_provider_lipsync.exceptions import LipsyncBadInput
from airflow_provider_lipsync.jobs.outcome import as_task_error, job_id_of

if TYPE_CHECKING:
    from airflow_provider_lipsync.hooks.lipsync import LipsyncHook

__all__ = ["JobInputs", "seconds"]

_LONGEST_SECONDS = 366 * 24 * 3600.0  # a year: beyond, dates overflow


class JobInputs:
    """Mixed into an operator: its fields are those of :attr:`request_class`."""

    request_class: ClassVar[type[SubmitRequest]]
    template_fields: Sequence[str]
    extra_form_state: Any
    webhook_url: Any
    resume_job_id: Any

    @property
    def hook(self) -> LipsyncHook:
        """The hook; a host has one."""
        raise NotImplementedError

    def _request(self) -> SubmitRequest:
        """Return the request, from values that are rendered by now.

        :raises LipsyncBadInput: a value cannot be sent; the message never holds the API key.
        """
        target = self.hook.settings.target
        refuse_key({name: getattr(self, name) for name in self.template_fields}, target.api_key)
        return self.request_class(**self._checked_values(target.base_url))

    def _checked_values(self, vendor_url: str) -> dict[str, Any]:
        extra = check.checked_form_state(self.extra_form_state)
        self._check_media_in(extra)
        checked = {name: self._checked(name) for name in self._value_fields() if name not in extra}
        missing = dict.fromkeys(self.request_class.required, "")  # named by extra_form_state instead
        webhook = check.checked_webhook(self.webhook_url, vendor_url=vendor_url)
        return {**missing, **checked, "extra_form_state": extra, "webhook": webhook}

    def _check_media_in(self, extra: Mapping[str, Any]) -> None:
        """Refuse media that come through ``extra_form_state`` as any others; its other fields are the user's affair."""
        for name in self.request_class.media_fields():
            if name in extra:
                check.checked_media(name, extra[name], required=name in self.request_class.required)

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
            case "prompt":
                return check.checked_text(name, value)
            case _:
                return check.checked_media(name, value, required=name in self.request_class.required)

    def _check_literals(self) -> None:
        """Refuse, while the DAG is being written, what can be seen to be wrong already.

        :raises LipsyncBadInput: a value that is neither a template nor an XCom cannot be sent.
        """
        try:
            extra = check.checked_form_state(self.extra_form_state) if _is_literal(self.extra_form_state) else None
            self._check_media_in(extra or {})  # all of it is literal
            for name in self._value_fields():
                if extra is not None and name not in extra and _is_literal(getattr(self, name)):
                    self._checked(name)
            if _is_literal(self.webhook_url):
                check.checked_webhook(self.webhook_url, vendor_url=None)
        except LipsyncBadInput as error:
            raise as_task_error(error, AirflowFailException) from None

    def _value_fields(self) -> tuple[str, ...]:
        order = ("order",) if hasattr(self, "order") else ()
        return (*self.request_class.media_fields(), *order, "resolution", "prompt", "seed")

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
    return value is None or isinstance(value, bool | int | float)


def seconds(name: str, value: object) -> float:
    """Return a positive number of seconds.

    :raises LipsyncBadInput: it is not one.
    """
    found = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found <= _LONGEST_SECONDS:
        error = LipsyncBadInput(f"{name}: a positive number of seconds (at most a year) is allowed; got {value!r}")
        raise as_task_error(error, AirflowFailException)
    return float(found)
