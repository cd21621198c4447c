"""moto's S3 over real HTTP, with a bucket, and the connection that Airflow reads from the environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

__all__ = ["BUCKET", "aws_connection", "objectstore"]

BUCKET = "lipsync-media"
_LOGIN = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}


def aws_connection(url: str) -> str:
    """A connection in the JSON form that Airflow reads from the environment."""
    extra = {"endpoint_url": url, "region_name": _LOGIN["region_name"]}
    login = {"login": _LOGIN["aws_access_key_id"], "password": _LOGIN["aws_secret_access_key"]}
    return json.dumps({"conn_type": "aws", **login, "extra": extra})


@contextmanager
def objectstore() -> Iterator[tuple[str, Any]]:
    """Serve S3 on a free loopback port; yield its URL and a client, with the bucket made."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **_LOGIN)
        client.create_bucket(Bucket=BUCKET)
        yield f"http://{host}:{port}", client
    finally:
        server.stop()
