"""Speech, for real: each mouth follows the loudness of its own sound, measured in the pixels of the finished film."""

from __future__ import annotations

import itertools
import tracemalloc
import wave
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from airflow_provider_lipsync.sandbox.render.plan import UnreadableMediaError
from airflow_provider_lipsync.sandbox.render.sound import hear, read_sound
from tests.sandbox.conftest import Media
from tests.sandbox.support import Caller, Film, measure_loudness, tone, write_picture, write_video, write_wav

LEFT, RIGHT = 0.28, 0.72
LEFT_PITCH, RIGHT_PITCH = 200, 1000
STATED = 0.5  # the least that is asked for
LEAST = 0.9  # the least that is right for sounds as plain as these
LEVELS = (0, 0.5, 0.1, 0.9, 0.3, 0, 0.7, 0.2, 1, 0.05, 0.6, 0)
SPEECH = tuple((0.16, level) for level in LEVELS)
OTHER_SPEECH = tuple((0.12, level) for level in reversed(LEVELS))


@pytest.fixture(scope="session")
def picture(media: Media) -> str:
    return media.url(write_picture(media.folder / "pair.png", 300, 300))


def _render(caller: Caller, endpoint: str, **form_state: object) -> Film:
    job = caller.finish(caller.submit(endpoint, **form_state))
    assert (job["status"], job["error"]) == ("completed", "")
    return Film.read(httpx.get(job["output"], timeout=60).content)


def _correlate(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    return float(np.corrcoef(first, second)[0, 1])


@pytest.mark.parametrize("endpoint", ["lipsync-image", "lipsync-video"])
def test_the_mouth_follows_the_loudness_of_the_sound_in_the_same_film(
    rendering: Caller, media: Media, picture: str, endpoint: str
) -> None:
    sound = media.url(write_wav(media.folder / "speech.wav", *SPEECH))
    video = media.url(write_video(media.folder / "darker.mp4", 1))
    form = {"image": picture} if endpoint == "lipsync-image" else {"video": video}
    film = _render(rendering, endpoint, **form, audio=sound)
    assert _correlate(film.openings(), film.loudness()) > max(STATED, LEAST)


def test_a_stereo_sound_whose_sides_cancel_each_other_moves_the_mouth_all_the_same(
    rendering: Caller, media: Media, picture: str
) -> None:
    mono = tone(*SPEECH)
    sound = media.url(_write_stereo(media.folder / "opposed.wav", np.stack([mono, -mono], axis=1)))
    film = _render(rendering, "lipsync-image", image=picture, audio=sound)
    assert _correlate(film.openings(), measure_loudness(mono, len(film.frames), 16_000)) > max(STATED, LEAST)


@pytest.mark.parametrize(
    ("order", "left_start", "right_start"),
    [
        pytest.param("meanwhile", 0, 0, id="at once"),
        pytest.param("left_right", 0, 1.92, id="left, then right"),
        pytest.param("right_left", 1.44, 0, id="right, then left"),
    ],
)
def test_each_mouth_of_a_dialogue_follows_its_own_sound_and_both_are_heard(
    rendering: Caller, media: Media, picture: str, order: str, left_start: float, right_start: float
) -> None:
    left_audio = media.url(write_wav(media.folder / "speaker-left.wav", *SPEECH, pitch=LEFT_PITCH))
    right_audio = media.url(write_wav(media.folder / "speaker-right.wav", *OTHER_SPEECH, pitch=RIGHT_PITCH))
    film = _render(
        rendering, "lipsync-image-multi", image=picture, left_audio=left_audio, right_audio=right_audio, order=order
    )
    count = len(film.frames)
    for side, speech, start, pitch in (
        (LEFT, SPEECH, left_start, LEFT_PITCH),
        (RIGHT, OTHER_SPEECH, right_start, RIGHT_PITCH),
    ):
        own = measure_loudness(np.concatenate([np.zeros(round(start * 16_000)), tone(*speech)]), count, 16_000)
        openings = film.openings(side)
        assert _correlate(openings, own) > max(STATED, LEAST)
        silent = np.convolve(own, np.ones(3), mode="same") == 0
        assert float(np.ptp(openings[silent])) <= 0.05 * float(np.ptp(openings))  # closed while the other speaks
        near, far = (_loudness_at(sound, pitch, count) for sound in (film.sound if side == LEFT else film.sound[::-1]))
        assert min(_correlate(near, own), _correlate(far, own)) > LEAST
        assert 2 < near.max() / far.max() < 4  # on its own side in the main


def test_a_long_sound_is_never_in_memory_whole(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", (40, 0.5))
    tracemalloc.start()
    try:
        sound = read_sound(path)
        size = sum(block.nbytes for block in sound.blocks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == sound.size * 8 > 15_000_000
    assert peak < 2_000_000


def test_a_sound_without_an_end_is_refused() -> None:
    with pytest.raises(UnreadableMediaError, match=r"^Audio is longer than 600 seconds$"):
        hear(itertools.repeat(np.zeros((2, 1920), np.float32)))


def _write_stereo(path: Path, samples: npt.NDArray[np.int16]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path


def _loudness_at(sound: npt.NDArray[np.float32], pitch: int, count: int) -> npt.NDArray[np.float64]:
    """Return how loud one pitch is in each of so many frames."""
    size = 48_000 // 25
    whole = np.zeros(count * size)
    whole[: sound.size] = sound[: whole.size]
    turning = np.exp(-2j * np.pi * pitch * np.arange(size) / 48_000)
    return np.abs(whole.reshape(count, size) @ turning) / size
