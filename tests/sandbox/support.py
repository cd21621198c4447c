"""What the tests of the sandbox share: a client, a wait with a deadline, media made on the spot, a look into a film."""

from __future__ import annotations

import io
import json
import socket
import struct
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import numpy.typing as npt

from airflow_provider_lipsync.sandbox import SandboxServer

T = TypeVar("T")

IMAGE = {"image": "http://media.invalid/face.png", "audio": "http://media.invalid/voice.mp3"}
VIDEO = {"video": "http://media.invalid/clip.mp4", "audio": "http://media.invalid/voice.mp3"}
MULTI = {
    "image": "http://media.invalid/duo.png",
    "left_audio": "http://media.invalid/left.mp3",
    "right_audio": "http://media.invalid/right.mp3",
}
FORMS = {"lipsync-image": IMAGE, "lipsync-video": VIDEO, "lipsync-image-multi": MULTI}


class Caller:
    """The API as a user calls it."""

    def __init__(self, sandbox: SandboxServer, key: str | None = None) -> None:
        self.sandbox = sandbox
        headers = {"Authorization": f"Bearer {key or sandbox.key}"}
        transport = httpx.HTTPTransport(verify=False)  # plain HTTP alone
        self.http = httpx.Client(base_url=sandbox.base_url, headers=headers, timeout=60, transport=transport)

    def post(self, endpoint: str, body: Any) -> httpx.Response:
        return self.http.post(f"/{endpoint}", json=body)

    def submit(self, endpoint: str, *, webhook: str | None = None, **form_state: Any) -> str:
        hook = {} if webhook is None else {"webhook": webhook}
        response = self.post(endpoint, {**hook, "formState": {**FORMS[endpoint], **form_state}})
        assert response.status_code == 200, response.text
        job_id: str = response.json()["id"]
        return job_id

    def query(self, job_id: str) -> dict[str, Any]:
        response = self.http.get(f"/jobs/{job_id}")
        assert response.status_code == 200, response.text
        job: dict[str, Any] = response.json()
        return job

    def finish(self, job_id: str, within: float = 60) -> dict[str, Any]:
        return wait_for(lambda: self.query(job_id), lambda job: job["status"] != "processing", within)

    def entry(self, job_id: str) -> dict[str, Any]:
        return next(entry for entry in self.sandbox.ledger() if entry["job_id"] == job_id)


def wait_for(ask: Callable[[], T], good: Callable[[T], bool], within: float = 10) -> T:
    """Ask until the answer is good; there is nothing to be told by."""
    deadline = time.monotonic() + within
    while not good(answer := ask()):
        assert time.monotonic() < deadline, f"still {answer!r} after {within} s"
        time.sleep(0.05)
    return answer


def tone(*parts: tuple[float, float], rate: int = 16_000, pitch: float = 220) -> npt.NDArray[np.int16]:
    """Return a hum of so many Hz: (seconds, loudness from 0 to 1) after one another."""
    loudness = np.concatenate([np.full(round(seconds * rate), level) for seconds, level in parts])
    return (20_000 * loudness * np.sin(2 * np.pi * pitch * np.arange(loudness.size) / rate)).astype(np.int16)


def write_wav(path: Path, *parts: tuple[float, float], pitch: float = 220) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(tone(*parts, pitch=pitch).tobytes())
    return path


def write_sound(path: Path, codec: str, seconds: float) -> Path:
    """Write a hum in another format, by the ending of the file's name."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        samples = tone((seconds, 0.8), rate=48_000)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_video(path: Path, seconds: float, *, width: int = 320, height: int = 240, rate: int = 30) -> Path:
    """Write a video without sound that goes from black to grey."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        count = round(seconds * rate)
        for number in range(count):
            pixels = np.full((height, width, 3), 16 + 150 * number // count, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_picture(path: Path, width: int, height: int, pixel_format: str = "rgb24") -> Path:
    channels = 4 if pixel_format == "rgba" else 3
    return write_pixels(path, np.full((height, width, channels), 180, np.uint8), pixel_format)


def write_pixels(path: Path, pixels: npt.NDArray[np.uint8], pixel_format: str = "rgb24") -> Path:
    codec = av.CodecContext.create("png" if path.suffix == ".png" else "mjpeg", "w")
    codec.height, codec.width = pixels.shape[:2]
    codec.pix_fmt = pixel_format if path.suffix == ".png" else "yuvj420p"
    codec.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, format=pixel_format).reformat(format=codec.pix_fmt)
    path.write_bytes(b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)]))
    return path


@dataclass(frozen=True)
class Film:
    """What is in an MP4."""

    codecs: tuple[str, ...]
    width: int
    height: int
    rate: Fraction
    seconds: float
    video_seconds: float
    sound: npt.NDArray[np.float32]
    frames: list[npt.NDArray[np.uint8]]
    boxes: list[str]

    @classmethod
    def read(cls, content: bytes) -> Film:
        with av.open(io.BytesIO(content)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            frames, sounds = [], []
            for frame in container.decode(video, audio):
                if isinstance(frame, av.VideoFrame):
                    frames.append(frame.to_ndarray(format="rgb24"))
                else:
                    sounds.append(frame.to_ndarray())
            return cls(
                codecs=(video.codec_context.name, audio.codec_context.name),
                width=video.width,
                height=video.height,
                rate=Fraction(video.average_rate or 0),
                seconds=(container.duration or 0) / av.time_base,
                video_seconds=float((video.duration or 0) * (video.time_base or 0)),
                sound=np.concatenate(sounds, axis=1),
                frames=frames,
                boxes=list_boxes(content),
            )

    def mouth(self, frame: int, x: float = 0.5, y: float = 0.64) -> npt.NDArray[np.float32]:
        """Return the part of a frame where a mouth is."""
        row, column, reach = round(y * self.height), round(x * self.width), round(0.1 * min(self.width, self.height))
        part = self.frames[frame][row - reach : row + reach, column - reach : column + reach]
        return part.astype(np.float32)

    def openings(self, x: float = 0.5) -> npt.NDArray[np.float64]:
        """Return how large the drawn mouth is in each frame, in pixels: lips and tongue have colour, grey has none."""
        mouths = [self.mouth(number, x) for number in range(len(self.frames))]
        return np.array([float((np.ptp(mouth, axis=2) > 30).sum()) for mouth in mouths])

    def loudness(self) -> npt.NDArray[np.float64]:
        """Return the root mean square of the sound in each frame."""
        return measure_loudness(self.sound.mean(axis=0), len(self.frames), 48_000)

    def mouth_change(self, first: int, second: int, x: float = 0.5) -> float:
        """Return how much the mouth differs between two frames, in levels of 255."""
        return float(np.abs(self.mouth(first, x) - self.mouth(second, x)).mean())


def measure_loudness(samples: npt.NDArray[Any], frames: int, rate: int) -> npt.NDArray[np.float64]:
    """Return the root mean square of a sound in each of so many frames, silence after its end."""
    size = rate // 25
    whole = np.zeros(frames * size)
    whole[: samples.size] = samples[: whole.size]
    loudness: npt.NDArray[np.float64] = np.sqrt(np.square(whole.reshape(frames, size)).mean(axis=1))
    return loudness


def list_boxes(content: bytes) -> list[str]:
    """Return the names of the outermost boxes of an MP4, in their order."""
    names, at = [], 0
    while at + 8 <= len(content):
        size, name = struct.unpack(">I4s", content[at : at + 8])
        if size == 1:
            size = struct.unpack(">Q", content[at + 8 : at + 16])[0]
        names.append(name.decode("latin-1"))
        at += size or len(content)
    return names


def exchange(url: str, key: str, path: str, body: Any = None, seconds: float = 10) -> bytes:
    """Send one request over a bare socket, and return every byte that comes until the end of the connection.

    :param body: for a POST, as JSON; None = a GET.
    """
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
        *("Host: localhost", "Connection: close", f"Authorization: Bearer {key}"),
        *("Content-Type: application/json", f"Content-Length: {len(content)}"),
    ]
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=seconds) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)
        return b"".join(iter(lambda: connection.recv(65536), b""))
