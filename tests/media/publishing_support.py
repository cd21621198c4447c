"""What the tests of media for the vendor share: real media, made when first asked for, and an S3 that Airflow knows."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_lipsync.sandbox.render.samples import write_sample
from tests.support.objectstore import BUCKET, aws_connection, objectstore

__all__ = ["MEDIA", "Store", "encoded", "memory_storage", "sample", "store"]

_RATE, _SIDE = 48000, 64

# Container, codec of sound, codec of pictures, pixels.
MEDIA: dict[str, tuple[str, str | None, str | None, str]] = {
    "wav": ("wav", "pcm_s16le", None, ""),
    "mp3": ("mp3", "libmp3lame", None, ""),
    "ogg": ("ogg", "libopus", None, ""),
    "flac": ("flac", "flac", None, ""),
    "m4a": ("ipod", "aac", None, ""),
    "aac": ("adts", "aac", None, ""),
    "aiff": ("aiff", "pcm_s16be", None, ""),
    "caf": ("caf", "pcm_s16le", None, ""),
    "mp4": ("mp4", "aac", "libx264", "yuv420p"),
    "mp4 of sound": ("mp4", "aac", None, ""),
    "mov": ("mov", "aac", "libx264", "yuv420p"),
    "webm": ("webm", "libopus", "libvpx", "yuv420p"),
    "mkv": ("matroska", "libopus", "libx264", "yuv420p"),
    "avi": ("avi", "libmp3lame", "mpeg4", "yuv420p"),
    "ts": ("mpegts", "aac", "libx264", "yuv420p"),
    "flv": ("flv", None, "flv1", "yuv420p"),
    "wmv": ("asf", None, "wmv2", "yuv420p"),
    "png": ("image2pipe", None, "png", "rgb24"),
    "jpg": ("image2pipe", None, "mjpeg", "yuvj420p"),
    "gif": ("gif", None, "gif", "rgb8"),
    "bmp": ("image2pipe", None, "bmp", "bgr24"),
    "tiff": ("image2pipe", None, "tiff", "rgb24"),
    "webp": ("webp", None, "libwebp", "yuv420p"),
    "jp2": ("image2pipe", None, "jpeg2000", "rgb24"),
}


@functools.cache
def encoded(name: str) -> bytes:
    """Return a medium of some tenths of a second, really encoded."""
    container, sound, pictures, pixels = MEDIA[name]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        streams: list[tuple[Any, list[Any]]] = []
        if pictures:
            streams.append(_picture_stream(output, pictures, pixels))
        if sound:
            streams.append(_sound_stream(output, sound))
        for stream, frames in streams:
            for packet in itertools.chain.from_iterable(stream.encode(frame) for frame in [*frames, None]):
                output.mux(packet)
    return file.getvalue()


def _picture_stream(output: Any, codec: str, pixels: str) -> tuple[Any, list[Any]]:
    stream = output.add_stream(codec, rate=10)
    stream.width = stream.height = _SIDE
    stream.pix_fmt = pixels
    count = 1 if output.format.name in ("image2pipe", "webp") else 3
    noise = np.random.default_rng(7).integers(0, 255, (_SIDE, _SIDE, 3), dtype=np.uint8)
    return stream, [av.VideoFrame.from_ndarray(noise, format="rgb24") for _ in range(count)]


def _sound_stream(output: Any, codec: str) -> tuple[Any, list[Any]]:
    stream = output.add_stream(codec, rate=_RATE)
    tone = (np.sin(np.arange(_RATE // 2) / 20) * 9000).astype(np.int16).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
    frame.sample_rate = _RATE
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, context.layout, context.rate, context.frame_size or None)
    return stream, [*resampler.resample(frame), *resampler.resample(None)]


@functools.cache
def sample(name: str) -> bytes:
    """Return one of the sandbox's samples."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_sample(name, path)
        return path.read_bytes()


class Store:
    """An S3 that Airflow knows by a connection, and the bucket in it."""

    def __init__(self, url: str, client: Any) -> None:
        self.url, self.client = url, client
        self.conn_id = f"aws_{url.rpartition(':')[2]}"  # Airflow keeps a storage by its connection id, for ever
        self._names = itertools.count()

    def put(self, content: bytes, *, name: str = "file") -> str:
        """Store an object; return the place as a user would write it."""
        key = f"media/{next(self._names)}/{name}"
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{self.conn_id}@{BUCKET}/{key}"

    def keys(self, prefix: str = "") -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", [])]


@contextmanager
def store() -> Iterator[Store]:
    with objectstore() as (url, client), pytest.MonkeyPatch.context() as patch:
        made = Store(url, client)
        patch.setenv(f"AIRFLOW_CONN_{made.conn_id.upper()}", aws_connection(url))
        yield made


def memory_storage() -> Any:
    """Make Airflow know ``memory://``, which cannot sign; return its filesystem, emptied."""
    fs = MemoryFileSystem()
    attach(protocol="memory", fs=fs)
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    return fs
