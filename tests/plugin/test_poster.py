"""A poster is the first frame that shows something: small, bounded, and in nobody's way."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from airflow_provider_lipsync.plugin import poster
from airflow_provider_lipsync.plugin.poster import WIDTH, Posters
from airflow_provider_lipsync.plugin.stored import NotServedError, StoredCopy
from airflow_provider_lipsync.sandbox.render.samples import write_sample
from tests.plugin.stored_support import BLACK, BRIGHT, MP4_HEAD, film

_numbers = itertools.count()


class Held:
    """A stored video in memory that counts what is read of it, and may make its reader wait."""

    mime, etag = "video/mp4", '"x"'

    def __init__(self, content: bytes, *, gate: threading.Event | None = None, size: int | None = None) -> None:
        self.content, self.gate = content, gate
        self.size = size or len(content)
        self.identity = ("memory", str(next(_numbers)))
        self.bytes_read = 0
        self.waiting = threading.Event()

    @contextmanager
    def opened(self) -> Iterator[Held]:
        yield self

    def read(self, start: int, end: int) -> bytes:
        if self.gate is not None:
            self.waiting.set()
            assert self.gate.wait(30)
        self.bytes_read += end - start
        return self.content[start:end].ljust(end - start, b"\x00")


def picture(content: bytes) -> av.VideoFrame:
    with av.open(io.BytesIO(content)) as image:
        return next(image.decode(video=0))


def brightness(content: bytes) -> float:
    pixels = picture(content).to_ndarray(format="gray")
    return float(pixels.mean())


def why_not(copy: Held) -> str:
    with pytest.raises(NotServedError) as caught:
        Posters().poster(copy)  # type: ignore[arg-type]
    assert caught.value.status == 404
    return caught.value.reason


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_sample("clip.mp4", path)
    return path.read_bytes()


def test_it_is_a_small_jpeg_of_the_video(clip: bytes) -> None:
    made = Posters().poster(Held(clip))  # type: ignore[arg-type]
    frame = picture(made)
    assert made[:2] == b"\xff\xd8"
    assert frame.width == WIDTH
    assert len(made) < 40_000
    assert brightness(made) > 30


def test_a_black_beginning_is_passed_over(tmp_path: Path) -> None:
    content = film(tmp_path / "a.mp4", BLACK, BRIGHT, seconds=0.4)
    assert brightness(Posters().poster(Held(content))) > 80  # type: ignore[arg-type]


def test_a_video_that_stays_black_has_a_black_poster(tmp_path: Path) -> None:
    content = film(tmp_path / "a.mp4", BLACK, seconds=2)
    assert brightness(Posters().poster(Held(content))) < 20  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "height"), [(360, 640), (641 - 1, 362), (64, 64), (1280, 16)])
def test_its_shape_is_that_of_the_video(tmp_path: Path, width: int, height: int) -> None:
    frame = picture(Posters().poster(Held(film(tmp_path / "a.mp4", BRIGHT, width=width, height=height))))  # type: ignore[arg-type]
    assert frame.width == WIDTH
    assert abs(frame.height - WIDTH * height / width) <= 2


def test_only_the_beginning_and_the_index_are_read(tmp_path: Path, clip: bytes) -> None:
    """Its index stands at the end, behind far more bytes than may be read."""
    plain = tmp_path / "plain.mp4"
    film(plain, BRIGHT, seconds=2)
    content = plain.read_bytes()
    at = content.index(b"moov") - 4
    room = 50 * 1024 * 1024
    filler = room.to_bytes(4, "big") + b"free" + bytes(room - 8)
    copy = Held(content[:at] + filler + content[at:])
    assert brightness(Posters().poster(copy)) > 80  # type: ignore[arg-type]
    assert copy.bytes_read < 2_000_000


def test_reading_ends_where_the_budget_is_spent(tmp_path: Path) -> None:
    box = (1024).to_bytes(4, "big") + b"free" + bytes(1016)
    copy = Held(MP4_HEAD + box * 30_000)
    assert "it takes more than" in why_not(copy)
    assert copy.bytes_read <= poster._BUDGET


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(MP4_HEAD, id="nothing behind its head"),
        pytest.param(MP4_HEAD + bytes(range(256)) * 1000, id="rubbish"),
        pytest.param(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", id="a playlist"),
    ],
)
def test_what_is_no_video_has_none(content: bytes) -> None:
    assert why_not(Held(content)).startswith("No frame can be shown of this video: ")


def test_a_video_without_a_picture_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 44100
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert why_not(Held(path.read_bytes())) == "There is no picture in this video."


def test_the_same_video_is_decoded_once(clip: bytes) -> None:
    posters, copy = Posters(), Held(clip)
    first = posters.poster(copy)  # type: ignore[arg-type]
    read = copy.bytes_read
    assert posters.poster(copy) is first  # type: ignore[arg-type]
    assert copy.bytes_read == read


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poster, "_KEPT", 2)
    content, posters = film(tmp_path / "a.mp4", BRIGHT, width=64, height=64, seconds=0.1), Posters()
    copies = [Held(content) for _ in range(3)]
    for copy in copies:
        posters.poster(copy)  # type: ignore[arg-type]
    read = [copy.bytes_read for copy in copies]
    for copy in reversed(copies):
        posters.poster(copy)  # type: ignore[arg-type]
    assert [copy.bytes_read == before for copy, before in zip(copies, read, strict=True)] == [False, True, True]


def test_slow_storages_hold_up_no_other_poster(clip: bytes) -> None:
    gate, posters = threading.Event(), Posters()
    slow = [Held(clip, gate=gate) for _ in range(4)]
    with ThreadPoolExecutor(5) as threads:
        held = [threads.submit(posters.poster, copy) for copy in slow]  # type: ignore[arg-type]
        try:
            assert all(copy.waiting.wait(10) for copy in slow)
            quick = threads.submit(posters.poster, Held(clip))  # type: ignore[arg-type]
            assert quick.result(timeout=20)[:2] == b"\xff\xd8"
            assert not any(one.done() for one in held)
        finally:
            gate.set()
        assert all(one.result(timeout=20) for one in held)


def test_a_storage_that_drips_is_given_up(clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = itertools.count(step=poster._LONGEST)
    monkeypatch.setattr(poster.time, "monotonic", lambda: next(moments))
    assert "it took more than" in why_not(Held(clip))


def test_a_stored_copy_has_what_is_used_here(tmp_path: Path) -> None:
    names = ("identity", "opened", "size")
    assert [name for name in names if not hasattr(Held(b"x"), name)] == []
    assert [name for name in names if name not in {*dir(StoredCopy), *StoredCopy.__annotations__}] == []
