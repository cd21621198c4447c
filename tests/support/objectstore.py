"""moto's S3 over real HTTP, with a bucket, and the connection that Airflow reads from the environment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

__all__ = ["BUCKET", "aws_connection", "objectstore"]

BUCKET = "lipsync-media"
_LOGIN = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
_SERVE = """
import signal
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port}", flush=True)
signal.pause()
"""


def aws_connection(url: str) -> str:
    """A connection in the JSON form that Airflow reads from the environment."""
    extra = {"endpoint_url": url, "region_name": _LOGIN["region_name"]}
    login = {"login": _LOGIN["aws_access_key_id"], "password": _LOGIN["aws_secret_access_key"]}
    return json.dumps({"conn_type": "aws", **login, "extra": extra})


@contextmanager
def objectstore() -> Iterator[tuple[str, Any]]:
    """Serve S3 on a free loopback port; yield its URL and a client, with the bucket made.

    In a process of its own, because all of moto's servers within one process show the same objects.
    """
    with subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().decode().strip()
            assert url, "moto's server did not start"
            client = boto3.client("s3", endpoint_url=url, **_LOGIN)
            client.create_bucket(Bucket=BUCKET)
            yield url, client
        finally:
            server.kill()
