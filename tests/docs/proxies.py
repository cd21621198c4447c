"""The proxies of `docs/webhooks/`, run from their own files; only the examples' names, ports and paths are a test's."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.docs.test_docs import ROOT
from tests.runner.config import HOST, free_ports
from tests.runner.processes import Process, clean_environment, tail
from tests.sandbox.support import wait_for
from tests.support.scripted import ScriptedServer

__all__ = ["FILES", "Proxy", "running"]

FOLDER = ROOT / "docs" / "webhooks"
FILES = ("nginx.conf", "nginx-sso.conf", "Caddyfile", "Caddyfile-sso")
_PLACES = (os.environ.get("PATH", ""), "/usr/sbin", f"{ROOT}/.proxies/usr/sbin", f"{ROOT}/.proxies/usr/bin")

_MARK = b"GET /mark HTTP/1.1\r\n\r\n"

# As Debian's own nginx.conf: it would write each request, and each error with its request, into a log.
_NGINX = """\
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    include {folder}/site.conf;
}}
"""


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs.

    :param name: its file.
    :param folder: all that it writes is in here.
    :param login: what is asked whether somebody is logged in; not asked by the proxies without a login.
    """

    name: str
    port: int
    folder: Path
    backend: ScriptedServer
    login: ScriptedServer
    context: ssl.SSLContext

    @property
    def has_login(self) -> bool:
        return "sso" in self.name

    def send(
        self, method: str, path: str, body: bytes | Iterator[bytes] = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request whose path stays as it is; an iterator as the body is sent in chunks, without a length."""
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=self.context)
        sent = {"Content-Type": "application/json", **(headers or {})}
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):  # refused before it had all been sent
            connection.request(method, path, body, sent, encode_chunked=not isinstance(body, bytes))
        try:
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (http.client.BadStatusLine, ConnectionError, ssl.SSLError):
            return 0, b""  # hung up on
        finally:
            connection.close()

    @contextmanager
    def wire(self) -> Iterator[ssl.SSLSocket]:
        """A connection on which anything can be said."""
        with (
            socket.create_connection((HOST, self.port), timeout=10) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            yield secure

    def heard(self) -> list[bytes]:
        """All that the backend was sent since the last time; what was on its way to it has arrived."""
        with socket.create_connection((HOST, int(_address(self.backend).split(":")[1])), timeout=10) as direct:
            direct.sendall(_MARK)  # it takes one connection after the other
            while direct.recv(65_536):
                pass
        found = [request for request in self.backend.requests if request != _MARK]
        self.backend.requests.clear()
        return found

    def logs(self) -> str:
        """All that it has written, wherever."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".pem")
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')}" for path in files)


@contextmanager
def running(name: str, folder: Path, backend: ScriptedServer, login: ScriptedServer) -> Iterator[Proxy]:
    """Run the proxy of one of the files, in front of a backend."""
    program = _program("nginx" if name.startswith("nginx") else "caddy")
    [port] = free_ports(1)
    context = _certificate(folder)
    adapt = _nginx if name.startswith("nginx") else _caddy
    command = [program, *adapt(name, folder, port, _address(backend), _address(login))]
    process = Process(command, env=clean_environment(folder, {}), cwd=folder, log=folder / "output.log")
    try:
        wait_for(lambda: _listens(process, port), bool)
        yield Proxy(name, port, folder, backend, login, context)
    finally:
        process.terminate()
        process.wait(3)
        process.end()


def _program(name: str) -> str:
    """Return where it is; without it, the test is skipped, but not in CI."""
    found = shutil.which(name, path=os.pathsep.join(_PLACES))
    if found is None:
        why = f"{name} is not there: `make proxies` unpacks Debian's; an installed one does as well"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    return found


def _nginx(name: str, folder: Path, port: int, backend: str, login: str) -> list[str]:
    host = "airflow.example.com" if "sso" in name else "hooks.example.com"
    changes = {
        "listen 443 ssl": f"listen {HOST}:{port} ssl",
        f"/etc/ssl/{host}.pem": f"{folder}/certificate.pem",
        f"/etc/ssl/{host}.key": f"{folder}/key.pem",
        "/var/log/nginx/": f"{folder}/",
        f"server_name {host}": "server_name localhost",
    }
    (folder / "site.conf").write_text(_changed(name, changes, backend, login))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, user=user))
    return ["-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"]


def _caddy(name: str, folder: Path, port: int, backend: str, login: str) -> list[str]:
    host = "airflow.example.com" if "sso" in name else "hooks.example.com"
    own = f"bind {HOST}\n\ttls {folder}/certificate.pem {folder}/key.pem"
    changes = {
        "auto_https disable_redirects": "admin off\n\tauto_https off",
        f"{host} {{": f"https://localhost:{port} {{\n\t{own}",
    }
    (folder / "Caddyfile").write_text(_changed(name, changes, backend, login))
    return ["run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]


def _changed(name: str, changes: dict[str, str], backend: str, login: str) -> str:
    text = (FOLDER / name).read_text()
    own = {"127.0.0.1:8080": backend} | ({"127.0.0.1:4180": login} if "sso" in name else {})
    for example, ours in (changes | own).items():
        assert example in text, example
        text = text.replace(example, ours)
    return text


def _address(server: ScriptedServer) -> str:
    return server.url.removeprefix("http://").partition("/")[0]


def _listens(process: Process, port: int) -> bool:
    assert process.alive, tail(process.log)
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _certificate(folder: Path) -> ssl.SSLContext:
    """Write a certificate for localhost and its key; return what believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    return ssl.create_default_context(cafile=str(folder / "certificate.pem"))
