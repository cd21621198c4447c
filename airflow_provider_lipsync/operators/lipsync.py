"""The operators: one base and one class per endpoint. They buy a job on a worker, and free it while the job renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, BaseOperator

from airflow_provider_lipsync.api.models import (
    ImageMultiRequest,
    ImageRequest,
    Job,
    Order,
    Resolution,
    SubmitRequest,
    VideoRequest,
)
from airflow_provider_lipsync.exceptions import (
    Charged,
    LipsyncBadInput,
    LipsyncError,
    LipsyncInputChanged,
    LipsyncSubmitUncertain,
)
from airflow_provider_lipsync.jobs.outcome import (
    LipsyncResult,
    as_submit_error,
    as_task_error,
    result_of,
)
from airflow_provider_lipsync.jobs.policy import OnAmbiguousSubmit, OnChangedInput, OnClear, Wishes
from airflow_provider_lipsync.jobs.purchase import Held, Purchase
from airflow_provider_lipsync.operators.inputs import JobInputs, seconds
from airflow_provider_lipsync.operators.remembering import RememberingTask, tell_ledger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg

__all__ = ["LipsyncImageMultiOperator", "LipsyncImageOperator", "LipsyncVideoOperator"]

_COMMON_FIELDS = (
    *("resolution", "prompt", "seed", "extra_form_state", "webhook_url", "lipsync_conn_id", "resume_job_id"),
)


class _LipsyncOperator(RememberingTask, JobInputs, BaseOperator):
    """What the three operators share: buy one job, hand on its id at once, wait for it, hand on its result.

    What a retry or a clear does about the job of an earlier try is told in ``docs/reliability.md``.

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
        it runs on and stays charged. A try that re-attaches waits for at least a third of it.
    :param webhook_url: https URL of a receiver of your own, which the vendor tells of the finished job.
    :param on_ambiguous_submit: what to do where an earlier submit may have been charged and its id is not known: None
        fails and asks a person, ``resubmit`` buys, and may so pay twice.
    :param on_clear: what a clear does: ``auto`` buys what was delivered or failed and re-attaches to what was not
        delivered, ``resubmit`` always buys, ``reuse`` never buys what was delivered (other inputs were not).
    :param on_changed_input: what a retry does whose inputs are not those of the job that is not delivered yet:
        ``fail``, ``reattach`` (take that job all the same; a clear, too), or ``resubmit`` (buy).
    :param resume_job_id: a job that you found at the vendor, to wait for it and buy nothing; empty = none.
    :raises LipsyncBadInput: a value cannot be sent; nothing was charged.
    :raises LipsyncSubmitUncertain: the job may exist and may have been charged; it is not retried.
    :raises LipsyncLedgerUnavailable: the ledger cannot be used; nothing was sent.
    :raises LipsyncInputChanged: see ``on_changed_input``.
    :raises LipsyncJobFailed: the vendor says that the job failed.
    :raises LipsyncJobTimeout: the job was not seen finished in time; a retry or clear waits on for it.
    :return: :class:`~airflow_provider_lipsync.jobs.outcome.LipsyncResult`.
    """

    template_fields: Sequence[str] = _COMMON_FIELDS
    template_fields_renderers: ClassVar[dict[str, str]] = {"extra_form_state": "json"}
    ui_color = "#f6e7f7"

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
        on_ambiguous_submit: OnAmbiguousSubmit | None = None,
        on_clear: OnClear = "auto",
        on_changed_input: OnChangedInput = "fail",
        resume_job_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = [tell_ledger, *self.on_success_callback]
        self.resolution = resolution
        self.prompt = prompt
        self.seed = seed
        self.extra_form_state = extra_form_state
        self.lipsync_conn_id = lipsync_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.job_timeout = seconds("job_timeout", job_timeout)
        self.webhook_url = webhook_url
        self.on_ambiguous_submit = on_ambiguous_submit
        self.on_clear = on_clear
        self.on_changed_input = on_changed_input
        self.resume_job_id = resume_job_id
        self._wishes()

    def execute(self, context: Context) -> LipsyncResult:
        """Find or buy the job and wait for it; see the class."""
        try:
            held = self._hold(context)
            self._push_id(context, held.job.id)
            if not self.wait_for_completion:
                self._handed_on = held.job.id
                return result_of(held.job)
            ended = self._first_look_at(held)
            return self._hand_on(ended) if ended else self._wait(held.job.id, held.deadline)
        except LipsyncError as error:
            raise self._wait_error(error) from None
        finally:
            self._close()

    def _hold(self, context: Context) -> Held:
        """Check everything, then return the job of this try; the one POST that costs credits is sent in here."""
        try:
            request, resumed = self._request(), self._resumed_id()
            self._ledger = self._open_ledger(context)
            purchase = Purchase(
                submit=self._submit,
                look=self._look_for_purchase,
                ledger=self._ledger,
                wishes=self._wishes(),
                is_first_try=context["ti"].try_number <= 1,
                job_timeout=self.job_timeout,
                log=self.log,
            )
            held = purchase.job_for(request, resume_job_id=resumed)
        except LipsyncError as error:
            if error.job_id is None or isinstance(error, LipsyncInputChanged):
                raise as_submit_error(error, resubmits=self.on_ambiguous_submit == "resubmit") from error.__cause__
            raise
        self._job_id = held.job.id
        return held

    def _first_look_at(self, held: Held) -> Job | None:
        """Return the job if it has ended already; one that an earlier try bought was looked at just now."""
        if not held.is_new:
            return held.job if held.job.status.is_terminal else None
        self.log.info("Jobs typically take %.0f-%.0f s.", *self.hook.settings.typical_seconds)
        return self._first_look(held.job.id)

    def _submit(self, request: SubmitRequest) -> Job:
        try:
            job = self.hook.client.submit(request, before_each=self._check_alive)
        except AirflowTaskTimeout:
            message = "execution_timeout ended the submit before its answer came."
            raise LipsyncSubmitUncertain(message) from None
        self._note_job(job.id)
        return job

    def _check_alive(self) -> None:
        """Refuse to buy for a task that was ended meanwhile."""
        if self._killed:
            raise LipsyncError("the task was ended from outside before anything was bought", charged=Charged.NO)

    def _look_for_purchase(self, job_id: str) -> Job | LipsyncError:
        try:
            return self.hook.client.get_job(job_id)
        except LipsyncError as error:
            return error

    def _push_id(self, context: Context, job_id: str) -> None:
        """Hand the id on; if Airflow cannot take it now, the job is paid for all the same, and goes on."""
        try:
            context["ti"].xcom_push(key="job_id", value=job_id)
        except Exception:
            self.log.warning("The id of job %s could not be pushed to XCom; going on.", job_id, exc_info=True)

    def _wishes(self) -> Wishes:
        try:
            return Wishes(
                on_clear=self.on_clear,
                on_ambiguous_submit=self.on_ambiguous_submit,
                on_changed_input=self.on_changed_input,
            )
        except ValueError as error:
            raise as_task_error(LipsyncBadInput(str(error)), AirflowFailException) from None

    def _wait_seconds(self) -> float:
        return self.job_timeout

    def _look_interval(self) -> float:
        return self.poll_interval


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
