"""From a plan to a film: which background, which sound, whose mouth; as long as the price rules imply."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_lipsync.api.models import Endpoint
from airflow_provider_lipsync.sandbox.render.encode import count_frames, write_film
from airflow_provider_lipsync.sandbox.render.mouth import LEFT, MIDDLE, RIGHT, Place, draw_mouth
from airflow_provider_lipsync.sandbox.render.picture import Frame, measure_video, read_picture, read_video
from airflow_provider_lipsync.sandbox.render.plan import Plan, lines_of
from airflow_provider_lipsync.sandbox.render.sound import Openings, combine, measure_openings, read_sound, seconds_of

__all__ = ["Speaker", "animate", "render"]

Speaker = tuple[Place, Openings]  # where a mouth is, and how far it is open in each frame


def render(plan: Plan) -> dict[str, float]:
    """Render a job's video.

    :return: length of each medium that has one, in seconds, by the name of its field.
    :raises UnreadableMediaError: a medium cannot be read.
    """
    return _render_dialogue(plan) if plan.endpoint is Endpoint.IMAGE_MULTI else _render_speaker(plan)


def animate(backgrounds: Iterable[Frame], speakers: Sequence[Speaker], frames: int) -> Iterator[Frame]:
    """Yield so many backgrounds with mouths drawn into them."""
    for number, background in enumerate(itertools.islice(backgrounds, frames)):
        picture = background.copy()
        for place, openings in speakers:
            draw_mouth(picture, place, float(openings[number]))
        yield picture


def _render_speaker(plan: Plan) -> dict[str, float]:
    lines = lines_of(plan.resolution)
    backgrounds: Iterable[Frame]
    lengths: dict[str, float] = {}
    if plan.endpoint is Endpoint.VIDEO:
        lengths["video"] = measure_video(plan.media["video"])
        backgrounds = read_video(plan.media["video"], lines)
    else:
        backgrounds = itertools.repeat(read_picture(plan.media["image"], lines))
    sound = read_sound(plan.media["audio"])
    frames = count_frames(sound)
    speakers = [(MIDDLE, measure_openings(sound, frames))]
    write_film(plan.output, animate(backgrounds, speakers, frames), sound)
    return {**lengths, "audio": seconds_of(sound)}


def _render_dialogue(plan: Plan) -> dict[str, float]:
    picture = read_picture(plan.media["image"], lines_of(plan.resolution))
    left, right = read_sound(plan.media["left_audio"]), read_sound(plan.media["right_audio"])
    dialogue = combine(left, right, plan.order)
    frames = count_frames(dialogue.mixed)
    speakers = [
        (LEFT, measure_openings(dialogue.left, frames)),
        (RIGHT, measure_openings(dialogue.right, frames)),
    ]
    write_film(plan.output, animate(itertools.repeat(picture), speakers, frames), dialogue.mixed)
    return {"left_audio": seconds_of(left), "right_audio": seconds_of(right)}
