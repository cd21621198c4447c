"""Videos that stand in a storage, with the receipts that the operators write beside them."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np

from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX, Receipt
from airflow_provider_lipsync.media.task_key import TaskKey
from tests.plugin.facts_support import JOB

BLACK, BRIGHT = 0, 1
MP4_HEAD = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
_names = itertools.count()


def receipt_of(content: bytes, author: TaskKey, *, job_id: str = JOB, **changes: Any) -> bytes:
    """Return the receipt of a video, as an operator writes it."""
    told: dict[str, Any] = {
        "job_id": job_id,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "author": author,
        "conn_id": "lipsync_default",
        "api": "https://lipsync.studio/api/v1",
        "stored_at": 1_763_900_000.0,
    }
    return Receipt(**{**told, **changes}).as_bytes()


def put(folder: Path, content: bytes, author: TaskKey, **changes: Any) -> Path:
    """Store a video with its receipt, and return where it stands."""
    file = folder / f"{next(_names)}.mp4"
    file.write_bytes(content)
    Path(f"{file}{RECEIPT_SUFFIX}").write_bytes(receipt_of(content, author, **changes))
    return file


def film(path: Path, *pictures: int, width: int = 640, height: int = 360, seconds: float = 1.0) -> bytes:
    """Write a video of black and bright parts, each as long, and return its bytes."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            for frame in _frames(picture, width, height, max(1, round(25 * seconds))):
                for packet in stream.encode(frame):
                    container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path.read_bytes()


def _frames(picture: int, width: int, height: int, count: int) -> list[av.VideoFrame]:
    shades = np.tile(np.linspace(40, 250, width, dtype=np.uint8), (height, 1)) * picture
    return [av.VideoFrame.from_ndarray(np.stack([shades] * 3, axis=-1), format="rgb24") for _ in range(count)]
