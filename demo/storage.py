"""An S3 server of our own (moto, in a thread, in memory), and the Airflow connection that leads to it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["BUCKET", "Storage", "start_storage"]

BUCKET = "lipsync-media"
REGION = "us-east-1"
# moto takes any credentials; Airflow and s3fs want some.
CREDENTIALS = {"login": "demo", "password": "demo-secret"}


@dataclass(frozen=True)
class Storage:
    """A running S3 server with one empty bucket.

    :param url: of the server.
    """

    url: str

    @property
    def connection(self) -> str:
        """The connection ``aws_default``, as ``AIRFLOW_CONN_AWS_DEFAULT`` takes it."""
        extra = {"region_name": REGION, "endpoint_url": self.url}
        return json.dumps({"conn_type": "aws", **CREDENTIALS, "extra": extra})

    @property
    def root(self) -> str:
        """The bucket as an ``ObjectStoragePath``, for the Variable ``lipsync_storage``."""
        return f"s3://aws_default@{BUCKET}"

    def keys(self) -> list[str]:
        """Return the names of all objects."""
        return [item["Key"] for item in self._client().list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        content: bytes = self._client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def put(self, key: str, content: bytes) -> str:
        """Store an object, and return its path as the operators take it."""
        self._client().put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"{self.root}/{key}"

    def create_bucket(self) -> None:
        self._client().create_bucket(Bucket=BUCKET)

    def _client(self) -> Any:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["login"],
            aws_secret_access_key=CREDENTIALS["password"],
            config=Config(proxies={}, retries={"total_max_attempts": 2}),
        )


@contextmanager
def start_storage() -> Iterator[Storage]:
    """Start the server on a free loopback port; its content goes with it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        storage = Storage(f"http://{host}:{port}")
        storage.create_bucket()
        yield storage
    finally:
        server.stop()
