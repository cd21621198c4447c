"""Rendering, for real: what is in the film, how long it is, what it costs, whether the mouth follows the sound."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from airflow_provider_lipsync.sandbox import SandboxServer
from tests.sandbox.conftest import Media
from tests.sandbox.support import Caller, Film, write_picture, write_sound, write_video, write_wav

LOUD = 0.8
LEFT, RIGHT = 0.28, 0.72


@pytest.fixture(scope="session")
def picture(media: Media) -> str:
    return media.url(write_picture(media.folder / "face.png", 600, 400))


def _sound(media: Media, seconds: float) -> str:
    return media.url(write_wav(media.folder / f"hum-{seconds}.wav", (seconds, LOUD)))


def _render(caller: Caller, endpoint: str, **form_state: object) -> tuple[Film, dict[str, object]]:
    job_id = caller.submit(endpoint, **form_state)
    job = caller.finish(job_id)
    assert (job["status"], job["error"]) == ("completed", "")
    return Film.read(httpx.get(job["output"], timeout=60).content), caller.entry(job_id)


def _check(film: Film, *, lines: int, seconds: float) -> None:
    assert film.codecs == ("h264", "aac")
    assert film.height == lines
    assert film.width % 2 == 0
    assert film.rate == 25
    assert film.seconds == pytest.approx(seconds, abs=0.1)
    assert film.video_seconds == pytest.approx(seconds, abs=0.1)
    assert len(film.frames) == pytest.approx(seconds * 25, abs=1)
    assert film.boxes.index("moov") < film.boxes.index("mdat")
    assert float(np.abs(film.sound).max()) > 0.1


@pytest.mark.parametrize(
    ("seconds", "resolution", "lines", "charged"),
    [
        pytest.param(3, "720p", 720, 20, id="stated example: 3 s at 720p"),
        pytest.param(10, "480p", 480, 20, id="stated example: 10 s at 480p"),
        pytest.param(5.5, "480p", 480, 12, id="a fraction is rounded up"),
    ],
)
def test_a_picture_speaks_for_as_long_as_the_sound(
    rendering: Caller, media: Media, picture: str, seconds: float, resolution: str, lines: int, charged: int
) -> None:
    film, entry = _render(
        rendering, "lipsync-image", image=picture, audio=_sound(media, seconds), resolution=resolution
    )
    _check(film, lines=lines, seconds=seconds)
    assert film.width == pytest.approx(lines * 1.5, abs=2)
    assert entry["credits_charged"] == charged


@pytest.mark.parametrize(
    ("video_seconds", "audio_seconds", "charged"),
    [
        pytest.param(8, 6, 6, id="a longer video is cut, the sound is charged"),
        pytest.param(6, 8, 6, id="a shorter video is extended, the video is charged"),
        pytest.param(2, 3, 5, id="the minimum"),
    ],
)
def test_a_video_becomes_as_long_as_the_sound_and_the_shorter_is_charged(
    rendering: Caller, media: Media, video_seconds: float, audio_seconds: float, charged: int
) -> None:
    video = media.url(write_video(media.folder / f"clip-{video_seconds}.mp4", video_seconds))
    film, entry = _render(rendering, "lipsync-video", video=video, audio=_sound(media, audio_seconds))
    _check(film, lines=480, seconds=audio_seconds)
    assert film.width == 640
    assert (entry["seconds_charged"], entry["credits_charged"]) == (charged, charged * 2)
    corner = [float(frame[:40, :40].mean()) for frame in film.frames]
    assert corner[0] < 40
    assert corner[int(min(video_seconds, audio_seconds) * 25) - 2] > corner[0] + 50  # the source's frames, in order
    if audio_seconds > video_seconds:
        assert corner[int(video_seconds * 25) + 5] < corner[int(video_seconds * 25) - 2] - 50  # from its start again


@pytest.mark.parametrize(
    ("order", "seconds", "charged", "first_speaker", "last_speaker"),
    [
        pytest.param("meanwhile", 4, 5, None, LEFT, id="at once: the longer sound"),
        pytest.param("left_right", 6, 6, LEFT, RIGHT, id="left, then right: the sum"),
        pytest.param("right_left", 6, 6, RIGHT, LEFT, id="right, then left: the sum"),
        pytest.param(None, 4, 5, None, LEFT, id="at once is the default"),
    ],
)
def test_a_dialogue_is_as_long_as_its_order_says_and_each_mouth_follows_its_own_sound(
    rendering: Caller,
    media: Media,
    picture: str,
    order: str | None,
    seconds: float,
    charged: int,
    first_speaker: float | None,
    last_speaker: float,
) -> None:
    film, entry = _render(
        rendering,
        "lipsync-image-multi",
        image=picture,
        left_audio=_sound(media, 4),
        right_audio=_sound(media, 2),
        **({} if order is None else {"order": order}),
    )
    _check(film, lines=480, seconds=seconds)
    assert (entry["seconds_charged"], entry["credits_charged"]) == (charged, charged * 2)
    start, end = 15, len(film.frames) - 15
    speakers = {LEFT, RIGHT} if first_speaker is None else {first_speaker}
    for mouth in (LEFT, RIGHT):
        moved = film.mouth_change(start, end, mouth) > 10
        assert moved == ((mouth in speakers) != (mouth == last_speaker))


def test_the_mouth_opens_with_the_loudness_and_nothing_else_changes(
    rendering: Caller, media: Media, picture: str
) -> None:
    parts = ((1, 0), (1, 0.2), (1, 0.8), (1, 0))
    sound = media.url(write_wav(media.folder / "swell.wav", *parts))
    film, _ = _render(rendering, "lipsync-image", image=picture, audio=sound)
    silent, soft, loud, end = 12, 37, 62, 95
    assert film.mouth_change(silent, end) < 2
    assert film.mouth_change(silent, soft) > 3
    assert film.mouth_change(silent, loud) > film.mouth_change(silent, soft) + 3
    dark = [int((film.mouth(number).sum(axis=2) < 200).sum()) for number in (silent, soft, loud)]
    assert dark[0] < dark[1] < dark[2]
    top = film.frames[loud][: film.height // 3].astype(int) - film.frames[silent][: film.height // 3]
    assert float(np.abs(top).max()) <= 4


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        pytest.param("hum.mp3", "libmp3lame", id="mp3"),
        pytest.param("hum.m4a", "aac", id="m4a"),
        pytest.param("hum.ogg", "libopus", id="ogg"),
        pytest.param("hum.flac", "flac", id="flac"),
    ],
)
def test_sound_may_come_in_any_usual_format(
    rendering: Caller, media: Media, picture: str, name: str, codec: str
) -> None:
    sound = media.url(write_sound(media.folder / name, codec, 1.5))
    film, entry = _render(rendering, "lipsync-image", image=picture, audio=sound)
    _check(film, lines=480, seconds=1.5)
    assert entry["seconds_charged"] == 5


@pytest.mark.parametrize(
    ("name", "width", "height", "pixel_format", "expected_width"),
    [
        pytest.param("portrait.jpg", 300, 500, "rgb24", 288, id="portrait, jpeg"),
        pytest.param("odd.png", 333, 777, "rgb24", 206, id="odd sizes"),
        pytest.param("alpha.png", 64, 64, "rgba", 480, id="transparent, small"),
        pytest.param("wide.png", 1900, 500, "rgb24", 1824, id="wide"),
    ],
)
def test_a_picture_keeps_its_aspect(
    rendering: Caller, media: Media, name: str, width: int, height: int, pixel_format: str, expected_width: int
) -> None:
    image = media.url(write_picture(media.folder / name, width, height, pixel_format))
    film, _ = _render(rendering, "lipsync-image", image=image, audio=_sound(media, 0.4))
    assert (film.width, film.height) == (expected_width, 480)


def test_the_samples_render_without_the_internet(rendering: Caller) -> None:
    sample = rendering.sandbox.sample
    film, _ = _render(
        rendering, "lipsync-video", video=sample("clip.mp4"), audio=sample("voice-right.wav"), resolution="720p"
    )
    _check(film, lines=720, seconds=3)


@pytest.fixture(scope="session")
def bad_media(media: Media, picture: str) -> Media:
    folder = media.folder
    (folder / "text.txt").write_text("this is no media at all\n" * 50)
    (folder / "empty.bin").write_bytes(b"")
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    (folder / "truncated.png").write_bytes((folder / "face.png").read_bytes()[:60])
    write_wav(folder / "nothing.wav", (0, 0))
    write_video(folder / "mute.mp4", 0.5)
    write_picture(folder / "strip.png", 1000, 100)
    return media


@pytest.mark.parametrize(
    ("endpoint", "field", "file", "message"),
    [
        pytest.param("lipsync-image", "audio", "text.txt", "Invalid audio format", id="audio: text"),
        pytest.param("lipsync-image", "audio", "empty.bin", "Invalid audio format", id="audio: empty"),
        pytest.param("lipsync-image", "audio", "face.png", "Invalid audio format", id="audio: a picture"),
        pytest.param("lipsync-image", "audio", "mute.mp4", "Invalid audio format", id="audio: a video without sound"),
        pytest.param("lipsync-image", "audio", "nothing.wav", "Invalid audio format", id="audio: no samples"),
        pytest.param("lipsync-image", "audio", "list.m3u8", "Invalid audio format", id="audio: a playlist"),
        pytest.param("lipsync-image", "image", "text.txt", "Invalid image format", id="image: text"),
        pytest.param("lipsync-image", "image", "mute.mp4", "Invalid image format", id="image: a video"),
        pytest.param("lipsync-image", "image", "truncated.png", "Invalid image format", id="image: truncated"),
        pytest.param("lipsync-image", "image", "strip.png", "Invalid image format", id="image: far too wide"),
        pytest.param("lipsync-image", "mask_image", "text.txt", "Invalid mask_image format", id="mask: text"),
        pytest.param("lipsync-video", "mask_image", "mute.mp4", "Invalid mask_image format", id="mask: a video"),
        pytest.param("lipsync-video", "mask_image", "empty.bin", "Invalid mask_image format", id="mask: empty"),
        pytest.param("lipsync-image", "mask_image", "gone", "Could not download mask_image: HTTP 404", id="mask: 404"),
        pytest.param("lipsync-video", "video", "face.png", "Invalid video format", id="video: a picture"),
        pytest.param("lipsync-video", "video", "hum-0.4.wav", "Invalid video format", id="video: a sound"),
        pytest.param("lipsync-image-multi", "left_audio", "text.txt", "Invalid audio format", id="left: text"),
        pytest.param("lipsync-image", "audio", "gone.wav", "Could not download audio: HTTP 404", id="audio: 404"),
        pytest.param(
            "lipsync-image-multi", "right_audio", "gone", "Could not download right_audio: HTTP 404", id="404"
        ),
    ],
)
def test_media_that_cannot_be_used_make_the_job_fail_in_the_vendors_words(
    rendering: Caller, bad_media: Media, picture: str, endpoint: str, field: str, file: str, message: str
) -> None:
    media, sound = bad_media, _sound(bad_media, 0.4)
    good = {
        "lipsync-image": {"image": picture, "audio": sound},
        "lipsync-video": {"video": media.url("mute.mp4"), "audio": sound},
        "lipsync-image-multi": {"image": picture, "left_audio": sound, "right_audio": sound},
    }[endpoint]
    job_id = rendering.submit(endpoint, **{**good, field: f"{media.url(file)}?signature=secret"})
    job = rendering.finish(job_id)
    assert (job["status"], job["error"], job["output"]) == ("failed", message, None)
    entry = rendering.entry(job_id)
    assert (entry["seconds_charged"], entry["credits_charged"]) == (5, 10)


def test_the_api_answers_while_many_jobs_render(media: Media, picture: str) -> None:
    with SandboxServer(job_seconds=(0, 0), renderers=2) as sandbox:
        caller = Caller(sandbox)
        ids = [caller.submit("lipsync-image", image=picture, audio=_sound(media, 0.4)) for _ in range(100)]
        caller.finish(ids[0])
        slowest = max(caller.http.get(f"/jobs/{job_id}").elapsed.total_seconds() for job_id in ids)
        assert slowest < 1
        assert "processing" in {caller.query(job_id)["status"] for job_id in ids}
        sandbox.reset()
        assert sandbox.ledger() == []
        film, _ = _render(caller, "lipsync-image", image=picture, audio=_sound(media, 0.4))
        _check(film, lines=480, seconds=0.4)
        caller.http.close()
