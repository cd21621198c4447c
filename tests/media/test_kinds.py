"""What the first bytes of a file say of it: of media that were really encoded, of all that is none, and of noise."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_lipsync.media.kinds import HEAD, Kind, sniff
from tests.media.publishing_support import MEDIA, encoded, sample

IMAGE, AUDIO, VIDEO = Kind.IMAGE, Kind.AUDIO, Kind.VIDEO
EITHER = {AUDIO, VIDEO}
EXPECTED: dict[str, tuple[set[Kind], str, str]] = {
    "wav": ({AUDIO}, "audio/wav", ".wav"),
    "mp3": ({AUDIO}, "audio/mpeg", ".mp3"),
    "ogg": ({AUDIO}, "audio/ogg", ".ogg"),
    "flac": ({AUDIO}, "audio/flac", ".flac"),
    "m4a": ({AUDIO}, "audio/mp4", ".m4a"),
    "aac": ({AUDIO}, "audio/aac", ".aac"),
    "aiff": ({AUDIO}, "audio/aiff", ".aiff"),
    "caf": ({AUDIO}, "audio/x-caf", ".caf"),
    "mp4": (EITHER, "video/mp4", ".mp4"),
    "mp4 of sound": (EITHER, "video/mp4", ".mp4"),
    "mov": (EITHER, "video/quicktime", ".mov"),
    "webm": (EITHER, "video/webm", ".webm"),
    "mkv": (EITHER, "video/x-matroska", ".mkv"),
    "avi": (EITHER, "video/x-msvideo", ".avi"),
    "ts": (EITHER, "video/mp2t", ".ts"),
    "flv": (EITHER, "video/x-flv", ".flv"),
    "wmv": (EITHER, "video/x-ms-asf", ".asf"),
    "png": ({IMAGE}, "image/png", ".png"),
    "jpg": ({IMAGE}, "image/jpeg", ".jpg"),
    "gif": ({IMAGE}, "image/gif", ".gif"),
    "bmp": ({IMAGE}, "image/bmp", ".bmp"),
    "tiff": ({IMAGE}, "image/tiff", ".tiff"),
    "webp": ({IMAGE}, "image/webp", ".webp"),
    "jp2": ({IMAGE}, "image/jp2", ".jp2"),
}


@pytest.mark.parametrize("name", MEDIA)
def test_a_medium_that_was_really_encoded_is_known(name: str) -> None:
    kinds, mime, suffix = EXPECTED[name]
    found = sniff(encoded(name)[:HEAD])
    assert (found.kinds, found.mime, found.suffix, found.is_no_media) == (kinds, mime, suffix, False)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("portrait.png", {IMAGE}), ("clip.mp4", EITHER), ("voice.wav", {AUDIO})],
)
def test_the_samples_of_the_sandbox_are_known(name: str, kinds: set[Kind]) -> None:
    assert sniff(sample(name)[:HEAD]).kinds == kinds


def frames(name: str) -> bytes:
    """An MP3 without the tag before its first frame."""
    whole = encoded(name)
    size = sum(byte << 7 * (3 - at) for at, byte in enumerate(whole[6:10]))
    return whole[10 + size :]


def test_an_mp3_without_a_tag_is_known_by_two_frames_in_a_row() -> None:
    bare = frames("mp3")
    assert bare[0] == 0xFF
    assert sniff(bare[:HEAD]).mime == "audio/mpeg"
    assert sniff(bare[:4] + bytes(HEAD)).kinds == frozenset()


def test_a_single_mark_of_aac_is_not_enough() -> None:
    assert sniff(encoded("aac")[:7] + bytes(HEAD)).kinds == frozenset()


def test_a_transport_stream_with_stamps_is_known() -> None:
    whole = encoded("ts")
    stamped = b"".join(b"\x00\x01\x02\x03" + whole[at : at + 188] for at in range(0, 188 * 8, 188))
    assert sniff(stamped).mime == "video/mp2t"


def box(name: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


OGG = b"OggS\x00\x02" + bytes(20)


@pytest.mark.parametrize(
    ("head", "kinds", "mime"),
    [
        pytest.param(box(b"ftyp", b"avif\0\0\0\0avifmif1"), {IMAGE}, "image/avif", id="avif"),
        pytest.param(box(b"ftyp", b"mif1\0\0\0\0mif1avif"), {IMAGE}, "image/avif", id="avif by a compatible brand"),
        pytest.param(box(b"ftyp", b"heic\0\0\0\0mif1heic"), {IMAGE}, "image/heic", id="heic"),
        pytest.param(box(b"ftyp", b"M4B \0\0\0\0M4A "), {AUDIO}, "audio/mp4", id="m4b"),
        pytest.param(box(b"ftyp", b"isom\0\0\0\0isom"), EITHER, "video/mp4", id="isom"),
        pytest.param(box(b"ftyp", b"3gp6\0\0\0\0isom"), EITHER, "video/mp4", id="3gp"),
        pytest.param(box(b"ftyp", b"qt  \0\0\0\0qt  "), EITHER, "video/quicktime", id="qt"),
        pytest.param(box(b"moov", bytes(99)), EITHER, "video/quicktime", id="old mov, moov first"),
        pytest.param(box(b"wide") + box(b"mdat", bytes(99)), EITHER, "video/quicktime", id="old mov, wide first"),
        pytest.param(b"\0\0\0\1mdat" + bytes(99), EITHER, "video/quicktime", id="old mov, a long mdat"),
        pytest.param(OGG + b"\x80theora" + OGG + b"\x01vorbis", EITHER, "video/ogg", id="ogg with pictures"),
        pytest.param(OGG + b"\x01vorbis" + OGG + b"\x80theora", EITHER, "video/ogg", id="ogg, sound named first"),
        pytest.param(OGG + b"\x01vorbis", {AUDIO}, "audio/ogg", id="vorbis"),
        pytest.param(OGG + b"something", EITHER, "video/ogg", id="ogg of something"),
        pytest.param(b"#!AMR\n" + bytes(30), {AUDIO}, "audio/amr", id="amr"),
        pytest.param(b"#!AMR-WB\n" + bytes(30), {AUDIO}, "audio/amr", id="amr-wb"),
        pytest.param(b"RF64\xff\xff\xff\xffWAVEds64", {AUDIO}, "audio/wav", id="long wav"),
        pytest.param(b"FORM\0\0\1\0AIFCFVER", {AUDIO}, "audio/aiff", id="aifc"),
        pytest.param(b"\0\0\1\xba\x44" + bytes(30), EITHER, "video/mpeg", id="mpeg-ps"),
        pytest.param(b"MM\0*" + bytes(30), {IMAGE}, "image/tiff", id="tiff, the other way round"),
    ],
)
def test_a_beginning_is_known(head: bytes, kinds: set[Kind], mime: str) -> None:
    found = sniff(head)
    assert (found.kinds, found.mime, found.is_no_media) == (kinds, mime, False)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("voice.wav", sample("voice.wav"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(b"<!DOCTYPE html>\n<html>", "an HTML page", id="html"),
        pytest.param(b"\xef\xbb\xbf  <HTML lang=de><body>Gr\xfc\xdfe", "an HTML page", id="html in latin-1"),
        pytest.param(b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "XML", id="error of S3"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing", id="svg"),
        pytest.param(b"<?xml version='1.0'?>\n<svg/>", "an SVG drawing", id="svg with a declaration"),
        pytest.param(json.dumps({"error": "not found"}).encode(), "JSON", id="json"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a text", id="lfs pointer"),
        pytest.param("Grüße, 世界\n".encode() * 400, "a text", id="text whose last letter is cut"),
        pytest.param("Grüße\n".encode("utf-16") * 9, "a text", id="text of wide letters"),
        pytest.param(b"#EXTM3U\n#EXT-X-VERSION:3\n", "a playlist", id="playlist"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3", "a PDF", id="pdf"),
        pytest.param(archive(), "a ZIP archive", id="zip"),
        pytest.param(gzip.compress(b"voice" * 99), "a gzip archive", id="gzip"),
    ],
)
def test_what_is_surely_no_media_is_told(content: bytes, name: str) -> None:
    found = sniff(content[:HEAD])
    assert found.is_no_media
    assert found.kinds == frozenset()
    assert found.name.startswith(name)


@pytest.mark.parametrize("head", [b"", b"a", b"RIFF", b"\xff", b"\xff\xfb", b"OggS", bytes(HEAD)])
def test_what_is_not_known_is_neither_refused_nor_taken_for_something(head: bytes) -> None:
    found = sniff(head)
    assert (found.kinds, found.is_no_media, found.suffix) == (frozenset(), False, "")


@given(st.binary(max_size=600))
@example(b"\xff\xfb\x90\x64")
@example(b"\x00\x00\x00\x08ftyp")
@example(b"\xff\xfe\x00")
def test_whatever_comes_is_looked_at_without_a_fault(head: bytes) -> None:
    found = sniff(head)
    assert not (found.kinds and found.is_no_media)


@given(st.sampled_from(sorted(MEDIA)), st.integers(0, HEAD), st.randoms(use_true_random=False))
def test_a_medium_whose_end_is_cut_or_spoilt_is_never_taken_for_a_text(
    name: str, at: int, chance: random.Random
) -> None:
    head = encoded(name)[:HEAD]
    at = max(16, min(at, len(head)))
    assert not sniff(head[:at]).is_no_media
    assert not sniff(head[:at] + chance.randbytes(64)).is_no_media


def test_noise_is_not_taken_for_anything() -> None:
    chance = random.Random(20261122)
    taken = [found.name for found in (sniff(chance.randbytes(HEAD)) for _ in range(3000)) if found.kinds]
    texts = sum(sniff(chance.randbytes(HEAD)).is_no_media for _ in range(3000))
    assert (taken, texts) == ([], 0)
