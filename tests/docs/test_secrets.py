"""Each form in which the page keeps the connection leads to the same connection, by Airflow's own reading and ours."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
from airflow_provider_lipsync.hooks.settings import read_connection
from tests.docs.test_docs import ROOT
from tests.runner.processes import clean_environment
from tests.support.objectstore import objectstore

PAGE = (ROOT / "docs" / "secrets.md").read_text()
VARIABLE = "AIRFLOW_CONN_LIPSYNC_DEFAULT"
SHOWN_KEY, KEY = "sk_…", "sk_0000_key"
LEDGER = "s3://aws_default@media/ledger"
ASK = """
import json
from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
settings = LipsyncHook().settings
print(json.dumps([settings.target.base_url, settings.target.api_key, settings.ledger_path]))
"""


def section(title: str) -> str:
    [found] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def shown(title: str, language: str) -> list[str]:
    """The blocks of a section, with a key that a request could have."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", section(title), flags=re.MULTILINE | re.DOTALL)
    return [code.replace(SHOWN_KEY, KEY) for code in found]


def command(title: str) -> list[str]:
    [line] = shown(title, "bash")
    return shlex.split(line.replace("\\\n", ""))


def configured(title: str) -> tuple[str, dict[str, Any]]:
    """The backend of a section's airflow.cfg, and what it is made with."""
    [text] = shown(title, "ini")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser["secrets"]["backend"], json.loads(parser["secrets"]["backend_kwargs"])


def variables() -> list[str]:
    exports = [line for block in shown("Environment variable", "bash") for line in block.splitlines()]
    return [shlex.split(line)[1].removeprefix(f"{VARIABLE}=") for line in exports]


def uris() -> list[str]:
    return re.findall(r"`(lipsync://[^`]+)`", section("Environment variable").replace(SHOWN_KEY, KEY))


@pytest.mark.parametrize("value", [*variables(), *uris()])
def test_the_environment_variable_is_read_by_the_hook(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    settings = LipsyncHook().settings
    assert settings.target.api_key == KEY
    assert settings.target.base_url == "https://lipsync.studio/api/v1"
    assert settings.ledger_path == (LEDGER if "ledger_path" in value else None)
    assert settings.max_credits_per_job == (200 if "max_credits_per_job" in value else None)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with objectstore() as (url, _):
        yield url


@pytest.mark.parametrize("process", ["", "server"], ids=["as a worker reads it", "as the API server reads it"])
def test_the_secret_of_aws_is_read_by_airflows_own_backend(aws: str, process: str, tmp_path: Path) -> None:
    made = command("AWS Secrets Manager")
    name, secret = made[made.index("--name") + 1], made[made.index("--secret-string") + 1]
    backend, arguments = configured("AWS Secrets Manager")
    login = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_ENDPOINT_URL": aws}
    put_secret(aws, arguments["region_name"], name, secret)
    environment = {
        **login,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__SECRETS__BACKEND": backend,
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(arguments),
        **({"_AIRFLOW_PROCESS_CONTEXT": process} if process else {}),
    }
    ran = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env=clean_environment(tmp_path, environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == ["https://lipsync.studio/api/v1", KEY, LEDGER]
    assert KEY not in ran.stderr


def put_secret(url: str, region: str, name: str, secret: str) -> None:
    client = boto3.client(
        "secretsmanager",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    if not client.list_secrets(Filters=[{"Key": "name", "Values": [name]}])["SecretList"]:
        client.create_secret(Name=name, SecretString=secret)


def test_what_the_policy_of_aws_allows_is_the_secret_that_is_made_and_the_pattern_finds_it() -> None:
    [policy] = shown("AWS Secrets Manager", "json")
    [statement] = json.loads(policy)["Statement"]
    allowed = re.fullmatch(r"arn:aws:secretsmanager:\*:\*:secret:(.+)\*", statement["Resource"]).group(1)
    made = command("AWS Secrets Manager")
    name = made[made.index("--name") + 1]
    _, arguments = configured("AWS Secrets Manager")
    assert name == f"{arguments['connections_prefix']}/{LipsyncHook.default_conn_name}"
    assert name.startswith(allowed)
    assert re.match(arguments["connections_lookup_pattern"], LipsyncHook.default_conn_name)


def test_what_vault_hands_on_is_the_connection_and_stands_where_the_backend_looks() -> None:
    """By the source of the backend, which is not installed here."""
    put = command("Vault")
    backend, arguments = configured("Vault")
    assert backend == "airflow.providers.hashicorp.secrets.vault.VaultBackend"
    assert f"-mount={arguments['mount_point']}" in put
    assert f"{arguments['connections_path']}/{LipsyncHook.default_conn_name}" in put
    fields = dict(word.split("=", 1) for word in put if "=" in word and not word.startswith("-"))
    [handed_on] = shown("Vault", "json")
    assert json.loads(handed_on) == {**fields, "password": KEY}
    verify(Connection.from_json(handed_on, conn_id="lipsync_default"))


def test_the_secret_of_kubernetes_becomes_the_variable() -> None:
    made = command("Kubernetes secret")
    [text] = shown("Kubernetes secret", "yaml")
    [entry] = yaml.safe_load(text)["secret"]
    assert entry["envName"] == VARIABLE
    assert made[:5] == ["kubectl", "create", "secret", "generic", entry["secretName"]]
    assert made[5].startswith(f"--from-file={entry['secretKey']}=")


def test_the_body_for_airflows_api_is_one_that_it_takes() -> None:
    from airflow.api_fastapi.core_api.datamodels.connections import ConnectionBody

    [text] = shown("Airflow's database", "json")
    body = ConnectionBody.model_validate_json(text).model_dump()
    fields = {name: body[name] for name in ("conn_type", "password", "extra")}
    assert body["connection_id"] == LipsyncHook.default_conn_name
    verify(Connection.from_json(json.dumps(fields), conn_id="lipsync_default"))


def verify(conn: Any) -> None:
    assert conn.conn_type == LipsyncHook.conn_type
    settings = read_connection(conn)
    assert (settings.target.api_key, settings.ledger_path) == (KEY, LEDGER)
