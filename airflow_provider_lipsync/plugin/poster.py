"""A video's first good frame as a small JPEG: by ranges of the stored copy, in bounded memory, time and number.

A storage that is slow holds up no other poster: the right to decode, which two have at once, is given back while one
waits for bytes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from airflow_provider_lipsync.media.places import words
from airflow_provider_lipsync.plugin.stored import NotServedError, Reader, StoredCopy

__all__ = ["WIDTH", "Posters"]

WIDTH = 320  # pixels
_KEPT = 256  # posters in memory, of some 15 KB each
_AT_ONCE = 2
_BLOCK = 128 * 1024  # bytes of one read
_BUDGET = 6 * 1024 * 1024  # bytes of one video that are read at the most: its index and a second or so
_LONGEST = 15.0  # seconds for one poster
_FRAMES = 24  # that are looked at: videos like to begin black
_LARGEST_FRAME = 7680 * 4320  # pixels
_LARGEST_SIDE = 8192
_CODECS = frozenset({"h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mjpeg", "prores"})
_DARK, _FLAT = 20, 6  # of 255: mean brightness, mean distance from it


class Posters:
    """Makes posters and keeps the last ones. Safe to be asked by several threads."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(_AT_ONCE)

    def poster(self, copy: StoredCopy) -> bytes:
        """Return the poster of a stored video; blocks.

        :raises NotServedError: there is none: no library to decode it, or no frame in its beginning.
        """
        with self._lock:
            known = self._made.get(copy.identity)
            if known is not None:
                self._made.move_to_end(copy.identity)
                return known
        made = self._make(copy)
        with self._lock:
            self._made[copy.identity] = made
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return made

    def _make(self, copy: StoredCopy) -> bytes:
        try:
            import av  # noqa: F401 - only to say so clearly
        except ImportError:
            raise NotServedError(404, "The API server has no library to decode videos (the package av).") from None
        try:
            with copy.opened() as reader, self._decoding:
                return _jpeg_of(_Window(reader, copy.size, self._decoding))
        except NotServedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the decoder or the storage made of it
            raise NotServedError(404, f"No frame can be shown of this video: {words(error)}.") from None


class _Window:
    """What the decoder sees of a video: a file that may be searched, up to a budget of bytes and seconds."""

    def __init__(self, reader: Reader, size: int, decoding: threading.BoundedSemaphore) -> None:
        self._reader, self._size, self._decoding = reader, size, decoding
        self._at = 0
        self._blocks: dict[int, bytes] = {}
        self._until = time.monotonic() + _LONGEST

    def read(self, count: int) -> bytes:
        """Return the next bytes, perhaps fewer than asked for; none at the end."""
        if self._at >= self._size:
            return b""
        start = self._at - self._at % _BLOCK
        content = self._block(start)[self._at - start :][:count]
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position; as a file does."""
        base = (0, self._at, self._size)[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def _block(self, start: int) -> bytes:
        if start not in self._blocks:
            if len(self._blocks) * _BLOCK >= _BUDGET:
                raise OSError(f"it takes more than {_BUDGET} bytes to find one")
            with _without(self._decoding):
                self._blocks[start] = self._reader.read(start, min(self._size, start + _BLOCK))
        if time.monotonic() > self._until:
            raise TimeoutError(f"it took more than {_LONGEST:g} s")
        return self._blocks[start]


@contextmanager
def _without(held: threading.BoundedSemaphore) -> Iterator[None]:
    held.release()
    try:
        yield
    finally:
        held.acquire()


def _jpeg_of(file: _Window) -> bytes:
    import av

    # The one format by name: what probes for others would open playlists that lead elsewhere.
    with av.open(file, format="mov") as container:
        stream = next(iter(container.streams.video), None)
        if stream is None:
            raise NotServedError(404, "There is no picture in this video.")
        context = stream.codec_context
        if context.name not in _CODECS or not _is_bearable(context.width, context.height):
            raise NotServedError(404, f"No frame is shown of {context.name} at {context.width}x{context.height}.")
        context.thread_count = 1
        return _as_jpeg(_first_good(_frames(container, stream)))


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the first frames, small; what stops them later than the first is no error."""
    height = max(2, round(WIDTH * stream.codec_context.height / stream.codec_context.width / 2) * 2)
    seen = 0
    try:
        for frame in container.decode(stream):
            seen += 1
            yield frame.reformat(width=WIDTH, height=height, format="yuvj420p")
            if seen == _FRAMES:
                return
    except Exception:
        if not seen:
            raise


def _first_good(frames: Iterator[Any]) -> Any:
    """Return the first that is neither black nor of one colour, or the liveliest of those there are."""
    best, most = None, -1.0
    for frame in frames:
        brightness, distance = _look_of(frame)
        if brightness > _DARK and distance > _FLAT:
            return frame
        if distance > most:
            best, most = frame, distance
    if best is None:
        raise NotServedError(404, "There is no frame in the beginning of this video.")
    return best


def _look_of(frame: Any) -> tuple[float, float]:
    """Return the mean brightness and the mean distance from it, of some of the pixels."""
    some = bytes(frame.planes[0])[::11]
    mean = sum(some) / len(some)
    return mean, sum(abs(one - mean) for one in some) / len(some)


def _as_jpeg(frame: Any) -> bytes:
    import av

    codec: Any = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = frame.width, frame.height, "yuvj420p", Fraction(1, 25)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def _is_bearable(width: int, height: int) -> bool:
    return 0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE and width * height <= _LARGEST_FRAME
