"""The words of the API: endpoints, requests, jobs. Frozen values, nothing of HTTP and nothing of Airflow.

Every field comes from the vendor's API page; what is only inferred from it is marked so here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

__all__ = [
    "Endpoint",
    "ImageMultiRequest",
    "ImageRequest",
    "Job",
    "JobStatus",
    "Order",
    "Resolution",
    "SubmitRequest",
    "VideoRequest",
]


class Endpoint(StrEnum):
    """The three submits, by the last part of their path, which is also the ``model`` of a finished job."""

    VIDEO = "lipsync-video"
    IMAGE = "lipsync-image"
    IMAGE_MULTI = "lipsync-image-multi"


class Resolution(StrEnum):
    """Lines of the finished video."""

    P480 = "480p"
    P720 = "720p"


class Order(StrEnum):
    """Who speaks when in a dialogue."""

    MEANWHILE = "meanwhile"
    LEFT_RIGHT = "left_right"  # inferred from the underlying model's public API
    RIGHT_LEFT = "right_left"  # inferred, likewise


class JobStatus(StrEnum):
    """The states the vendor names, and one for any other: it is never taken for success or failure."""

    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether a job in this state will change no more."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the vendor describes it, in an answer to a submit, to a query, or in a webhook.

    :param id: the vendor's id (a UUID), the ``requestId`` of a query.
    :param status: state; :attr:`JobStatus.UNKNOWN` where the vendor used a word that its page does not have.
    :param raw_status: the vendor's own word for the state.
    :param model: ``lipsync-image`` and the like; ``lipsync`` while it is processing; None where not given.
    :param output: temporary URL of the finished MP4; None until it is completed.
    :param error: the vendor's words on a failure; empty otherwise.
    :param execution_time: as the vendor gave it (milliseconds: inferred); None until it is completed.
    """

    id: str
    status: JobStatus
    raw_status: str
    model: str | None = None
    output: str | None = None
    error: str = ""
    execution_time: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the job in the vendor's own shape, as it travels in a trigger's event."""
        return {
            "id": self.id,
            "model": self.model,
            "status": self.raw_status,
            "output": self.output,
            "error": self.error,
            "executionTime": self.execution_time,
            "timings": None,
        }


@dataclass(frozen=True, kw_only=True)
class SubmitRequest:
    """What the three submits share.

    :param resolution: ``480p`` (the vendor's default) or ``720p``.
    :param prompt: style guidance; None = not sent.
    :param seed: integer for reproducible results; None = not sent.
    :param webhook: https URL that the vendor POSTs the finished job to; None = not sent.
    :param extra_form_state: fields that are added to ``formState`` as they are, over any known one of the same name.
    """

    endpoint: ClassVar[Endpoint]
    required: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]] = ()

    resolution: str = Resolution.P480
    prompt: str | None = None
    seed: int | None = None
    webhook: str | None = None
    extra_form_state: Mapping[str, Any] = field(default_factory=dict)

    def form_state(self) -> dict[str, Any]:
        """Return ``formState``: every known field that has a value, then the extra ones over them."""
        names = (*self.media_fields(), "order", "resolution", "prompt", "seed")
        known = {name: getattr(self, name, None) for name in names}
        return {name: value for name, value in known.items() if value is not None} | dict(self.extra_form_state)

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the submit."""
        webhook = {} if self.webhook is None else {"webhook": self.webhook}
        return {**webhook, "formState": self.form_state()}

    @classmethod
    def media_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields that hold URLs of media."""
        return (*cls.required, *cls.optional)


@dataclass(frozen=True, kw_only=True)
class VideoRequest(SubmitRequest):
    """``POST /lipsync-video``: replaces the sound of a video, lips kept in sync.

    :param video: public URL of the source video (MP4, MOV, ...).
    :param audio: public URL of the sound (MP3, WAV, ...).
    :param mask_image: public URL of a mask that limits the lip-sync area; None = not sent.
    """

    endpoint: ClassVar[Endpoint] = Endpoint.VIDEO
    required: ClassVar[tuple[str, ...]] = ("video", "audio")
    optional: ClassVar[tuple[str, ...]] = ("mask_image",)

    video: str
    audio: str
    mask_image: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageRequest(SubmitRequest):
    """``POST /lipsync-image``: a picture and a sound become an avatar with one speaker.

    :param image: public URL of the picture.
    :param audio: public URL of the sound.
    :param mask_image: public URL of a mask (inferred for this endpoint); None = not sent.
    """

    endpoint: ClassVar[Endpoint] = Endpoint.IMAGE
    required: ClassVar[tuple[str, ...]] = ("image", "audio")
    optional: ClassVar[tuple[str, ...]] = ("mask_image",)

    image: str
    audio: str
    mask_image: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageMultiRequest(SubmitRequest):
    """``POST /lipsync-image-multi``: a picture and two sounds become an avatar with two speakers.

    :param image: public URL of the picture (inferred for this endpoint).
    :param left_audio: public URL of the left speaker's sound.
    :param right_audio: public URL of the right speaker's sound.
    :param order: ``meanwhile`` (both at once), ``left_right`` or ``right_left`` (one after the other).
    """

    endpoint: ClassVar[Endpoint] = Endpoint.IMAGE_MULTI
    required: ClassVar[tuple[str, ...]] = ("image", "left_audio", "right_audio")

    image: str
    left_audio: str
    right_audio: str
    order: str = Order.MEANWHILE
