"""The search for the API key finds it in every place where Airflow could have written it, and only there."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import re
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    Uuid,
    create_engine,
    insert,
    text,
)
from sqlalchemy.pool import NullPool

from tests.runner import RealAirflow
from tests.runner.plugin import DATABASES
from tests.runner.secrets import Finding, find_secret, forms_of

SECRET = 'lsk-"Planted"/Schlüssel+7f3a9c=='
# What it must be possible to find in a run, by name; the tests plant in these and in all other columns.
NAMED = {
    *("xcom.value", "rendered_task_instance_fields.rendered_fields", "task_instance.next_kwargs"),
    *("task_instance_history.next_kwargs", "task_state_store.value", "trigger.kwargs", "dag_run.conf", "log.extra"),
    *("serialized_dag.data", "serialized_dag.data_compressed", "import_error.stacktrace", "callback.data"),
    *("asset_event.extra", "variable.val", "connection.extra", "task_instance.executor_config", "dag_code.source_code"),
}


@dataclass
class Written:
    """Files and an empty database, as a search sees them."""

    home: Path
    fernet_key: str = field(default_factory=lambda: Fernet.generate_key().decode())

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        yield create_engine("sqlite://", poolclass=NullPool)


@pytest.mark.airflow
@pytest.mark.parametrize("database", DATABASES)
def test_it_is_found_in_every_column_of_every_table(database, tmp_path):
    dags = Path(__file__).with_name("dags")
    with RealAirflow(home=tmp_path, dags=dags, database=database, components=()) as airflow:
        assert find_secret(airflow, SECRET) == []
        with airflow.engine() as engine, engine.begin() as connection:
            planted = plant_everywhere(connection, Fernet(airflow.fernet_key))
        found = [finding for finding in find_secret(airflow, SECRET) if not finding.place.startswith("file:")]
        assert planted >= NAMED
        assert {finding.place for finding in found} == planted - {"connection.password"}
        assert details(found, "trigger.kwargs").endswith("decrypted > JSON")
        assert "zlib" in details(found, "serialized_dag.data_compressed")
        assert "connection.password" in {finding.place for finding in find_secret(airflow, SECRET, allowed=())}
        assert not any(form.decode() in str(found) for form in forms_of(SECRET).values())


@pytest.mark.parametrize("path", ["logs/dag_id=d/run_id=r/task_id=t/attempt=1.log", "logs-out/scheduler.log", "x.cfg"])
def test_it_is_found_in_every_file(path, tmp_path):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(f"first line\nAuthorization: Bearer {SECRET}\n")
    assert find_secret(Written(tmp_path), SECRET) == [Finding(f"file:{path}", "plain")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(json.dumps({"key": SECRET}), id="json"),
        pytest.param(json.dumps({"key": SECRET}, ensure_ascii=False), id="json in utf-8"),
        pytest.param(json.dumps(json.dumps({"key": SECRET})), id="json in json"),
        pytest.param(f"?key={quote(SECRET)}&", id="url path"),
        pytest.param(re.sub("%..", lambda escape: escape[0].lower(), quote(SECRET)), id="url with lower-case escapes"),
        pytest.param(f"?key={quote_plus(SECRET)}&", id="url query"),
        pytest.param(SECRET.encode().hex().upper(), id="hex"),
        *(pytest.param(base64.b64encode(b"x" * n + SECRET.encode() + b"y"), id=f"base64 {n}") for n in range(3)),
        pytest.param(base64.urlsafe_b64encode(b"\xfb" + SECRET.encode()), id="base64url"),
        pytest.param(zlib.compress(SECRET.encode()), id="zlib"),
        pytest.param(gzip.compress(zlib.compress(SECRET.encode())), id="zlib in gzip"),
        pytest.param(pickle.dumps({"key": SECRET}), id="pickle"),
    ],
)
def test_it_is_found_in_every_form(tmp_path, content):
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere").write_bytes(content if isinstance(content, bytes) else content.encode())
    [finding] = find_secret(Written(tmp_path / "home"), SECRET, [tmp_path / "elsewhere"])
    assert finding.place == f"file:{tmp_path}/elsewhere"


def test_it_is_found_encrypted_with_the_key_of_this_airflow_only(tmp_path):
    written = Written(tmp_path)
    (tmp_path / "other").write_bytes(Fernet(Fernet.generate_key()).encrypt(SECRET.encode()))
    assert find_secret(written, SECRET) == []
    (tmp_path / "own").write_bytes(b"kwargs: " + Fernet(written.fernet_key).encrypt(SECRET.encode()))
    assert find_secret(written, SECRET) == [Finding("file:own", "decrypted > plain")]


def test_it_is_found_in_the_name_of_a_file_and_not_repeated(tmp_path):
    (tmp_path / "lsk-planted").touch()
    [finding] = find_secret(Written(tmp_path), "lsk-planted")
    assert "lsk-planted" not in str(finding)


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="too short to search for: 3 characters"):
        forms_of("abc")


def details(findings: list[Finding], place: str) -> str:
    return next(finding.detail for finding in findings if finding.place == place)


def plant_everywhere(connection: Connection, fernet: Fernet) -> set[str]:
    """A row in every table, with the secret in every column that can hold it; `table.column` of each comes back."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET session_replication_role = replica"))  # no foreign keys, as on SQLite
    metadata = MetaData()
    metadata.reflect(connection)
    planted = set()
    for table in metadata.tables.values():
        values = {column.name: planting(column, fernet) for column in table.columns}
        connection.execute(insert(table).values(values))
        planted |= {f"{table.name}.{name}" for name, value in values.items() if is_planted(value)}
    return planted


def planting(column: Column[Any], fernet: Fernet) -> Any:
    """The secret as Airflow would write it in this column; any other value where it does not fit."""
    place = f"{column.table.name}.{column.name}"
    if place in {"trigger.kwargs", "connection.password"}:
        return fernet.encrypt(json.dumps({"key": SECRET}).encode()).decode()
    if place == "serialized_dag.data_compressed":
        return zlib.compress(json.dumps(SECRET).encode())
    if isinstance(column.type, LargeBinary):
        return pickle.dumps(SECRET)
    if isinstance(column.type, Uuid):
        return uuid.uuid4()
    if isinstance(column.type, JSON):
        return {"key": SECRET}
    if (python_type := column.type.python_type) is str:
        return SECRET if (column.type.length or 1000) >= len(SECRET) else "x"
    return {datetime: datetime(2030, 1, 1, tzinfo=UTC), int: 4321, bool: False, float: 0.5}[python_type]


def is_planted(value: Any) -> bool:
    return isinstance(value, dict | bytes) or (isinstance(value, str) and value != "x")
