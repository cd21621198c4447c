"""The operators: one class per endpoint, over one base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_lipsync.api.models import ImageMultiRequest, ImageRequest, Order, VideoRequest
from airflow_provider_lipsync.operators.inputs import as_text
from airflow_provider_lipsync.operators.job import COMMON_FIELDS, JobOperator

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.providers.common.compat.sdk import Asset, ObjectStoragePath, XComArg

    Medium: TypeAlias = str | ObjectStoragePath | Path | Asset | XComArg

__all__ = ["LipsyncImageMultiOperator", "LipsyncImageOperator", "LipsyncVideoOperator"]


class LipsyncVideoOperator(JobOperator):
    """Replaces the sound of a video, lips kept in sync (``POST /lipsync-video``).

    The shorter of the two lengths is charged, at least 5 seconds. The other parameters: :class:`JobOperator`.

    :param video: the source video (MP4, MOV, ...): a public URL, a path in an object storage, or a local file.
    :param audio: the sound (MP3, WAV, ...), likewise.
    :param mask_image: a mask that limits the lip-sync area, likewise.
    """

    template_fields: Sequence[str] = ("video", "audio", "mask_image", *COMMON_FIELDS)
    request_class = VideoRequest

    def __init__(self, *, video: Medium, audio: Medium, mask_image: Medium | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.video = as_text(video)
        self.audio = as_text(audio)
        self.mask_image = as_text(mask_image)
        self._check_literals()


class LipsyncImageOperator(JobOperator):
    """Makes an avatar with one speaker from a picture and a sound (``POST /lipsync-image``).

    The length of the sound is charged, at least 5 seconds. The other parameters: :class:`JobOperator`.

    :param image: the picture: a public URL, a path in an object storage, or a local file.
    :param audio: the sound (MP3, WAV, ...), likewise.
    :param mask_image: a mask (inferred for this endpoint), likewise.
    """

    template_fields: Sequence[str] = ("image", "audio", "mask_image", *COMMON_FIELDS)
    request_class = ImageRequest

    def __init__(self, *, image: Medium, audio: Medium, mask_image: Medium | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image = as_text(image)
        self.audio = as_text(audio)
        self.mask_image = as_text(mask_image)
        self._check_literals()


class LipsyncImageMultiOperator(JobOperator):
    """Makes an avatar with two speakers from a picture and two sounds (``POST /lipsync-image-multi``).

    Both at once, the longer sound is charged; one after the other, their sum; at least 5 seconds. The other parameters:
    :class:`JobOperator`.

    :param image: the picture: a public URL, a path in an object storage, or a local file.
    :param left_audio: the left speaker's sound, likewise.
    :param right_audio: the right speaker's sound, likewise.
    :param order: ``meanwhile`` (both at once), ``left_right`` or ``right_left`` (one after the other).
    """

    template_fields: Sequence[str] = ("image", "left_audio", "right_audio", "order", *COMMON_FIELDS)
    request_class = ImageMultiRequest

    def __init__(
        self,
        *,
        image: Medium,
        left_audio: Medium,
        right_audio: Medium,
        order: str | XComArg = Order.MEANWHILE.value,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image = as_text(image)
        self.left_audio = as_text(left_audio)
        self.right_audio = as_text(right_audio)
        self.order = order
        self._check_literals()
