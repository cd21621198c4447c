"""The outermost boxes of an MP4, read while it streams by: whether it is whole, where nobody promised a length."""

from __future__ import annotations

__all__ = ["Boxes"]


class Boxes:
    """Follows the sizes of the boxes (ISO/IEC 14496-12, 4.2): a whole file ends where a box ends."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._to_the_end = False
        self._has_media = False

    @property
    def are_whole(self) -> bool:
        """Whether what came so far ends with a box, and one holds media: before that, no file ends.

        A last box of no size reaches to the end, wherever that is.
        """
        return self._has_media and (self._to_the_end or (self._left == 0 and not self._head))

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        at = 0
        while at < len(chunk) and not self._to_the_end:
            if self._left:
                step = min(self._left, len(chunk) - at)
                self._left -= step
            else:
                step = min(self._missing(), len(chunk) - at)
                self._head += chunk[at : at + step]
                self._begin()
            at += step

    def _missing(self) -> int:
        """Return how many bytes of the next head have not come: 8, or 16 where the size needs more room."""
        return (16 if self._head[:4] == b"\x00\x00\x00\x01" else 8) - len(self._head)

    def _begin(self) -> None:
        if self._missing() > 0:
            return
        size = int.from_bytes(self._head[8:] or self._head[:4], "big")
        self._to_the_end = size == 0
        self._has_media |= self._head[4:8] == b"mdat"
        self._left = max(0, size - len(self._head))
        self._head = b""
