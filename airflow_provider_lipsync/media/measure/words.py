"""What all who measure have in common: how they say that a length cannot be told."""

from __future__ import annotations

__all__ = ["UnknownLengthError"]


class UnknownLengthError(Exception):
    """A length that cannot be told; the text says why, as a clause without the file's name."""
