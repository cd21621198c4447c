"""The search for a secret in everything that a run of Airflow wrote: all its files, and every column of its database.

Encrypted columns (the kwargs of triggers) are decrypted, compressed ones (serialized DAGs) decompressed. The row of a
trigger goes when the task resumes, and so do `next_kwargs`: search while tasks are deferred, too.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Connection, Engine, inspect, text

ALLOWED = frozenset({"connection.password"})
"""Where the key has to be, encrypted, if the connection is kept in the database."""

FERNET_TOKEN = re.compile(rb"gAAAAA[A-Za-z0-9_-]{60,}={0,2}")
MAX_LAYERS = 3
MIN_LENGTH = 8


class Airflow(Protocol):
    """What is searched; `RealAirflow` is one."""

    home: Path
    fernet_key: str

    def engine(self) -> AbstractContextManager[Engine]: ...


@dataclass(frozen=True)
class Finding:
    """One place that gives the secret away; the secret itself is not in it."""

    place: str
    """`table.column`, or `file:` and the path."""
    detail: str
    """In which form, through which layers, in which row."""


@dataclass(frozen=True)
class _Search:
    forms: dict[str, bytes]
    fernet: Fernet

    def look(self, data: bytes, *, decrypt: bool = True) -> str | None:
        """How the secret is hidden in `data`, or None."""
        for layers, content in self._unwrap(data, decrypt=decrypt):
            for form, needle in self.forms.items():
                if needle in content:
                    return " > ".join((*layers, form))
        return None

    def _unwrap(
        self, data: bytes, layers: tuple[str, ...] = (), *, decrypt: bool = True
    ) -> Iterator[tuple[tuple[str, ...], bytes]]:
        yield layers, data
        if len(layers) == MAX_LAYERS:
            return
        for layer, content in (*_decompressed(data), *(self._decrypted(data) if decrypt else ())):
            yield from self._unwrap(content, (*layers, layer))

    def _decrypted(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        for token in FERNET_TOKEN.findall(data):
            with suppress(InvalidToken):
                yield "decrypted", self.fernet.decrypt(token)


def find_secret(
    airflow: Airflow, secret: str, extra_paths: Iterable[Path] = (), *, allowed: Iterable[str] = ALLOWED
) -> list[Finding]:
    """All places with the secret, save those in `allowed` (compared with `Finding.place`)."""
    search = _Search(forms_of(secret), Fernet(airflow.fernet_key))
    places = [*_in_files(search, airflow.home, f"{airflow.home}/")]
    for path in extra_paths:
        places += _in_files(search, path, "")
    with airflow.engine() as engine, engine.connect() as connection:
        places += _in_tables(search, connection)
    return [finding for finding in places if finding.place not in set(allowed)]


def forms_of(secret: str) -> dict[str, bytes]:
    """The ways in which the secret may be written down, by name."""
    if len(secret) < MIN_LENGTH:
        raise ValueError(f"too short to search for: {len(secret)} characters")
    raw = secret.encode()
    escaped = json.dumps(secret)[1:-1]
    forms = {
        "plain": secret,
        "JSON": escaped,
        "JSON in UTF-8": json.dumps(secret, ensure_ascii=False)[1:-1],
        "JSON in JSON": json.dumps(escaped)[1:-1],
        "URL": quote(secret, safe=""),
        "URL path": quote(secret),
        "URL query": quote_plus(secret),
        "hex": raw.hex(),
    }
    forms |= {f"{name}, other case": _other_case(forms[name]) for name in ("URL", "URL path", "URL query", "hex")}
    for offset in range(3):
        core = _base64_core(raw, offset)
        forms |= {f"base64 at {offset}": core, f"base64url at {offset}": core.translate(str.maketrans("+/", "-_"))}
    return {name: form.encode() for name, form in forms.items()}


def _other_case(text: str) -> str:
    """Hexadecimal digits the other way: `%2F` as `%2f`, `ab` as `AB`."""
    if "%" in text:
        return re.sub("%..", lambda escape: escape[0].lower(), text)
    return text.upper() if re.fullmatch("[0-9a-f]+", text) else text


def _base64_core(raw: bytes, offset: int) -> str:
    """The characters that only depend on `raw`, if it stands `offset` bytes after a multiple of three."""
    encoded = base64.b64encode(bytes(offset) + raw).decode()
    return encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]


def _decompressed(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:1] == b"\x78":
        with suppress(zlib.error):
            yield "zlib", zlib.decompress(data)
    if data[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            yield "gzip", gzip.decompress(data)


def _in_files(search: _Search, root: Path, prefix: str) -> Iterator[Finding]:
    """Names of files are searched like their contents."""
    paths = sorted(root.rglob("*")) if root.is_dir() else [root]
    for number, path in enumerate(path for path in paths if path.is_file()):
        name = str(path).removeprefix(prefix)
        if how := search.look(name.encode()):
            yield Finding(f"file name {number} under {root.name}", how)
            continue
        # SQLite's own file also holds the allowed columns, encrypted; its rows are read and decrypted one by one.
        with suppress(FileNotFoundError):
            if how := search.look(path.read_bytes(), decrypt=not path.name.startswith("airflow.db")):
                yield Finding(f"file:{name}", how)


def _in_tables(search: _Search, connection: Connection) -> Iterator[Finding]:
    quoted = connection.dialect.identifier_preparer.quote
    for table in inspect(connection).get_table_names():
        for number, row in enumerate(connection.execute(text(f"SELECT * FROM {quoted(table)}")).mappings()):
            for column, value in row.items():
                if value is not None and (how := search.look(_raw(value))):
                    yield Finding(f"{table}.{column}", f"row {number}: {how}")


def _raw(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    # PostgreSQL's driver parses JSON.
    return (json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)).encode()
