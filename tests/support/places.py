"""Somewhere to store a video, and a way to see what stands there: S3 (moto, real HTTP) and a local disk."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from airflow_provider_lipsync.media.receipt import RECEIPT_SUFFIX
from tests.support.objectstore import BUCKET

__all__ = ["Folder", "Place"]

names = itertools.count()


class Place:
    """Somewhere to store a video, and a way to see what stands there.

    Airflow keeps one filesystem for each connection id, for ever, so each server is reached by an id of its own.
    """

    conn_id = "aws_mine"

    def __init__(self, client: Any, folder: Path) -> None:
        self.client, self.folder, self.key = client, folder, f"weekly/{next(names)}.mp4"

    @property
    def path(self) -> str:
        return f"s3://{self.conn_id}@{BUCKET}/{self.key}"

    @property
    def opened(self) -> Any:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        return ObjectStoragePath(self.path)

    def content(self) -> bytes | None:
        """The video that stands there."""
        return self.beside("")

    def beside(self, suffix: str) -> bytes | None:
        """What stands under its name with this suffix."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.key + suffix).get("Contents", [])
        if self.key + suffix not in [one["Key"] for one in found]:
            return None
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=self.key + suffix)["Body"].read()
        return content

    def put(self, content: bytes, suffix: str = "") -> None:
        self.client.put_object(Bucket=BUCKET, Key=self.key + suffix, Body=content)

    def remove(self, suffix: str = "") -> None:
        self.client.delete_object(Bucket=BUCKET, Key=self.key + suffix)

    def leftovers(self) -> list[Any]:
        uploads: list[Any] = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return uploads


class Folder(Place):
    """The same on a local disk."""

    @property
    def path(self) -> str:
        return f"file://{self.folder}/{self.key}"

    def beside(self, suffix: str) -> bytes | None:
        file = self.folder / (self.key + suffix)
        return file.read_bytes() if file.exists() else None

    def put(self, content: bytes, suffix: str = "") -> None:
        file = self.folder / (self.key + suffix)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def remove(self, suffix: str = "") -> None:
        (self.folder / (self.key + suffix)).unlink()

    def leftovers(self) -> list[Any]:
        kept = (Path(self.key).name, Path(self.key).name + RECEIPT_SUFFIX)
        return [file for file in self.folder.rglob("*") if file.is_file() and file.name not in kept]
