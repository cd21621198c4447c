"""Media files opened with the demuxers of media alone; what PyAV raises about a bad one becomes the job's ``error``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from airflow_provider_lipsync.sandbox.render.plan import UnreadableMediaError

__all__ = ["open_film", "open_still", "refusing"]

# Of the demuxers only those of media: a playlist could name other files of this machine.
_FILMS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,opus,w64,wav,webm,3gp,mj2"
_STILLS = "png_pipe,apng,jpeg_pipe,jpegls_pipe,webp_pipe,bmp_pipe,gif,tiff_pipe,ppm_pipe,pgm_pipe,image2"


def open_film(path: Path) -> av.container.InputContainer:
    """Open a sound or a video."""
    return av.open(str(path), options={"format_whitelist": _FILMS})


def open_still(path: Path) -> av.container.InputContainer:
    """Open a picture."""
    return av.open(str(path), options={"format_whitelist": _STILLS})


@contextmanager
def refusing(message: str) -> Iterator[None]:
    """Let what PyAV raises about a bad medium end the job.

    :param message: the job's ``error``.
    :raises UnreadableMediaError: in place of what was raised.
    """
    try:
        yield
    except (av.FFmpegError, StopIteration, ValueError, IndexError):
        raise UnreadableMediaError(message) from None
