"""What the first bytes of a file say of it: pure, and sure of what it says, since a refusal hangs on it.

Formats that hold a picture track or none, as their maker liked (MP4, WebM, ASF), count as both sound and video.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_lipsync.media.kinds_text import text_name
from airflow_provider_lipsync.media.mp3_frames import mp3_frame

__all__ = ["HEAD", "Kind", "Sniffed", "sniff"]

HEAD = 4096  # bytes that are enough for every format here: two frames of MP3, the codecs of an Ogg, three packets of TS


class Kind(StrEnum):
    """What a field of the API takes."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


_IMAGE = frozenset({Kind.IMAGE})
_AUDIO = frozenset({Kind.AUDIO})
_EITHER = frozenset({Kind.AUDIO, Kind.VIDEO})


@dataclass(frozen=True, kw_only=True)
class Sniffed:
    """What a file seems to be.

    :param name: for messages, such as ``a PNG picture``.
    :param kinds: which kinds it may be; empty = not known, or none.
    :param is_no_media: whether it is surely something else: a page, a text, an archive.
    :param mime: for a Content-Type.
    :param suffix: with the dot; empty where it is not known.
    """

    name: str = "of a format that is not known here"
    kinds: frozenset[Kind] = frozenset()
    is_no_media: bool = False
    mime: str = "application/octet-stream"
    suffix: str = ""


def sniff(head: bytes) -> Sniffed:
    """Return what a file is that begins with these bytes, the first :data:`HEAD` of it or all."""
    for recognise in _RECOGNISERS:
        found = recognise(head)
        if found is not None:
            return found
    return Sniffed()


def _image(name: str, mime: str, suffix: str) -> Sniffed:
    return Sniffed(
        name=f"{'an' if name == 'AVIF' else 'a'} {name} picture", kinds=_IMAGE, mime=f"image/{mime}", suffix=suffix
    )


def _audio(name: str, mime: str, suffix: str) -> Sniffed:
    return Sniffed(name=f"{name} audio", kinds=_AUDIO, mime=f"audio/{mime}", suffix=suffix)


def _either(name: str, mime: str, suffix: str) -> Sniffed:
    return Sniffed(name=f"{name} video or audio", kinds=_EITHER, mime=mime, suffix=suffix)


def _nothing(name: str, mime: str = "application/octet-stream") -> Sniffed:
    return Sniffed(name=name, is_no_media=True, mime=mime)


_MP3 = _audio("MP3", "mpeg", ".mp3")
_QUICKTIME = _either("QuickTime", "video/quicktime", ".mov")
_MPEG_TS = _either("MPEG-TS", "video/mp2t", ".ts")

_BEGINNINGS: tuple[tuple[bytes, Sniffed], ...] = (
    (b"\xff\xd8\xff", _image("JPEG", "jpeg", ".jpg")),
    (b"\x89PNG\r\n\x1a\n", _image("PNG", "png", ".png")),
    (b"GIF87a", _image("GIF", "gif", ".gif")),
    (b"GIF89a", _image("GIF", "gif", ".gif")),
    (b"II*\x00", _image("TIFF", "tiff", ".tiff")),
    (b"MM\x00*", _image("TIFF", "tiff", ".tiff")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", _image("JPEG 2000", "jp2", ".jp2")),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", _image("JPEG XL", "jxl", ".jxl")),
    (b"fLaC", _audio("FLAC", "flac", ".flac")),
    (b"#!AMR", _audio("AMR", "amr", ".amr")),
    (b"caff\x00\x01", _audio("CAF", "x-caf", ".caf")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", _either("Windows", "video/x-ms-asf", ".asf")),
    (b"FLV\x01", _either("Flash", "video/x-flv", ".flv")),
    (b"\x00\x00\x01\xba", _either("MPEG", "video/mpeg", ".mpg")),
    (b"%PDF-", _nothing("a PDF", "application/pdf")),
    (b"PK\x03\x04", _nothing("a ZIP archive", "application/zip")),
    (b"PK\x05\x06", _nothing("a ZIP archive", "application/zip")),
    (b"\x1f\x8b\x08", _nothing("a gzip archive", "application/gzip")),
    (b"7z\xbc\xaf\x27\x1c", _nothing("a 7z archive")),
    (b"Rar!\x1a\x07", _nothing("a RAR archive")),
    (b"\x28\xb5\x2f\xfd", _nothing("a Zstandard archive")),
    (b"\xfd7zXZ\x00", _nothing("an XZ archive")),
    (b"\x7fELF", _nothing("a program")),
    (b"SQLite format 3\x00", _nothing("a database")),
)


def _by_beginning(head: bytes) -> Sniffed | None:
    return next((found for beginning, found in _BEGINNINGS if head.startswith(beginning)), None)


# A form of 4 letters, 4 bytes of size, then 4 letters of content.
_FORMS = {
    (b"RIFF", b"WAVE"): _audio("WAV", "wav", ".wav"),
    (b"RF64", b"WAVE"): _audio("WAV", "wav", ".wav"),
    (b"BW64", b"WAVE"): _audio("WAV", "wav", ".wav"),
    (b"FORM", b"AIFF"): _audio("AIFF", "aiff", ".aiff"),
    (b"FORM", b"AIFC"): _audio("AIFF", "aiff", ".aiff"),
    (b"RIFF", b"WEBP"): _image("WebP", "webp", ".webp"),
    (b"RIFF", b"AVI "): _either("AVI", "video/x-msvideo", ".avi"),
}


def _by_form(head: bytes) -> Sniffed | None:
    return _FORMS.get((head[:4], head[8:12]))


_STILL_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), _image("AVIF", "avif", ".avif")),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
        _image("HEIC", "heic", ".heic"),
    ),
}
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ")
_OLD_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # a QuickTime of old begins with any of them


def _by_box(head: bytes) -> Sniffed | None:
    """The boxes of ISO/IEC 14496-12: MP4, M4A, QuickTime, HEIC."""
    size, name, brand = int.from_bytes(head[:4], "big"), head[4:8], head[8:12]
    if name in _OLD_BOXES and (size in (0, 1) or size >= 8):
        return _QUICKTIME
    if name not in (b"ftyp", b"styp") or size < 8:
        return None
    if brand in _STILL_BRANDS:
        also = {head[at : at + 4] for at in range(16, min(size, len(head)), 4)}
        return _STILL_BRANDS[b"avif"] if also & {b"avif", b"avis"} else _STILL_BRANDS[brand]
    if brand in _SOUND_BRANDS:
        return _audio("M4A", "mp4", ".m4a")
    return _QUICKTIME if brand == b"qt  " else _either("MP4", "video/mp4", ".mp4")


def _by_matroska(head: bytes) -> Sniffed | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    if b"webm" in head[:64]:
        return _either("WebM", "video/webm", ".webm")
    return _either("Matroska", "video/x-matroska", ".mkv")


def _by_ogg(head: bytes) -> Sniffed | None:
    """Each stream of an Ogg begins with a page of its own that names the codec; all of them come first."""
    if not head.startswith(b"OggS\x00"):
        return None
    pictures = any(mark in head for mark in (b"\x80theora", b"BBCD\x00", b"OVP80"))
    sound = any(mark in head for mark in (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "))
    return _audio("Ogg", "ogg", ".ogg") if sound and not pictures else _either("Ogg", "video/ogg", ".ogv")


_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes: what a BMP's second header may be long


def _by_bmp(head: bytes) -> Sniffed | None:
    header = int.from_bytes(head[14:18], "little")
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00" and header in _BMP_HEADERS:
        return _image("BMP", "bmp", ".bmp")
    return None


def _by_id3(head: bytes) -> Sniffed | None:
    """ID3 tags stand before MP3, rarely before AAC or FLAC: sound in any case."""
    is_tag = head[:3] == b"ID3" and len(head) >= 10 and head[3] < 0xFF and all(byte < 0x80 for byte in head[6:10])
    return _MP3 if is_tag else None


def _by_packets(head: bytes) -> Sniffed | None:
    """MPEG-TS: the same byte begins each packet of 188 bytes, or of 192 after a stamp of 4."""
    for start, step in ((0, 188), (4, 192)):
        marks = head[start::step]
        if len(marks) >= 4 and set(marks) == {0x47}:
            return _MPEG_TS
    return None


def _by_frames(head: bytes) -> Sniffed | None:
    """Sound without a container. Two frames in a row are asked for: one mark of 11 bits comes up by chance."""
    for length_of, found in ((_mp3_length, _MP3), (_adts_length, _audio("AAC", "aac", ".aac"))):
        first = length_of(head, 0)
        if first and length_of(head, first):
            return found
    return None


def _mp3_length(head: bytes, at: int) -> int:
    """Return the length in bytes of the MPEG audio frame that begins there; 0 where none does."""
    frame = mp3_frame(head, at)
    return 0 if frame is None else frame.size


def _adts_length(head: bytes, at: int) -> int:
    """Return the length in bytes of the AAC frame that begins there; 0 where none does."""
    if len(head) < at + 6 or head[at] != 0xFF or head[at + 1] & 0xF6 != 0xF0 or head[at + 2] >> 2 & 15 > 12:
        return 0
    length = (head[at + 3] & 3) << 11 | head[at + 4] << 3 | head[at + 5] >> 5
    return length if length > 7 else 0


def _by_text(head: bytes) -> Sniffed | None:
    name = text_name(head)
    return None if name is None else _nothing(name, "text/plain")


_RECOGNISERS: tuple[Callable[[bytes], Sniffed | None], ...] = (
    _by_beginning,
    _by_form,
    _by_box,
    _by_matroska,
    _by_ogg,
    _by_bmp,
    _by_id3,
    _by_packets,
    _by_frames,
    _by_text,
)
