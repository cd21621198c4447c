"""MP4, MOV and M4A by their boxes (ISO/IEC 14496-12): a few small ones of the index tell the length of each track.

The tables of the index, a megabyte for an hour of video, are stepped over, and so are the media.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from airflow_provider_lipsync.media.measure.words import UnknownLengthError
from airflow_provider_lipsync.media.ranged import RangedFile

__all__ = ["Box", "Index", "Track", "audio_length", "boxes", "number_at", "read_index", "verify_boxes", "video_length"]

_MOST_BOXES = 5_000
_MOST_TRACKS = 100
_DEEPEST = 5
_MOST_ENTRIES = 20_000  # of a table of durations; one that changes with every frame is not read
_MOST_EDITS = 1_000
_MATTERING = (b"moov", b"mdat", b"moof")
_NO_DURATION = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_NESTS = (b"mdia", b"minf", b"stbl", b"edts")
_LOSSLESS = (b"alac", b"fLaC")  # a last frame that is shorter is decoded to what it has
_PCM_PACKET = 1024  # samples that players take at once, where each is a frame of its own
_UNREAD_PACKET = Fraction(1, 5)  # seconds: more than a frame of any codec has


@dataclass(frozen=True)
class Box:
    """A box: where what is in it starts and ends, and where it starts itself."""

    name: bytes
    start: int
    end: int
    head: int


@dataclass
class Track:
    """What the index says of a track; durations in ticks of its own scale, unless said otherwise.

    :param media: as the header of the media says; 0 = it does not.
    :param samples: sum of the table of durations; 0 = there is none that was read.
    :param usual: the duration that most samples have; 0 = not known.
    :param last: the duration of the last sample.
    :param count: number of samples by the table of their sizes.
    :param edits: of each edit its duration in ticks of the movie's scale, and its start in the media, -1 = a pause.
    """

    number: int = 0
    handler: bytes = b""
    codec: bytes = b""
    scale: int = 0
    media: int = 0
    samples: int = 0
    usual: int = 0
    last: int = 0
    count: int = 0
    edits: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Index:
    """What a movie's index says.

    :param scale: ticks a second of the movie.
    :param pieces: where the first fragment starts; None = there is none, the index is of all.
    :param defaults: duration of a fragment's samples, by the number of the track.
    :param listed: end of the fragments by a table before them, in seconds, by the number of the track.
    """

    scale: int = 0
    tracks: list[Track] = field(default_factory=list)
    pieces: int | None = None
    defaults: dict[int, int] = field(default_factory=dict)
    listed: dict[int, Fraction] = field(default_factory=dict)


def boxes(file: RangedFile, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two places, none of those in them.

    :raises UnknownLengthError: they are not sound.
    """
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        size, name, head = number_at(file, start), file.at(start + 4, 4), 8
        if size == 1:
            size, head = number_at(file, start + 8, 8), 16
        last = end if size == 0 else start + size
        if size != 0 and size < head:
            raise UnknownLengthError("its boxes are broken")
        yield Box(name, start + head, last, start)
        start = last
    raise UnknownLengthError("it has too many boxes")


def number_at(file: RangedFile, start: int, width: int = 4) -> int:
    """Return the number that stands there, of so many bytes."""
    return int.from_bytes(file.at(start, width), "big")


def read_index(file: RangedFile) -> Index:
    """Read what the index says; the media are stepped over, and so is all behind a first fragment.

    :raises UnknownLengthError: there is none, or the file is cut off.
    """
    moov, index = None, Index()
    for box in boxes(file, 0, file.size):
        _verify_whole(file, box)
        if box.name == b"moov" and moov is None:
            moov = box
        if box.name == b"sidx":
            _read_segments(file, box, index)
        if box.name == b"moof":
            index.pieces = box.head
            break
    if moov is None:
        raise UnknownLengthError("it has no index (moov)")
    for box in boxes(file, moov.start, moov.end):
        _read_part(file, box, index)
    return index


def verify_boxes(file: RangedFile) -> None:
    """Make sure that the file ends where its boxes do; what has a name of no box may stand behind them.

    :raises UnknownLengthError: it is cut off.
    """
    for box in boxes(file, 0, file.size):
        _verify_whole(file, box)


def _verify_whole(file: RangedFile, box: Box) -> None:
    if box.end > file.size and box.name in _MATTERING:
        raise UnknownLengthError(f"it is cut off: {box.end - file.size} bytes are missing")


def video_length(track: Track, index: Index) -> Fraction:
    """Return how long a track is shown, in seconds: no longer than its samples, nor than its edits let it be.

    :raises UnknownLengthError: the index does not tell.
    """
    edited = sum(duration for duration, _ in track.edits)
    told = [track.media, track.samples, round(Fraction(edited * track.scale, index.scale or 1)) if edited else 0]
    known = [ticks for ticks in told[:2] if ticks]
    if not known or not track.scale:
        raise UnknownLengthError("its index tells no length")
    return Fraction(min([*known, *(ticks for ticks in told[2:] if ticks)]), track.scale)


def audio_length(track: Track, index: Index) -> Fraction:
    """Return how long the sound of a track is once it is decoded, in seconds: decoders give whole frames.

    :raises UnknownLengthError: the index does not tell.
    """
    if not track.scale or not (track.samples or track.media):
        raise UnknownLengthError("its index tells no length")
    if not track.samples:
        return Fraction(track.media, track.scale) + _UNREAD_PACKET
    usual = track.usual if track.usual > 1 else _PCM_PACKET
    whole = track.samples
    if track.usual > 1 and track.codec not in _LOSSLESS:
        whole += max(0, track.usual - track.last)
    whole = max(whole, track.count * track.usual if track.codec not in _LOSSLESS else 0)
    shown = [
        _between(start, duration * track.scale / (index.scale or 1), usual, whole)
        for duration, start in track.edits
        if start >= 0
    ]
    return Fraction(sum(shown) or whole, track.scale)


def _between(start: int, ticks: float, usual: int, whole: int) -> int:
    """Return how much is decoded of an edit; one without a length goes to the end."""
    end = start + ticks if ticks else whole
    return max(0, min(whole, -int(-end // usual) * usual) - start)


def _read_part(file: RangedFile, box: Box, index: Index) -> None:
    match box.name:
        case b"mvhd":
            index.scale = _head(file, box)[0]
        case b"trak" if len(index.tracks) < _MOST_TRACKS:
            index.tracks.append(Track())
            _read_track(file, box, index.tracks[-1])
        case b"mvex":
            for inner in boxes(file, box.start, box.end):
                if inner.name == b"trex":
                    index.defaults[number_at(file, inner.start + 4)] = number_at(file, inner.start + 12)


def _read_track(file: RangedFile, outer: Box, track: Track, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise UnknownLengthError("its boxes are broken")
    for box in boxes(file, outer.start, outer.end):
        match box.name:
            case b"tkhd":
                track.number = number_at(file, box.start + (20 if file.at(box.start, 1) == b"\x01" else 12))
            case b"mdhd":
                track.scale, track.media = _head(file, box)
            case b"hdlr" if not track.handler:  # QuickTime has a second one, for where the data are
                track.handler = file.at(box.start + 8, 4)
            case b"elst":
                track.edits = _edits(file, box)
            case name if name in _NESTS:
                _read_track(file, box, track, depth + 1)
            case _:
                _read_table(file, box, track)


def _read_table(file: RangedFile, box: Box, track: Track) -> None:
    match box.name:
        case b"stsd":
            track.codec = file.at(box.start + 12, 4)
        case b"stsz":
            track.count = number_at(file, box.start + 8)
        case b"stts":
            _read_durations(file, box, track)


def _head(file: RangedFile, box: Box) -> tuple[int, int]:
    """Return the ticks a second and the duration of an mvhd or mdhd."""
    head = file.at(box.start, 32)
    if len(head) < 32:
        raise UnknownLengthError("its index is cut off")
    scale, duration = struct.unpack_from(">IQ", head, 20) if head[0] == 1 else struct.unpack_from(">II", head, 12)
    return scale, 0 if duration in _NO_DURATION else duration


def _read_durations(file: RangedFile, box: Box, track: Track) -> None:
    count = number_at(file, box.start + 4)
    if count == 0 or count > _MOST_ENTRIES:
        return
    table = file.at(box.start + 8, 8 * count)
    if len(table) < 8 * count:
        raise UnknownLengthError("its index is cut off")
    often: Counter[int] = Counter()
    for number, ticks in struct.iter_unpack(">II", table):
        often[ticks] += number
        track.last = ticks
    track.samples = sum(number * ticks for ticks, number in often.items())
    track.usual = often.most_common(1)[0][0]


def _read_segments(file: RangedFile, box: Box, index: Index) -> None:
    wide = file.at(box.start, 1) == b"\x01"
    number, scale = number_at(file, box.start + 4), number_at(file, box.start + 8)
    earliest = number_at(file, box.start + 12, 8 if wide else 4)
    at = box.start + (28 if wide else 20)
    count = number_at(file, at + 2, 2)
    table = file.at(at + 4, 12 * count)
    ticks = sum(duration for _, duration, _ in struct.iter_unpack(">III", table[: len(table) // 12 * 12]))
    index.listed[number] = Fraction(earliest + ticks, scale or 1)


def _edits(file: RangedFile, box: Box) -> list[tuple[int, int]]:
    version, count = file.at(box.start, 1), number_at(file, box.start + 4)
    form = ">Qq4x" if version == b"\x01" else ">Ii4x"
    table = file.at(box.start + 8, struct.calcsize(form) * min(count, _MOST_EDITS))
    whole = len(table) // struct.calcsize(form) * struct.calcsize(form)
    return list(struct.iter_unpack(form, table[:whole]))
