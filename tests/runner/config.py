"""The airflow.cfg of one run: everything on loopback, quick where waiting shows nothing, unchanged where races live."""

from __future__ import annotations

import configparser
import json
import random
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

HOST = "127.0.0.1"
# Below the range from which systems give ports to whoever asks for port 0, so that nobody gets one of these in the
# seconds between the choice and the moment when Airflow listens.
PORTS = range(15_000, 32_000)

# Sections and options of which nothing depends on the run. Durations are in seconds.
FIXED: dict[str, dict[str, object]] = {
    "core": {
        "executor": "LocalExecutor",
        "parallelism": 8,  # the workers are forked at once, at every start of the scheduler
        "load_examples": False,
        "hostname_callable": "socket.gethostname",  # the default asks DNS
        "min_serialized_dag_update_interval": 1,
        "simple_auth_manager_users": "admin:admin",
    },
    "api": {"workers": 1, "maximum_page_limit": 1000},
    "scheduler": {"scheduler_idle_sleep_time": 0.2},
    # An API server that others keep busy answers later than the usual 5; a task whose start it missed would fail.
    "workers": {"execution_api_timeout": 60},
    # A trigger of a killed triggerer is taken over only when that one's last heartbeat is older than the threshold.
    "triggerer": {"job_heartbeat_sec": 2, "triggerer_health_check_threshold": 10},
    "dag_processor": {"refresh_interval": 5, "bundle_refresh_check_interval": 1},
    "logging": {"colored_console_log": False},
}


@dataclass(frozen=True)
class Settings:
    """What a run is made of, before anything is started."""

    home: Path
    bundles: dict[str, Path]
    """DAG folders by the name of their bundle."""
    database_url: str
    login: bool
    """Ask for a password; otherwise everybody is an admin."""
    port: int
    fernet_key: str = field(default_factory=lambda: Fernet.generate_key().decode(), repr=False)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def write(self) -> None:
        """Write airflow.cfg and the file of passwords."""
        for folder in (self.home / "logs-out", self.home / "plugins"):
            folder.mkdir(parents=True, exist_ok=True)
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_dict(self._options())
        with (self.home / "airflow.cfg").open("w") as file:
            parser.write(file)
        self._passwords.write_text(json.dumps({"admin": self.password}))

    @property
    def _passwords(self) -> Path:
        return self.home / "passwords.json"

    def _options(self) -> dict[str, dict[str, str]]:
        options = {section: dict(values) for section, values in FIXED.items()}
        for section, values in self._of_this_run().items():
            options.setdefault(section, {}).update(values)
        # Airflow interpolates its file, so a percent sign is written twice.
        return {
            section: {key: str(value).replace("%", "%%") for key, value in values.items()}
            for section, values in options.items()
        }

    def _of_this_run(self) -> dict[str, dict[str, object]]:
        return {
            "core": {
                "dags_folder": next(iter(self.bundles.values())),
                "fernet_key": self.fernet_key,
                "execution_api_server_url": f"{self.url}/execution/",
                "simple_auth_manager_all_admins": not self.login,
                "simple_auth_manager_passwords_file": self._passwords,
            },
            "database": self._database(),
            "api": {"host": HOST, "port": self.port, "base_url": self.url, "secret_key": secrets.token_urlsafe(64)},
            "api_auth": {"jwt_secret": secrets.token_urlsafe(64)},
            "dag_processor": {"dag_bundle_config_list": json.dumps(self._bundle_list())},
            "logging": self._log_servers(),
        }

    def _database(self) -> dict[str, object]:
        options: dict[str, object] = {"sql_alchemy_conn": self.database_url}
        if self.database_url.startswith("postgresql"):
            options["sql_alchemy_conn_async"] = self.database_url.replace("+psycopg2", "+asyncpg")
        return options

    def _bundle_list(self) -> list[dict[str, object]]:
        local = "airflow.dag_processing.bundles.local.LocalDagBundle"
        return [
            {"name": name, "classpath": local, "kwargs": {"path": str(path)}} for name, path in self.bundles.items()
        ]

    def _log_servers(self) -> dict[str, object]:
        """Ports where nobody listens: the log servers are left out, for they bind to every address there is."""
        worker, trigger = free_ports(2)
        return {"worker_log_server_port": worker, "trigger_log_server_port": trigger}


def name_bundles(dags: Path | Sequence[Path]) -> dict[str, Path]:
    """A bundle for each folder; the first has Airflow's usual name."""
    folders = [dags] if isinstance(dags, Path) else list(dags)
    names = ["dags-folder", *(f"dags-folder-{number}" for number in range(2, len(folders) + 1))]
    return dict(zip(names, (folder.resolve(strict=True) for folder in folders), strict=True))


def free_ports(count: int) -> list[int]:
    """Different loopback ports where nobody listens now."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            return found
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)):
                found.append(port)
    raise OSError("no free port")
