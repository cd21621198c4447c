"""How long a medium is, before money is spent on it: what its headers, indexes and ends say; never a whole download.

Small files are read whole and decoded, in a process of their own. Of large ones a length is told only where it is not
lower than what a decoder would find; else it stays unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_lipsync.media.kinds import HEAD, Kind, Sniffed, sniff
from airflow_provider_lipsync.media.measure.apart import is_installed, seconds_apart
from airflow_provider_lipsync.media.measure.flac import flac_seconds
from airflow_provider_lipsync.media.measure.iso import verify_boxes
from airflow_provider_lipsync.media.measure.iso_pieces import iso_seconds
from airflow_provider_lipsync.media.measure.matroska import matroska_seconds
from airflow_provider_lipsync.media.measure.mp3 import mp3_seconds, tags_end
from airflow_provider_lipsync.media.measure.ogg import ogg_seconds
from airflow_provider_lipsync.media.measure.wav import wav_seconds
from airflow_provider_lipsync.media.measure.words import UnknownLengthError
from airflow_provider_lipsync.media.ranged import BudgetSpent, RangedFile, RangeFault
from airflow_provider_lipsync.media.sources import Source
from airflow_provider_lipsync.media.web import Web

__all__ = ["Length", "length_of"]

_SECONDS = 30.0  # for all of it: slow servers, and files that are made to be slow
_WHOLE = 4_000_000  # bytes of a file that is read whole, were the budget larger: half a minute of decoding at most
_LONGEST = 30 * 24 * 3600.0  # seconds: what says that it is longer lies
_FINEST = 48_000  # samples a second that sound is resampled to for a video; the last one that is begun counts
_ISO = (".mp4", ".mov", ".m4a")
_NOT_INSTALLED = "PyAV is not installed: pip install 'airflow-provider-lipsync[media]'"


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a medium is.

    :param seconds: its length; None = unknown, which is never 0.
    :param why: why it is unknown, as a clause; empty where it is known.
    :param bytes_read: that were transferred to learn it.
    :param may_pass: whether it is unknown only because the file could not be read now: another try may tell.
    """

    seconds: float | None
    why: str
    bytes_read: int
    may_pass: bool = False


def length_of(source: Source, *, web: Web, log: Any, budget: int = 2_000_000) -> Length:
    """Return the length of a sound or video: of its decoded sound, or of its pictures, by the field that it is for.

    Never raises: whatever goes wrong makes the length unknown. No message holds a signature.

    :param source: what to measure.
    :param web: what fetches http(s) URLs.
    :param log: the task's.
    :param budget: bytes that may be transferred at most; a file of no more is read whole, up to 4 MB.
    """
    with RangedFile(source, web=web, budget=budget, seconds=_SECONDS) as file:
        length = _length(file, source.kind, budget)
    if length.seconds is None:
        log.info("%s: the length of %s is unknown: %s.", source.field, source.shown, length.why)
    else:
        told = (source.field, source.shown, length.seconds, length.bytes_read)
        log.info("%s: %s is %.2f s long (%d bytes were read to learn it).", *told)
    return length


def _length(file: RangedFile, kind: Kind, budget: int) -> Length:
    may_pass = False
    try:
        if not is_installed():
            raise UnknownLengthError(_NOT_INSTALLED)  # noqa: TRY301
        seconds = _checked(_seconds(file, kind, budget), kind)
        file.verify_unchanged()
        return Length(seconds=seconds, why="", bytes_read=file.bytes_read)
    except UnknownLengthError as unknown:
        why = str(unknown)
    except BudgetSpent:
        why = f"it cannot be told from {budget} bytes of it"
    except RangeFault as fault:
        why, may_pass = str(fault), fault.may_pass
    except Exception as error:  # noqa: BLE001 - a file of a stranger must not end the task
        why = f"it cannot be read as media ({type(error).__name__})"
    return Length(seconds=None, why=why, bytes_read=file.bytes_read, may_pass=may_pass)


def _seconds(file: RangedFile, kind: Kind, budget: int) -> float:
    if kind is Kind.IMAGE:
        raise UnknownLengthError("a picture has no length")
    if file.size == 0:
        raise UnknownLengthError("it is empty")
    start = tags_end(file)
    found = sniff(file.at(start, HEAD))
    if found.is_no_media or (found.kinds and not found.kinds & {Kind.AUDIO, Kind.VIDEO}):
        raise UnknownLengthError(f"it is {found.name}")
    if file.size <= min(budget, _WHOLE):
        return _small_seconds(file, kind, found)
    return _large_seconds(file, kind, found, start)


def _small_seconds(file: RangedFile, kind: Kind, found: Sniffed) -> float:
    if found.suffix in _ISO:
        verify_boxes(file)
    return seconds_apart(file.at(0, file.size), kind, _SECONDS)


def _large_seconds(file: RangedFile, kind: Kind, found: Sniffed, start: int) -> float:
    if kind is Kind.VIDEO and found.kinds == {Kind.AUDIO}:
        raise UnknownLengthError("it holds no video")
    if found.suffix in _ISO:
        return iso_seconds(file, kind)
    if found.suffix in (".webm", ".mkv"):
        return matroska_seconds(file, kind)
    sounds: dict[str, Callable[[], float]] = {
        ".mp3": lambda: mp3_seconds(file, start),
        ".flac": lambda: flac_seconds(file, start),
        ".ogg": lambda: ogg_seconds(file),
        ".ogv": lambda: ogg_seconds(file),
        ".wav": lambda: wav_seconds(file),
    }
    if kind is Kind.VIDEO or found.suffix not in sounds:
        raise UnknownLengthError(f"it is {found.name}, whose length is told only by reading all of it")
    return sounds[found.suffix]()


def _checked(seconds: float, kind: Kind) -> float:
    """Return a length that can be one, of sound up to the sample that is begun."""
    if not math.isfinite(seconds) or not 0 < seconds < _LONGEST:
        raise UnknownLengthError(f"what it says of its length ({seconds:g} s) cannot be")
    return seconds if kind is Kind.VIDEO else math.ceil(round(seconds * _FINEST, 6)) / _FINEST
