"""Media of any length, really encoded, and then made odd: headers that lie, lack or come late, tags, covers, chains."""

from __future__ import annotations

import io
import math
import random
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

__all__ = [
    "KINDS",
    "Odd",
    "aac",
    "chained_ogg",
    "cut",
    "draw",
    "film",
    "flac",
    "id3",
    "live_webm",
    "long_film",
    "m4a",
    "mp3",
    "ogg",
    "random_seconds",
    "wav",
    "with_cover",
    "with_data_size",
    "with_hole",
    "with_unknown_clusters",
]

Odd = Callable[[random.Random], bytes]

_SIDE = 32  # pixels of a picture: it is their number that counts
_PIXELS = {"mjpeg": "yuvj420p", "png": "rgb24"}


def random_seconds(chance: random.Random, longest: float = 9.0) -> float:
    """Draw a length, mostly close to a whole second on either side: it is there that rounding punishes."""
    whole = chance.randint(1, int(longest))
    off = chance.choice((0.0, 1e-5, 0.001, 0.01, 0.02, 0.03, 0.06))
    return chance.uniform(0.4, longest) if chance.random() < 0.3 else whole + chance.choice((-1, 1)) * off


def sound(seconds: float, rate: int, channels: int, seed: int = 0) -> Any:
    """Return a sound with loud parts, quiet ones and silence, as 16-bit samples of shape (1, n): packed."""
    count = max(1, round(seconds * rate))
    noise = np.random.default_rng(seed)
    levels = noise.choice([0, 0, 300, 3000, 9000], size=count // (rate // 4) + 1).repeat(rate // 4)[:count]
    wave = levels * (0.6 * np.sin(np.arange(count) / 17) + 0.4 * noise.uniform(-1, 1, count))
    return wave.astype(np.int16).repeat(channels).reshape(1, -1)


@contextmanager
def _written(container: str, muxing: dict[str, str]) -> Iterator[tuple[Any, Callable[[], bytes]]]:
    """Give a container to write to, and what returns its bytes afterwards; on a disk, since some are read again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "medium"
        content = b""
        with av.open(str(path), "w", format=container, container_options=muxing) as output:
            yield output, lambda: content
        content = path.read_bytes()


def encoded(
    container: str,
    codec: str,
    seconds: float,
    *,
    rate: int = 48_000,
    channels: int = 1,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    bit_rate: int | None = None,
    quality: int | None = None,
    seed: int = 0,
    has_silence: bool = False,
) -> bytes:
    """Return a sound in a container."""
    heard = sound(seconds, rate, channels, seed) * (0 if has_silence else 1)
    with _written(container, muxing or {}) as (output, content):
        encode_sound(output, codec, heard, rate, channels, options, bit_rate, quality)()
    return content()


def encode_sound(
    output: Any,
    codec: str,
    samples: Any,
    rate: int,
    channels: int,
    options: dict[str, str] | None = None,
    bit_rate: int | None = None,
    quality: int | None = None,
) -> Callable[[], None]:
    """Add a stream; return what writes it."""
    layout = "mono" if channels == 1 else "stereo"
    varying = {} if quality is None else {"flags": "+qscale", "global_quality": str(quality * 118)}  # FF_QP2LAMBDA
    all_options = {"strict": "-2", **varying, **(options or {})}
    stream = output.add_stream(codec, rate=rate, layout=layout, options=all_options)
    if bit_rate:
        stream.bit_rate = bit_rate

    def write() -> None:
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    return write


def mp3(
    seconds: float,
    *,
    rate: int = 44_100,
    channels: int = 1,
    bit_rate: int | None = 64_000,
    quality: int | None = None,
    has_xing: bool = True,
    seed: int = 0,
) -> bytes:
    """Return an MP3 of a constant bit rate, or with a quality of a varying one."""
    return encoded(
        "mp3",
        "libmp3lame",
        seconds,
        rate=rate,
        channels=channels,
        bit_rate=bit_rate if quality is None else None,
        quality=quality,
        muxing={"write_xing": "1" if has_xing else "0", "id3v2_version": "0"},
        seed=seed,
    )


def id3(size: int) -> bytes:
    """Return an ID3v2 tag with a picture of so many bytes."""
    picture = b"\x00image/png\x00\x03\x00" + b"\x89PNG\r\n\x1a\n" + bytes(size)
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\x00\x00" + picture
    sync = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + sync + frame


def wav(seconds: float, *, rate: int = 24_000, channels: int = 1, codec: str = "pcm_s16le", **more: Any) -> bytes:
    """Return a WAV."""
    return encoded("wav", codec, seconds, rate=rate, channels=channels, **more)


def with_data_size(content: bytes, size: int) -> bytes:
    """Return a WAV whose data has that size by its header, as those have that were written into a pipe."""
    at = content.index(b"data") + 4
    riff = size if size in (0, 0xFFFFFFFF) else size + at - 4
    return content[:4] + struct.pack("<I", riff) + content[8:at] + struct.pack("<I", size) + content[at + 4 :]


def m4a(seconds: float, *, rate: int = 44_100, channels: int = 1, codec: str = "aac", flags: str = "") -> bytes:
    """Return an M4A."""
    muxing = {"movflags": flags} if flags else {}
    return encoded("ipod", codec, seconds, rate=rate, channels=channels, muxing=muxing)


def ogg(seconds: float, *, codec: str = "libopus", rate: int = 48_000, channels: int = 2, seed: int = 0) -> bytes:
    """Return an Ogg of Opus, Vorbis or FLAC."""
    return encoded("ogg", codec, seconds, rate=rate, channels=channels, seed=seed)


def chained_ogg(*seconds: float, codec: str = "libopus") -> bytes:
    """Return an Ogg of several, one after the other, as a radio station sends them."""
    return b"".join(ogg(part, codec=codec, seed=number) for number, part in enumerate(seconds))


def flac(seconds: float, *, rate: int = 44_100, channels: int = 1, has_total: bool = True) -> bytes:
    """Return a FLAC, whose header need not know how long it is."""
    content = encoded("flac", "flac", seconds, rate=rate, channels=channels)
    return content if has_total else content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]


def aac(seconds: float, *, rate: int = 44_100, channels: int = 1) -> bytes:
    """Return AAC without a container."""
    return encoded("adts", "aac", seconds, rate=rate, channels=channels)


def film(
    container: str,
    seconds: float,
    *,
    codec: str = "libx264",
    fps: int = 25,
    sound_seconds: float | None = None,
    sound_codec: str = "aac",
    flags: str = "",
    muxing: dict[str, str] | None = None,
    is_uneven: bool = False,
) -> bytes:
    """Return a video, with sound of a length of its own.

    :param is_uneven: whether frames come at odd moments, as a browser records them.
    """
    with _written(container, {**({"movflags": flags} if flags else {}), **(muxing or {})}) as (output, content):
        video = output.add_stream(codec, rate=fps)
        video.width = video.height = _SIDE
        video.pix_fmt = _PIXELS.get(codec, "yuv420p")
        if is_uneven:
            video.codec_context.time_base = Fraction(1, 1000)
        write_sound = (
            encode_sound(output, sound_codec, sound(sound_seconds, 48_000, 2), 48_000, 2)
            if sound_seconds
            else lambda: None
        )
        noise = np.random.default_rng(3)
        picture = noise.integers(0, 255, (_SIDE, _SIDE, 3), dtype=np.uint8)
        for number in range(max(1, round(seconds * fps))):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, number, axis=0), format="rgb24")
            if is_uneven:
                frame.pts = round(number * 1000 / fps) + number % 7
                frame.time_base = Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = number, Fraction(1, fps)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        write_sound()
    return content()


def live_webm(seconds: float, *, codec: str = "libvpx", sound_seconds: float | None = None, **more: Any) -> bytes:
    """Return a WebM without a duration and without an index, as a browser's MediaRecorder writes it."""
    return film(
        "webm",
        seconds,
        codec=codec,
        sound_seconds=sound_seconds,
        sound_codec="libopus",
        muxing={"live": "1"},
        **more,
    )


def with_unknown_clusters(content: bytes) -> bytes:
    """Return a WebM whose clusters do not tell their sizes, as Chrome writes them."""
    parts = content.split(b"\x1f\x43\xb6\x75")
    for number, part in enumerate(parts[1:], 1):
        width = 9 - part[0].bit_length()
        parts[number] = bytes([0xFF >> (width - 1)]) + b"\xff" * (width - 1) + part[width:]
    return b"\x1f\x43\xb6\x75".join(parts)


def with_cover(content: bytes) -> bytes:
    """Return an M4A with a picture as its cover; its index must stand at its end."""
    picture = io.BytesIO()
    with av.open(picture, "w", format="image2pipe") as output:
        stream = output.add_stream("png", rate=1)
        stream.width = stream.height = _SIDE
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((_SIDE, _SIDE, 3), np.uint8), format="rgb24")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    at = content.rindex(b"moov") - 4
    data = box(b"data", struct.pack(">II", 14, 0) + picture.getvalue())
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    meta = box(b"meta", bytes(4) + handler + box(b"ilst", box(b"covr", data)))
    return content[:at] + box(b"moov", content[at + 8 :] + box(b"udta", meta))


def box(name: bytes, inside: bytes) -> bytes:
    """Return a box of an MP4."""
    return struct.pack(">I", len(inside) + 8) + name + inside


def with_hole(content: bytes, at: int, size: int, path: Path) -> Path:
    """Write an MP4 or a WebM with so many bytes of nothing put into it, which take no room on the disk."""
    if content[4:8] == b"ftyp":
        filler = struct.pack(">I4sQ", 1, b"free", 16 + size)
    else:
        filler = b"\xec\x01" + size.to_bytes(7, "big")
        segment = content.index(b"\x18\x53\x80\x67") + 4
        assert content[segment] == 1, "the size of the segment is not of 8 bytes"
        if content[segment : segment + 8] != b"\x01" + b"\xff" * 7:
            whole = int.from_bytes(content[segment + 1 : segment + 8], "big") + size + len(filler)
            content = content[: segment + 1] + whole.to_bytes(7, "big") + content[segment + 8 :]
    with path.open("wb") as file:
        file.write(content[:at] + filler)
        file.seek(size, 1)
        file.write(content[at:])
        file.truncate(len(content) + len(filler) + size)
    return path


def long_film(path: Path, frames: int) -> Path:
    """Write an MP4 of 25 pictures a second and its sound, cut to some bytes each, whose index has megabytes."""
    picture, tone = film("mp4", 0.04, codec="mpeg4"), m4a(0.5)
    with av.open(str(path), "w", format="mp4") as output:
        copies = []
        for source in (picture, tone):
            with av.open(io.BytesIO(source), "r") as opened:
                stream = opened.streams[0]
                packet = next(one for one in opened.demux(stream) if one.size)
                copies.append((output.add_stream_from_template(stream), bytes(packet)[:64]))
        (video, shown), (audio, heard) = copies
        for number in range(frames):
            _mux(output, video, shown, number, Fraction(1, 25), late=number % 2)
            for half in (0, 1):
                _mux(output, audio, heard, 2 * number + half, Fraction(1024, 44_100))
    return path


def _mux(output: Any, stream: Any, content: bytes, number: int, length: Fraction, late: int = 0) -> None:
    packet = av.Packet(content)
    packet.stream, packet.time_base = stream, Fraction(1, length.denominator)
    packet.dts = number * length.numerator
    packet.pts = packet.dts + late
    packet.duration = length.numerator
    packet.is_keyframe = number % 10 == 0
    output.mux(packet)


def cut(content: bytes, share: float) -> bytes:
    """Return the beginning of a file."""
    return content[: math.ceil(len(content) * share)]


def draw(chance: random.Random) -> tuple[str, str, bytes]:
    """Return a random medium: what it is, the field that it is for, its bytes."""
    name = chance.choice(tuple(KINDS))
    field, make = KINDS[name]
    return name, field, make(chance)


def _s(chance: random.Random) -> float:
    return random_seconds(chance)


def _rate(chance: random.Random, *rates: int) -> int:
    return chance.choice(rates)


def _film(container: str, codec: str, sound_codec: str, **more: Any) -> Odd:
    def make(chance: random.Random) -> bytes:
        fps = chance.choice((10, 24, 25, 30))
        seconds = random_seconds(chance, 5)
        heard = chance.choice((None, seconds, seconds * 0.6, seconds + 1.3))
        return film(container, seconds, codec=codec, fps=fps, sound_seconds=heard, sound_codec=sound_codec, **more)

    return make


_PCM = ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8", "pcm_mulaw")
_MP3_RATES = (16_000, 22_050, 24_000, 44_100, 48_000)
KINDS: dict[str, tuple[str, Odd]] = {
    "mp3 cbr": ("audio", lambda c: mp3(_s(c), rate=c.choice(_MP3_RATES), channels=c.choice((1, 2)))),
    "mp3 cbr, no Xing": (
        "audio",
        lambda c: mp3(_s(c), rate=c.choice(_MP3_RATES), bit_rate=c.choice((32_000, 64_000)), has_xing=False),
    ),
    "mp3 vbr": ("audio", lambda c: mp3(_s(c), rate=c.choice(_MP3_RATES), quality=c.choice((1, 4, 8)))),
    "mp3 vbr, no Xing": ("audio", lambda c: mp3(_s(c), quality=c.choice((1, 4, 8)), has_xing=False)),
    "mp3 tagged": ("audio", lambda c: id3(c.randint(0, 50_000)) + mp3(_s(c)) + b"TAG" + bytes(125)),
    "wav": (
        "audio",
        lambda c: wav(_s(c), rate=c.choice((8_000, 16_000, 22_050, 44_100)), codec=c.choice(_PCM), channels=2),
    ),
    "wav streamed": ("audio", lambda c: with_data_size(wav(_s(c)), c.choice((0, 0xFFFFFFFF, 0x7FFFF000)))),
    "wav 64": ("audio", lambda c: wav(_s(c), muxing={"rf64": "always"})),
    "m4a": ("audio", lambda c: m4a(_s(c), rate=c.choice((22_050, 44_100, 48_000)), flags=c.choice(("", "faststart")))),
    "m4a lossless": ("audio", lambda c: m4a(_s(c), codec="alac")),
    "m4a in pieces": ("audio", lambda c: m4a(_s(c), flags="frag_keyframe+empty_moov+default_base_moof")),
    "m4a with cover": ("audio", lambda c: with_cover(m4a(_s(c)))),
    "ogg opus": ("audio", lambda c: ogg(_s(c), channels=c.choice((1, 2)))),
    "ogg vorbis": ("audio", lambda c: ogg(_s(c), codec="vorbis", rate=44_100)),
    "ogg flac": ("audio", lambda c: ogg(_s(c), codec="flac", rate=44_100)),
    "ogg chained": ("audio", lambda c: chained_ogg(_s(c) / 2, _s(c) / 2)),
    "flac": ("audio", lambda c: flac(_s(c), rate=c.choice((16_000, 44_100, 48_000, 96_000)))),
    "flac, no total": ("audio", lambda c: flac(_s(c), has_total=False)),
    "aac": ("audio", lambda c: aac(_s(c))),
    "webm of sound": ("audio", lambda c: encoded("webm", "libopus", _s(c), channels=2)),
    "webm of sound, live": ("audio", lambda c: live_webm(1, sound_seconds=_s(c))),
    "mp4 for its sound": ("audio", lambda c: film("mp4", 2, sound_seconds=_s(c))),
    "mp4": ("video", _film("mp4", "libx264", "aac")),
    "mp4, moov first": ("video", _film("mp4", "libx264", "aac", flags="faststart")),
    "mp4 in pieces": ("video", _film("mp4", "libx264", "aac", flags="frag_keyframe+empty_moov")),
    "mp4 uneven": ("video", _film("mp4", "mpeg4", "aac", is_uneven=True)),
    "mov": ("video", _film("mov", "libx264", "pcm_s16le")),
    "webm": ("video", _film("webm", "libvpx", "libopus")),
    "webm vp9": ("video", _film("webm", "libvpx-vp9", "libopus")),
    "webm live, sizes unknown": (
        "video",
        lambda c: with_unknown_clusters(live_webm(random_seconds(c, 5), sound_seconds=4, fps=c.choice((10, 25, 30)))),
    ),
    "webm live": ("video", lambda c: live_webm(random_seconds(c, 5), fps=c.choice((10, 25, 30)))),
    "mkv": ("video", _film("matroska", "libx264", "aac")),
}
