"""The operators: one base and one class per endpoint. They buy a job on a worker, and free it while the job renders."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, BaseOperator

from airflow_provider_lipsync.api import check
from airflow_provider_lipsync.api.models import (
    ImageMultiRequest,
    ImageRequest,
    Job,
    Order,
    Resolution,
    SubmitRequest,
    VideoRequest,
)
from airflow_provider_lipsync.api.wire import refuse_key
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncBadInput,
    LipsyncError,
    LipsyncSubmitUncertain,
    LipsyncUnknownJob,
)
from airflow_provider_lipsync.jobs.outcome import (
    LipsyncResult,
    as_submit_error,
    as_task_error,
    as_wait_error,
    job_id_of,
    result_of,
)
from airflow_provider_lipsync.operators.base import JobTask, moment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

__all__ = ["LipsyncImageMultiOperator", "LipsyncImageOperator", "LipsyncVideoOperator"]

_LONGEST_SECONDS = 366 * 24 * 3600.0  # a year: beyond, dates overflow
_COMMON_FIELDS = ("resolution", "prompt", "seed", "extra_form_state", "webhook_url", "lipsync_conn_id")


class _LipsyncOperator(JobTask, BaseOperator):
    """What the three operators share: buy one job, hand on its id at once, wait for it, hand on its result.

    :param resolution: ``480p`` (2 credits a second) or ``720p`` (4 credits a second).
    :param prompt: style guidance.
    :param seed: integer, for reproducible results.
    :param extra_form_state: fields added to the request's ``formState`` as they are, over any known one: for what the
        vendor added after this release.
    :param lipsync_conn_id: connection of type ``lipsync``.
    :param wait_for_completion: False hands on the result at once, with status ``processing``; wait for it by
        :class:`~airflow_provider_lipsync.sensors.lipsync.LipsyncJobSensor`.
    :param deferrable: whether the worker is freed while the job renders.
    :param poll_interval: seconds between two looks at the job.
    :param job_timeout: seconds (or a timedelta) from the submit, after which the task gives up. The job has no cancel:
        it runs on and stays charged.
    :param webhook_url: https URL of a receiver of your own, which the vendor tells of the finished job.
    :raises LipsyncBadInput: a value cannot be sent; nothing was charged.
    :raises LipsyncSubmitUncertain: the job may exist and may have been charged; it is not retried.
    :raises LipsyncJobFailed: the vendor says that the job failed.
    :raises LipsyncJobTimeout: the job was not seen finished in time; the id is in the message and in XCom ``job_id``.
    :return: :class:`~airflow_provider_lipsync.jobs.outcome.LipsyncResult`.
    """

    template_fields: Sequence[str] = _COMMON_FIELDS
    template_fields_renderers: ClassVar[dict[str, str]] = {"extra_form_state": "json"}
    ui_color = "#f6e7f7"

    request_class: ClassVar[type[SubmitRequest]]

    def __init__(
        self,
        *,
        resolution: str | XComArg = Resolution.P480.value,
        prompt: str | XComArg | None = None,
        seed: int | str | XComArg | None = None,
        extra_form_state: Mapping[str, Any] | str | XComArg | None = None,
        lipsync_conn_id: str = "lipsync_default",
        wait_for_completion: bool = True,
        deferrable: bool = True,
        poll_interval: float = 5.0,
        job_timeout: float | timedelta = 1800,
        webhook_url: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.resolution = resolution
        self.prompt = prompt
        self.seed = seed
        self.extra_form_state = extra_form_state
        self.lipsync_conn_id = lipsync_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = _seconds("poll_interval", poll_interval)
        self.job_timeout = _seconds("job_timeout", job_timeout)
        self.webhook_url = webhook_url

    def execute(self, context: Context) -> LipsyncResult:
        """Buy the job and wait for it; see the class."""
        try:
            deadline = time.time() + self.job_timeout
            job = self._buy(context, deadline)
            if not self.wait_for_completion:
                return result_of(job)
            ended = self._first_look(job.id)
            return self._hand_on(ended) if ended else self._wait(job.id, deadline)
        except LipsyncError as error:
            raise self._wait_error(error) from None
        finally:
            self._close()

    def _buy(self, context: Context, deadline: float) -> Job:
        """Check everything, then send the one POST that costs credits; push its id before anything else happens."""
        told = moment(deadline)
        try:
            job = self._submit(self._request())
        except LipsyncError as error:
            raise as_submit_error(error) from error.__cause__
        self._push_id(context, job.id)
        low, high = self.hook.settings.typical_seconds
        self.log.info(
            "Job %s (%s) was bought and is charged; it has no cancel. It typically takes %.0f-%.0f s; deadline: %s.",
            job.id,
            self.request_class.endpoint,
            low,
            high,
            told,
        )
        return job

    def _submit(self, request: SubmitRequest) -> Job:
        try:
            return self.hook.client.submit(request)
        except AirflowTaskTimeout:
            message = "execution_timeout ended the submit before its answer came. The job may exist and be charged."
            raise LipsyncSubmitUncertain(message) from None

    def _push_id(self, context: Context, job_id: str) -> None:
        """Hand the id on; if Airflow cannot take it now, the job is paid for all the same, and goes on."""
        try:
            context["ti"].xcom_push(key="job_id", value=job_id)
        except Exception:
            self.log.warning("The id of job %s could not be pushed to XCom; going on.", job_id, exc_info=True)

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

    def _wait_seconds(self) -> float:
        return self.job_timeout

    def _look_interval(self) -> float:
        return self.poll_interval

    def _known_job_id(self, context: Context) -> str:
        ti = context["ti"]
        try:
            return job_id_of(ti.xcom_pull(task_ids=ti.task_id, key="job_id", map_indexes=ti.map_index))
        except LipsyncBadInput:
            raise LipsyncUnknownJob(
                "the job was bought, but its id is not in XCom any more",
                charged=Charged.YES,
                next_step="take the id from this task's log: LipsyncJobSensor(job=id) fetches it; a retry buys again",
            ) from None

    def _wait_error(self, error: LipsyncError) -> LipsyncError:
        return error if isinstance(error, AirflowFailException) else as_wait_error(error)


class LipsyncVideoOperator(_LipsyncOperator):
    """Replaces the sound of a video, lips kept in sync (``POST /lipsync-video``).

    The shorter of the two lengths is charged, at least 5 seconds. The other parameters: :class:`_LipsyncOperator`.

    :param video: public URL of the source video (MP4, MOV, ...).
    :param audio: public URL of the sound (MP3, WAV, ...).
    :param mask_image: public URL of a mask that limits the lip-sync area.
    """

    template_fields: Sequence[str] = ("video", "audio", "mask_image", *_COMMON_FIELDS)
    request_class = VideoRequest

    def __init__(
        self, *, video: str | XComArg, audio: str | XComArg, mask_image: str | XComArg | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.video = video
        self.audio = audio
        self.mask_image = mask_image
        self._check_literals()


class LipsyncImageOperator(_LipsyncOperator):
    """Makes an avatar with one speaker from a picture and a sound (``POST /lipsync-image``).

    The length of the sound is charged, at least 5 seconds. The other parameters: :class:`_LipsyncOperator`.

    :param image: public URL of the picture.
    :param audio: public URL of the sound (MP3, WAV, ...).
    :param mask_image: public URL of a mask (inferred for this endpoint).
    """

    template_fields: Sequence[str] = ("image", "audio", "mask_image", *_COMMON_FIELDS)
    request_class = ImageRequest

    def __init__(
        self, *, image: str | XComArg, audio: str | XComArg, mask_image: str | XComArg | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.audio = audio
        self.mask_image = mask_image
        self._check_literals()


class LipsyncImageMultiOperator(_LipsyncOperator):
    """Makes an avatar with two speakers from a picture and two sounds (``POST /lipsync-image-multi``).

    Both at once, the longer sound is charged; one after the other, their sum; at least 5 seconds. The other parameters:
    :class:`_LipsyncOperator`.

    :param image: public URL of the picture.
    :param left_audio: public URL of the left speaker's sound.
    :param right_audio: public URL of the right speaker's sound.
    :param order: ``meanwhile`` (both at once), ``left_right`` or ``right_left`` (one after the other).
    """

    template_fields: Sequence[str] = ("image", "left_audio", "right_audio", "order", *_COMMON_FIELDS)
    request_class = ImageMultiRequest

    def __init__(
        self,
        *,
        image: str | XComArg,
        left_audio: str | XComArg,
        right_audio: str | XComArg,
        order: str | XComArg = Order.MEANWHILE.value,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.left_audio = left_audio
        self.right_audio = right_audio
        self.order = order
        self._check_literals()


def _is_literal(value: object) -> bool:
    """Whether a value is what will be sent, not a template or an XCom that will be resolved at run time."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(_is_literal(key) and _is_literal(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float)


def _seconds(name: str, value: object) -> float:
    """Return a positive number of seconds.

    :raises LipsyncBadInput: it is not one.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_SECONDS:
        error = LipsyncBadInput(f"{name}: a positive number of seconds (at most a year) is allowed; got {value!r}")
        raise as_task_error(error, AirflowFailException)
    return float(seconds)
