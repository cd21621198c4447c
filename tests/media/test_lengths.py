"""How long media are: never below what the sandbox charges, equal almost always, from few bytes, whatever comes."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import random
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lipsync.api.credits import charged_seconds
from airflow_provider_lipsync.media import lengths, origins
from airflow_provider_lipsync.media.lengths import Length, length_of
from airflow_provider_lipsync.media.measure.library import decoded_seconds
from airflow_provider_lipsync.media.sources import LocalSource, ObjectSource, Source, WebSource
from airflow_provider_lipsync.media.web import Web
from airflow_provider_lipsync.sandbox import SandboxServer
from airflow_provider_lipsync.sandbox.render.picture import measure_video
from airflow_provider_lipsync.sandbox.render.plan import UnreadableMediaError
from airflow_provider_lipsync.sandbox.render.sound import read_sound
from tests.media import odd_media as odd
from tests.media.publishing_support import MEDIA, encoded, memory_storage
from tests.media.range_server import RangeServer, range_server
from tests.media.video_server import open_web
from tests.sandbox.support import Caller

BUDGET = 2_000_000
log = logging.getLogger(__name__)


@pytest.fixture
def web() -> Iterator[Web]:
    with open_web() as opened:
        yield opened


class Scale:
    """Measures media that lie in a folder: as the provider estimates, and as the sandbox charges."""

    def __init__(self, folder: Path, web: Web) -> None:
        self.folder, self.web = folder, web

    def put(self, content: bytes, field: str) -> Source:
        path = self.folder / field  # the sandbox's files have no suffix either
        path.write_bytes(content)
        return LocalSource(field=field, path=path)

    def estimate(self, content: bytes, field: str = "audio", budget: int = BUDGET) -> Length:
        return length_of(self.put(content, field), web=self.web, log=log, budget=budget)

    def charged(self, content: bytes, field: str = "audio") -> float:
        """Return what the sandbox's own functions measure; 0 where it fails the job."""
        self.put(content, field)
        try:
            path = self.folder / field
            return measure_video(path) if field == "video" else read_sound(path).seconds
        except UnreadableMediaError:
            return 0.0


@pytest.fixture
def scale(tmp_path: Path, web: Web) -> Scale:
    return Scale(tmp_path, web)


class Tally:
    """How estimates compare with charges, in whole seconds, since those are charged."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.below: list[str] = []
        self.other: list[str] = []

    def add(self, name: str, estimate: Length, charged: float) -> None:
        found = None if estimate.seconds is None else math.ceil(estimate.seconds) - math.ceil(charged)
        kind = "unknown" if found is None else "equal" if found == 0 else "below" if found < 0 else "above"
        self.counts[kind] += 1
        if kind != "equal":
            self.other.append(f"{kind}: {name}: {estimate.seconds} for {charged} {estimate.why}")
        if kind == "below":
            self.below.append(self.other[-1])

    @property
    def share(self) -> float:
        return self.counts["equal"] / sum(self.counts.values())


@pytest.fixture
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode here: a process for each of hundreds of media takes its time, and finds the same."""
    monkeypatch.setattr(lengths, "seconds_apart", lambda content, kind, limit: decoded_seconds(content, kind))


def compare(scale: Scale, number: int, seed: int) -> Tally:
    chance, tally = random.Random(seed), Tally()
    for place in range(number):
        name, field, content = odd.draw(chance)
        tally.add(f"{place} {name}", scale.estimate(content, field), scale.charged(content, field))
    log.warning("%s %s", dict(tally.counts), tally.other)
    return tally


@pytest.mark.usefixtures("_in_process")
def test_estimates_of_random_media_are_never_below_the_charge_and_mostly_equal(scale: Scale) -> None:
    tally = compare(scale, 60, seed=60)
    assert not tally.below
    assert tally.share >= 0.98, tally.other


@pytest.mark.full
@pytest.mark.usefixtures("_in_process")
def test_estimates_of_two_hundred_random_media_are_never_below_the_charge_and_mostly_equal(scale: Scale) -> None:
    tally = compare(scale, 200, seed=200)
    assert not tally.below
    assert tally.share >= 0.98, tally.other


def test_what_headers_and_ends_alone_tell_is_never_below_the_charge(
    scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if each of them were too large to be read whole."""
    monkeypatch.setattr(lengths, "_WHOLE", 0)
    tally = compare(scale, 60, seed=7)
    assert not tally.below
    assert tally.counts["equal"] > 4 * tally.counts["above"], tally.other


def draw_job(chance: random.Random) -> tuple[str, dict[str, bytes], str]:
    """Draw what a job needs: an endpoint, media by their fields, an order."""
    endpoint, *fields = chance.choice(
        (
            ("lipsync-video", "video", "audio"),
            ("lipsync-image", "audio"),
            ("lipsync-image-multi", "left_audio", "right_audio"),
        )
    )
    kinds = {kind: [make for wanted, make in odd.KINDS.values() if wanted == kind] for kind in ("video", "audio")}
    media = {field: chance.choice(kinds["video" if field == "video" else "audio"])(chance) for field in fields}
    return endpoint, media, chance.choice(("meanwhile", "left_right", "right_left"))


@pytest.mark.usefixtures("_in_process")
def test_estimates_of_random_jobs_are_never_below_the_charge_and_mostly_equal(scale: Scale) -> None:
    chance, equal = random.Random(5), 0
    for _ in range(20):
        endpoint, media, order = draw_job(chance)
        known = {field: scale.estimate(content, field).seconds for field, content in media.items()}
        charged = {field: scale.charged(content, field) for field, content in media.items()}
        estimate = charged_seconds(endpoint, order=order, **known)
        real = charged_seconds(endpoint, order=order, **charged)
        assert estimate is not None
        assert real is not None
        assert estimate >= real
        equal += estimate == real
    assert equal >= 19


JOBS: dict[str, tuple[str, Callable[[], dict[str, bytes]]]] = {
    "mp3 without a table": ("lipsync-image", lambda: {"audio": odd.mp3(6.01, quality=4, has_xing=False)}),
    "wav from a pipe": ("lipsync-image", lambda: {"audio": odd.with_data_size(odd.wav(7.0), 0xFFFFFFFF)}),
    "chained ogg": ("lipsync-image", lambda: {"audio": odd.chained_ogg(3.1, 4.2)}),
    "video longer than its own sound": (
        "lipsync-video",
        lambda: {"video": odd.film("mp4", 6.0, sound_seconds=5.2), "audio": odd.m4a(8.0)},
    ),
    "dialogue": ("lipsync-image-multi", lambda: {"left_audio": odd.flac(3.004), "right_audio": odd.ogg(3.0)}),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_the_sandbox_costs_what_was_estimated(sandbox: Caller, web: Web, name: str) -> None:
    endpoint, make = JOBS[name]
    media, known = make(), dict[str, Any]()
    order: dict[str, Any] = {"order": "left_right"} if endpoint == "lipsync-image-multi" else {}
    picture = {} if endpoint == "lipsync-video" else {"image": f"{sandbox.sandbox.url}/samples/portrait.png"}
    with contextlib.ExitStack() as stack:
        servers = {
            field: stack.enter_context(range_server(RangeServer(content=content))) for field, content in media.items()
        }
        for field, server in servers.items():
            found = length_of(WebSource(field=field, url=server.url), web=web, log=log)
            assert (found.why, found.bytes_read) == ("", server.body_bytes)
            known[field] = found.seconds
        urls = {field: server.url for field, server in servers.items()}
        job = sandbox.submit(endpoint, **urls, **picture, **order)
        assert sandbox.finish(job)["status"] == "completed"
    assert charged_seconds(endpoint, **known, **order) == sandbox.entry(job)["seconds_charged"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Caller]:
    with SandboxServer(job_seconds=(0, 0)) as server:
        caller = Caller(server)
        yield caller
        caller.http.close()


GIGABYTE = 1_000_000_000


def by_name(name: str, folder: Path) -> Path:
    """Make a video of a gigabyte, nearly all of it a hole."""
    path = folder / "large"
    match name:
        case "mp4, index first":
            content = odd.film("mp4", 7.02, sound_seconds=5, flags="faststart")
            return odd.with_hole(content, len(content), GIGABYTE, path)
        case "mp4, index last" | "mov":
            content = odd.film(name[:3], 7.02, sound_seconds=5, sound_codec="pcm_s16le" if name == "mov" else "aac")
            return odd.with_hole(content, content.rindex(b"moov") - 4, GIGABYTE, path)
        case "mp4 in fragments":
            content = odd.film("mp4", 7.02, sound_seconds=5, flags="frag_keyframe+empty_moov")
            return odd.with_hole(content, content.rindex(b"mfra") - 4, GIGABYTE, path)
        case "webm" | "mkv":
            codecs = ("webm", "libvpx", "libopus") if name == "webm" else ("matroska", "libx264", "aac")
            content = odd.film(codecs[0], 7.02, codec=codecs[1], sound_seconds=5, sound_codec=codecs[2])
            return odd.with_hole(content, content.rindex(b"\x1c\x53\xbb\x6b"), GIGABYTE, path)
        case _:
            content = odd.live_webm(7.02)
            return odd.with_hole(content, content.index(b"\x1f\x43\xb6\x75"), GIGABYTE, path)


@pytest.mark.parametrize(
    "name", ["mp4, index first", "mp4, index last", "mov", "mp4 in fragments", "webm", "mkv", "webm, live"]
)
def test_the_length_of_a_video_of_a_gigabyte_costs_two_megabytes_at_most(name: str, tmp_path: Path, web: Web) -> None:
    path = by_name(name, tmp_path)
    with range_server(RangeServer(content=path)) as served:
        began = time.monotonic()
        found = length_of(WebSource(field="video", url=served.url), web=web, log=log)
        spent = time.monotonic() - began
    log.warning("1 GB, %s: %d bytes, %d requests, %.3f s", name, served.body_bytes, len(served.ranges), spent)
    assert served.size > GIGABYTE
    assert found.seconds == pytest.approx(7.04, abs=0.1)
    assert math.ceil(found.seconds or 0) >= math.ceil(7.02)
    assert found.bytes_read == served.body_bytes <= BUDGET


def test_a_video_of_a_gigabyte_is_estimated_as_it_is_charged(tmp_path: Path, web: Web) -> None:
    path = by_name("mp4, index last", tmp_path)
    found = length_of(LocalSource(field="video", path=path), web=web, log=log)
    assert found.seconds == measure_video(path)


def test_an_index_of_megabytes_is_not_read_whole(tmp_path: Path, web: Web) -> None:
    path = odd.long_film(tmp_path / "film", 200_000)
    with range_server(RangeServer(content=path)) as served:
        for field in ("video", "audio"):
            served.body_bytes = 0
            found = length_of(WebSource(field=field, url=served.url), web=web, log=log)
            assert found.seconds == pytest.approx(8000 if field == "video" else 400_000 * 1024 / 44_100)
            assert found.bytes_read == served.body_bytes <= 600_000


def test_of_a_server_without_ranges_only_what_stands_in_front_is_told(tmp_path: Path, web: Web) -> None:
    for name, is_known in (("mp4, index first", True), ("webm", True), ("mp4, index last", False)):
        with range_server(RangeServer(content=by_name(name, tmp_path), knows_ranges=False)) as served:
            found = length_of(WebSource(field="video", url=served.url), web=web, log=log)
        assert (found.seconds is not None) is is_known
        assert found.bytes_read <= BUDGET
        assert found.why == ("" if is_known else "it cannot be told from 2000000 bytes of it")


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_server_without_ranges_that_is_quick_brings_no_more_either(
    tmp_path: Path, web: Web, tells_length: bool
) -> None:
    content = odd.film("mp4", 7.02, sound_seconds=5, flags="faststart")
    at = content.index(b"moov") - 4
    far = content[:at] + odd.box(b"free", bytes(BUDGET - 100_000)) + content[at:]  # its index ends right before that
    path = odd.with_hole(far, len(far), GIGABYTE, tmp_path / "large")
    served = RangeServer(content=path, knows_ranges=False, tells_length=tells_length, piece=4_000_000)
    with range_server(served):
        found = length_of(WebSource(field="video", url=served.url), web=web, log=log)
    assert BUDGET // 2 < found.bytes_read <= BUDGET


@pytest.mark.parametrize(
    ("make", "seconds"),
    [
        pytest.param(lambda: odd.mp3(4.0, has_xing=False) * 100, 404.898, id="mp3 of one bit rate"),
        pytest.param(lambda: odd.id3(2_100_000) + odd.mp3(10), 10, id="mp3 with a large cover"),
        pytest.param(lambda: odd.wav(60, rate=44_100), 60, id="wav"),
        pytest.param(lambda: odd.with_data_size(odd.wav(60, rate=44_100), 0), 60, id="wav from a pipe"),
        pytest.param(lambda: odd.flac(90), 90, id="flac"),
        pytest.param(lambda: odd.flac(90, has_total=False), 90, id="flac without a total"),
        pytest.param(lambda: odd.ogg(90, codec="flac", rate=44_100), 90, id="ogg"),
    ],
)
def test_large_sounds_are_measured_by_their_ends(
    scale: Scale, web: Web, make: Callable[[], bytes], seconds: float
) -> None:
    content = make()
    assert len(content) > BUDGET
    found = scale.estimate(content)
    assert found.seconds == pytest.approx(seconds, abs=0.06)
    assert found.bytes_read < BUDGET
    assert math.ceil(found.seconds or 0) >= math.ceil(scale.charged(content))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda: odd.mp3(4, quality=2, has_xing=False) * 130, "bit rate varies", id="mp3 vbr"),
        pytest.param(lambda: odd.mp3(4) * 70, "longer than the table", id="joined mp3"),
        pytest.param(lambda: odd.chained_ogg(*[20.0] * 3, codec="flac"), "several parts", id="chained ogg"),
        pytest.param(lambda: odd.ogg(20, codec="flac") * 3, "several parts", id="chained ogg of one number"),
        pytest.param(lambda: odd.aac(5) * 60, "AAC audio, whose length", id="aac"),
        pytest.param(lambda: odd.film("mp4", 2) + bytes(3_000_000), "holds no sound", id="video without sound"),
    ],
)
def test_a_large_file_whose_headers_cannot_be_trusted_is_unknown(
    scale: Scale, make: Callable[[], bytes], why: str
) -> None:
    content = make()
    assert len(content) > BUDGET
    found = scale.estimate(content)
    assert found.seconds is None
    assert why in found.why
    assert not found.may_pass


def test_a_picture_in_a_sound_is_no_video(scale: Scale) -> None:
    for content in (odd.with_cover(odd.m4a(6.5)), odd.id3(10_000) + odd.mp3(6.5)):
        assert scale.estimate(content, "video").why == "it holds no video"
        assert scale.estimate(content, "audio").seconds == scale.charged(content, "audio")


def test_of_a_video_its_own_length_counts_not_that_of_its_sound(scale: Scale) -> None:
    for heard in (2.0, 9.0):
        content = odd.film("mp4", 6.0, sound_seconds=heard)
        assert scale.estimate(content, "video").seconds == scale.charged(content, "video") == 6.0
        assert math.ceil(scale.estimate(content, "audio").seconds or 0) == math.ceil(scale.charged(content, "audio"))


def test_frames_that_go_on_behind_the_end_that_a_header_gives_count(scale: Scale) -> None:
    content = odd.film("webm", 6.0, codec="libvpx")
    at = content.index(b"\x44\x89\x88") + 3
    lying = content[:at] + struct.pack(">d", 2000.0) + content[at + 8 :]
    assert scale.charged(lying, "video") == 2.0
    assert scale.estimate(lying, "video").seconds == pytest.approx(6.0, abs=0.05)


def test_uneven_frames_without_a_duration_last_as_long_as_they_are_shown(scale: Scale) -> None:
    content = odd.live_webm(6.0, fps=10, is_uneven=True)
    assert scale.estimate(content, "video").seconds == pytest.approx(6.0, abs=0.11)
    assert (scale.estimate(content, "video").seconds or 0) >= scale.charged(content, "video")


NO_MEDIA: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "it is empty"),
    "an error page": (lambda: b"<!doctype html><html><body>Access denied</body></html>", "it is an HTML page"),
    "a playlist": (lambda: b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "it is a playlist"),
    "noise": (lambda: random.Random(1).randbytes(50_000), "it cannot be read as media"),
    "a large noise": (lambda: random.Random(1).randbytes(3_000_000), ""),
    "a picture": (lambda: encoded("png"), "it is a PNG picture"),
    "an archive": (lambda: b"PK\x03\x04" + bytes(100), "it is a ZIP archive"),
    "an mp4 that is cut off": (lambda: odd.cut(odd.film("mp4", 3), 0.5), "it is cut off"),
    "an mp4 whose index is cut off": (lambda: odd.film("mp4", 3)[:-300], "it is cut off"),
    "an mp4 without an index": (lambda: odd.film("mp4", 3).replace(b"moov", b"junk"), "it cannot be read as media"),
    "a webm that is cut off before its frames": (lambda: odd.film("webm", 3, codec="libvpx")[:300], "it "),
}


@pytest.mark.parametrize("field", ["audio", "video"])
@pytest.mark.parametrize("name", NO_MEDIA)
def test_what_is_no_media_or_cut_off_is_unknown(scale: Scale, name: str, field: str) -> None:
    make, why = NO_MEDIA[name]
    found = scale.estimate(make(), field)
    assert found.seconds is None
    assert found.why.startswith(why)
    assert not found.may_pass


def test_a_picture_has_no_length(scale: Scale) -> None:
    assert scale.estimate(encoded("png"), "image") == Length(seconds=None, why="a picture has no length", bytes_read=0)


def broken_media(name: str, number: int) -> Iterator[bytes]:
    """Yield a medium with bytes changed all over it, or in its beginning, sometimes cut."""
    chance = random.Random(name)
    content = odd.KINDS[name][1](chance)
    for _ in range(number):
        broken = bytearray(content[: chance.randint(1, len(content))] if chance.random() < 0.3 else content)
        for _ in range(chance.choice((1, 5, 50))):
            place = chance.randrange(min(len(broken), chance.choice((64, 4096, 10**9))))
            broken[place] = chance.choice((0, 0xFF, chance.randrange(256)))
        yield bytes(broken)


@pytest.mark.parametrize(
    ("whole", "kinds", "number"),
    [
        pytest.param(lengths._WHOLE, [*odd.KINDS][::3], 1, id="read whole"),
        pytest.param(lengths._WHOLE, [*odd.KINDS], 4, id="read whole, many", marks=pytest.mark.full),
        pytest.param(0, [*odd.KINDS], 4, id="by its headers"),
    ],
)
def test_media_that_are_broken_anywhere_do_no_harm(
    scale: Scale, monkeypatch: pytest.MonkeyPatch, whole: int, kinds: list[str], number: int
) -> None:
    monkeypatch.setattr(lengths, "_WHOLE", whole)
    for name in kinds:
        for broken in broken_media(name, number):
            found = scale.estimate(broken, odd.KINDS[name][0])
            assert found.seconds is None or found.seconds > 0, name
            assert (found.why == "") == (found.seconds is not None), name


@pytest.mark.parametrize(
    ("script", "why"),
    [
        pytest.param("import os; os.abort()", "it breaks the decoder (whose process ended with -6)", id="crash"),
        pytest.param("while True: pass", "decoding it takes longer than 1 s", id="hang"),
        pytest.param("raise SystemExit", "it breaks the decoder (whose process ended with 0)", id="silence"),
    ],
)
def test_a_decoder_that_dies_or_hangs_ends_alone(
    scale: Scale, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, why: str
) -> None:
    """A library that does what a broken medium may make the real one do."""
    (tmp_path / "av.py").write_text(script)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(lengths, "_SECONDS", 1.0)
    found = scale.estimate(odd.wav(6))
    assert (found.seconds, found.why) == (None, why)


def test_a_decoder_sees_nothing_of_the_workers_environment(
    scale: Scale, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "av.py").write_text("import os; raise ImportError(sorted(os.environ))")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_LIPSYNC_DEFAULT", "lipsync://:secret@host")
    found = scale.estimate(odd.wav(6))
    assert found.why.startswith("PyAV cannot be loaded (['")
    assert "AIRFLOW" not in found.why


def nested(name: bytes, depth: int) -> bytes:
    return b"".join(struct.pack(">I4s", (depth - number) * 8, name) for number in range(depth))


def packed_silence() -> bytes:
    """Days of it."""
    content = odd.encoded("flac", "flac", 600, rate=8000, has_silence=True, options={"frame_size": "65535"})
    head = content.index(b"\xff\xf8")
    return content[:head] + content[head:] * (1_900_000 // (len(content) - head))


FTYP = odd.box(b"ftyp", b"isom" + bytes(4))
HOSTILE: dict[str, Callable[[], bytes]] = {
    "boxes in boxes": lambda: FTYP + odd.box(b"moov", odd.box(b"trak", nested(b"mdia", 20_000))) + bytes(2_000_000),
    "a crowd of boxes": lambda: FTYP + odd.box(b"free", b"") * 300_000,
    "a crowd of tracks": lambda: FTYP + odd.box(b"moov", odd.box(b"trak", odd.box(b"mdia", b"")) * 150_000),
    "a crowd of pages": lambda: odd.ogg(1) + b"OggS\x00" * 500_000,
    "a crowd of clusters": lambda: odd.live_webm(1) + b"\x1f\x43\xb6\x75\x81" * 500_000,
    "a crowd of chunks": lambda: odd.wav(0.1)[:36] + b"junk\0\0\0\0" * 300_000,
    "a crowd of tags": lambda: b"ID3\x04\0\0\0\0\0\0" * 250_000,
    "a crowd of marks": lambda: odd.mp3(0.1, has_xing=False) + b"\xff\xfb" * 1_500_000,
    "a crowd of heads": lambda: odd.flac(0.1, has_total=False) + b"\xff\xf8" * 1_500_000,
    "silence": packed_silence,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_made_to_be_slow_is_given_up(scale: Scale, name: str) -> None:
    content = HOSTILE[name]()
    for field in ("audio", "video"):
        began = time.process_time()
        found = scale.estimate(content, field)
        assert found.seconds is None or found.seconds < 2
        assert time.process_time() - began < 10


def test_without_the_library_every_length_is_unknown_and_told_how_to_mend(
    scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    found = scale.estimate(odd.wav(6))
    assert found.seconds is None
    assert "pip install 'airflow-provider-lipsync[media]'" in found.why
    assert found.bytes_read == 0


LIGHT = """
import sys
import airflow_provider_lipsync.media.lengths
heavy = {"av", "numpy", "airflow", "fsspec", "s3fs"} & set(sys.modules)
assert not heavy, heavy
"""


def test_the_library_is_loaded_only_to_measure() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    subprocess.run([sys.executable, "-c", LIGHT], check=True, env=bare, timeout=60)


def test_a_server_that_fails_now_may_tell_later(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_WAITS", (0.0, 0.0))
    for statuses, may_pass in (([503] * 3, True), ([404], False)):
        with range_server(RangeServer(content=odd.wav(6), statuses=statuses)) as served:
            found = length_of(WebSource(field="audio", url=served.url), web=web, log=log)
            assert (found.seconds, found.may_pass) == (None, may_pass)


def test_a_server_that_drips_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "_SECONDS", 0.3)
    with range_server(RangeServer(content=odd.wav(30), pause=0.05)) as served:
        found = length_of(WebSource(field="audio", url=served.url), web=web, log=log)
    assert (found.seconds, found.may_pass) == (None, True)
    assert "takes longer than 0.3 s" in found.why


def test_a_file_that_changes_while_it_is_measured_has_no_length(web: Web) -> None:
    content = odd.box(b"free", bytes(3_000_000)) + odd.film("mp4", 6.0)

    def change(number: int) -> None:
        served.content = content if number == 1 else content + b"more"

    with range_server(RangeServer(content=content, on_request=change)) as served:
        found = length_of(WebSource(field="video", url=served.url), web=web, log=log)
    assert found.seconds is None
    assert "changes while it is read" in found.why


def test_no_log_and_no_answer_holds_a_signature(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for served in (
        RangeServer(content=odd.wav(6)),
        RangeServer(content=b"<html>"),
        RangeServer(statuses=[403]),
        RangeServer(content=odd.wav(60), shift=5),
    ):
        with range_server(served):
            found = length_of(WebSource(field="audio", url=served.url), web=web, log=log)
        assert "SECRET" not in repr(found)
    assert "SECRET" not in caplog.text
    assert "clip.mp4?… is 6.00 s long" in caplog.text


def test_media_in_a_storage_are_measured_where_they_are(web: Web) -> None:
    memory = memory_storage()
    large = odd.film("mp4", 6.0) + odd.box(b"free", bytes(3_000_000))
    for content, most in ((odd.film("mp4", 6.0), 100_000), (large, 200_000)):
        memory.pipe_file("/folder/clip", content)
        found = length_of(ObjectSource(field="video", uri="memory://folder/clip"), web=web, log=log)
        assert found.seconds == 6.0
        assert found.bytes_read <= most


@pytest.mark.usefixtures("_in_process")
def test_every_kind_of_media_that_may_be_sent_is_measured(scale: Scale) -> None:
    for name, (_, heard, seen, _) in MEDIA.items():
        is_picture = name in ("png", "jpg", "gif", "bmp", "tiff", "webp", "jp2")
        for field, is_held in (("audio", heard), ("video", seen)):
            found = scale.estimate(encoded(name), field)
            assert (found.seconds is not None) == bool(is_held and not is_picture), (name, field, found.why)
            assert math.ceil(found.seconds or 0) >= math.ceil(scale.charged(encoded(name), field) if is_held else 0)
