"""From a plan to a film: which background, which sound, whose mouth; as long as the price rules imply."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_lipsync.api.models import Endpoint
from airflow_provider_lipsync.sandbox.render.encode import count_frames, write_film
from airflow_provider_lipsync.sandbox.render.mask import Mask, find_place, read_mask
from airflow_provider_lipsync.sandbox.render.mouth import LEFT, MIDDLE, RIGHT, Place, draw_mouth
from airflow_provider_lipsync.sandbox.render.picture import Frame, measure_video, read_picture, read_video
from airflow_provider_lipsync.sandbox.render.plan import Plan, lines_of
from airflow_provider_lipsync.sandbox.render.sound import Openings, combine, measure_openings, read_sound
from airflow_provider_lipsync.sandbox.render.style import PLAIN, Style, style_of

__all__ = ["Speaker", "animate", "render"]

Speaker = tuple[Place, Openings]  # where a mouth is, and how far it is open in each frame


def render(plan: Plan) -> dict[str, float]:
    """Render a job's video.

    :return: length of each medium that has one, in seconds, by the name of its field.
    :raises UnreadableMediaError: a medium cannot be read.
    """
    return _render_dialogue(plan) if plan.endpoint is Endpoint.IMAGE_MULTI else _render_speaker(plan)


def animate(
    backgrounds: Iterable[Frame],
    speakers: Sequence[Speaker],
    frames: int,
    *,
    style: Style = PLAIN,
    mask: Mask | None = None,
) -> Iterator[Frame]:
    """Yield so many backgrounds with mouths drawn into them, and nothing else changed.

    :param mask: what of the backgrounds may change; None = all.
    """
    for number, background in enumerate(itertools.islice(backgrounds, frames)):
        picture = background.copy()
        for place, openings in speakers:
            draw_mouth(picture, place, float(openings[number]), style, mask)
        yield picture


def _render_speaker(plan: Plan) -> dict[str, float]:
    backgrounds, lengths = _open_backgrounds(plan)
    first = next(backgrounds)
    mask, place = None, MIDDLE
    if "mask_image" in plan.media:
        mask = read_mask(plan.media["mask_image"], *first.shape[:2])
        place = find_place(mask)
    sound = read_sound(plan.media["audio"])
    frames = count_frames(sound.size)
    speakers = [(place, measure_openings(sound, frames))]
    film = animate(itertools.chain([first], backgrounds), speakers, frames, style=style_of(plan.seed), mask=mask)
    write_film(plan.output, film, sound.blocks())
    return {**lengths, "audio": sound.seconds}


def _open_backgrounds(plan: Plan) -> tuple[Iterator[Frame], dict[str, float]]:
    """Return endless pictures, and the length of the video that they come from."""
    lines = lines_of(plan.resolution)
    if plan.endpoint is Endpoint.VIDEO:
        video = plan.media["video"]
        return read_video(video, lines), {"video": measure_video(video)}
    return itertools.repeat(read_picture(plan.media["image"], lines)), {}


def _render_dialogue(plan: Plan) -> dict[str, float]:
    picture = read_picture(plan.media["image"], lines_of(plan.resolution))
    left, right = read_sound(plan.media["left_audio"]), read_sound(plan.media["right_audio"])
    dialogue = combine(left, right, plan.order)
    frames = count_frames(dialogue.size)
    speakers = [
        (LEFT, measure_openings(left, frames, dialogue.left_start)),
        (RIGHT, measure_openings(right, frames, dialogue.right_start)),
    ]
    film = animate(itertools.repeat(picture), speakers, frames, style=style_of(plan.seed))
    write_film(plan.output, film, dialogue.blocks())
    return {"left_audio": left.seconds, "right_audio": right.seconds}
