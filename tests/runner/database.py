"""A metadata database for one run: a file for SQLite, a database of its own on the PostgreSQL server.

Also a script (`python database.py NAME`): the guard, which creates the PostgreSQL database and drops it when its owner
closes the pipe or dies.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

POSTGRESQL_SERVER = os.environ.get("TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")


@contextmanager
def metadata_database(kind: str, home: Path) -> Iterator[str]:
    """The SQLAlchemy URL (with a synchronous driver) of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{home}/airflow.db"
    elif kind == "postgresql":
        with _guarded(f"airflow_test_{uuid.uuid4().hex[:12]}") as name:
            server = urlsplit(POSTGRESQL_SERVER)
            yield server._replace(scheme="postgresql+psycopg2", path=f"/{name}").geturl()
    else:
        raise ValueError(f"database must be 'sqlite' or 'postgresql', not {kind!r}")


def patience_with_locks(component: str, url: str) -> dict[str, str]:
    """The environment that tells a component how many seconds to wait while another writes to SQLite.

    Long, for a scheduler that gives up dies. The API server is short of patience: it waits in its event loop, and what
    it waits for may be a request of its own that needs this very loop to commit. It answers 500, and nobody is hurt.
    """
    if not url.startswith("sqlite"):
        return {}
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"{url}?timeout={2 if component == 'api-server' else 60}"}


def is_postgresql_reachable() -> bool:
    server = urlsplit(POSTGRESQL_SERVER)
    try:
        with socket.create_connection((server.hostname, server.port or 5432), timeout=2):
            return True
    except OSError:
        return False


@contextmanager
def _guarded(name: str) -> Iterator[str]:
    command = [sys.executable, "-I", __file__, name]
    environment = os.environ | {"TEST_POSTGRESQL": POSTGRESQL_SERVER}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
    ) as guard:
        if not guard.stdout.readline():
            raise RuntimeError(f"could not create a database on {urlsplit(POSTGRESQL_SERVER).netloc}")
        try:
            yield name
        finally:
            guard.stdin.close()
            guard.wait(60)


def _guard(name: str) -> None:
    import psycopg2

    connection = psycopg2.connect(POSTGRESQL_SERVER)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
        try:
            sys.stdout.write("created\n")
            sys.stdout.flush()
            sys.stdin.buffer.read()
        finally:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    connection.close()


if __name__ == "__main__":
    _guard(sys.argv[1])
