"""Sample media and the canned video, made by code when first asked for, so that nothing needs the internet."""

from __future__ import annotations

import itertools
import wave
from pathlib import Path

import av
import numpy as np

from airflow_provider_lipsync.api.models import Resolution
from airflow_provider_lipsync.sandbox.render.encode import count_frames, write_film
from airflow_provider_lipsync.sandbox.render.film import animate
from airflow_provider_lipsync.sandbox.render.mouth import MIDDLE
from airflow_provider_lipsync.sandbox.render.picture import Frame
from airflow_provider_lipsync.sandbox.render.plan import FRAMES_PER_SECOND, SAMPLE_RATE, lines_of
from airflow_provider_lipsync.sandbox.render.portrait import draw_duo, draw_portrait
from airflow_provider_lipsync.sandbox.render.sound import Samples, cut, hear, measure_openings
from airflow_provider_lipsync.sandbox.render.voice import RATE, VOICES, speak

__all__ = ["write_canned", "write_sample"]

_CANNED_SECONDS = 2
_CLIP_SECONDS = 4
_CLIP_LINES = 480
_ZOOM = 0.06  # how much nearer the clip has come in the middle of its length


def write_sample(name: str, path: Path) -> None:
    """Write one of the samples to a file."""
    match name:
        case "portrait.png":
            _write_png(path, draw_portrait())
        case "duo.png":
            _write_png(path, draw_duo())
        case "clip.mp4":
            _write_clip(path)
        case _:
            _write_wav(path, name)


def write_canned(resolution: Resolution, path: Path) -> None:
    """Write the video that canned jobs get: the portrait says a few syllables."""
    sound = _voice("voice.wav", _CANNED_SECONDS)
    frames = count_frames(sound.shape[1])
    portrait = _resize(draw_portrait(), lines_of(resolution))
    speakers = [(MIDDLE, measure_openings(hear(cut([sound])), frames))]
    write_film(path, animate(itertools.repeat(portrait), speakers, frames), cut([sound]))


def _write_clip(path: Path) -> None:
    """Write a silent-mouthed video that comes nearer and goes back, around the mouth, which so stays in its place."""
    portrait = _resize(draw_portrait(), round(_CLIP_LINES * (1 + _ZOOM)))  # never enlarged
    count = _CLIP_SECONDS * FRAMES_PER_SECOND
    nearness = _ZOOM * np.sin(np.pi * np.arange(count) / count) ** 2
    frames = (_zoom(portrait, 1 + float(near)) for near in nearness)
    write_film(path, frames, cut([_voice("voice-right.wav", _CLIP_SECONDS)]))


def _zoom(picture: Frame, factor: float) -> Frame:
    height, width = picture.shape[:2]
    big = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        width=2 * round(_CLIP_LINES * width / height * factor / 2),
        height=2 * round(_CLIP_LINES * factor / 2),
        interpolation="BILINEAR",
    )
    pixels: Frame = big.to_ndarray().astype(np.uint8, copy=False)
    rows, columns = _CLIP_LINES, 2 * round(_CLIP_LINES * width / height / 2)
    top = round((pixels.shape[0] - rows) * MIDDLE.y)
    left = round((pixels.shape[1] - columns) * MIDDLE.x)
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])


def _resize(picture: Frame, lines: int) -> Frame:
    height, width = picture.shape[:2]
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    scaled = frame.reformat(width=2 * round(lines * width / height / 2), height=lines, interpolation="AREA")
    return scaled.to_ndarray().astype(np.uint8, copy=False)


def _voice(name: str, seconds: int) -> Samples:
    """Return the beginning of a voice at the renderer's rate, silence after its end."""
    spoken = np.repeat(speak(VOICES[name]).astype(np.float32) / 32768, SAMPLE_RATE // RATE)
    size = seconds * SAMPLE_RATE
    whole = np.zeros(size, dtype=np.float32)
    whole[: spoken.size] = spoken[:size]
    return np.stack([whole, whole])


def _write_wav(path: Path, name: str) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(speak(VOICES[name]).tobytes())


def _write_png(path: Path, picture: Frame) -> None:
    codec = av.CodecContext.create("png", "w")
    codec.height, codec.width = picture.shape[:2]
    codec.pix_fmt = "rgb24"
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    path.write_bytes(b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)]))
