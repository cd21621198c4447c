"""The Terraform of the docs: what it allows and keeps is what the page of the media says, and its pool is a pool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.test_docs import ROOT
from tests.runner.plugin import StartAirflow

MODULES = ROOT / "docs" / "terraform"
PAGE = (ROOT / "docs" / "terraform.md").read_text()
MEDIA = (ROOT / "docs" / "media.md").read_text()
needs_terraform = pytest.mark.skipif(
    shutil.which("terraform") is None or shutil.which("curl") is None, reason="terraform or curl is not installed"
)


def in_media(title: str) -> Any:
    """The JSON of a section of the page of the media."""
    text = MEDIA.split(f"### {title}\n")[1].split("\n### ")[0]
    [found] = re.findall(r"^```json\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return json.loads(found)


def policy() -> dict[str, Any]:
    template = (MODULES / "bucket" / "policy.json.tftpl").read_text()
    found: dict[str, Any] = json.loads(template.replace("${bucket}", "media"))
    return found


def bucket() -> str:
    return (MODULES / "bucket" / "main.tf").read_text()


def default_of(variable: str) -> int:
    [found] = re.findall(rf'^variable "{variable}" \{{.*?default\s+= (\d+)', bucket(), flags=re.MULTILINE | re.DOTALL)
    return int(found)


def lifecycle() -> list[dict[str, Any]]:
    """The rules of the bucket in S3's own shape, as Terraform formats them: a block each, two spaces in."""
    [resource] = re.findall(
        r'^resource "aws_s3_bucket_lifecycle_configuration" .*?^}$', bucket(), flags=re.MULTILINE | re.DOTALL
    )
    return [as_aws(rule) for rule in re.findall(r"^  rule \{\n(.*?)^  \}$", resource, flags=re.MULTILINE | re.DOTALL)]


def as_aws(rule: str) -> dict[str, Any]:
    """A rule; the days of a variable are its default."""
    said = dict(re.findall(r"^\s*(\w+)\s+= \"?([^\"\n]*)\"?$", rule, flags=re.MULTILINE))
    made: dict[str, Any] = {"ID": said["id"], "Status": said["status"], "Filter": {"Prefix": said["prefix"]}}
    if "expiration {" in rule:
        variable = said["days"].removeprefix("var.")
        return made | {"Expiration": {"Days": int(variable) if variable.isdigit() else default_of(variable)}}
    return made | {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": int(said["days_after_initiation"])}}


def test_it_allows_what_the_page_of_the_media_says_and_the_ledger() -> None:
    told = in_media("S3")["Statement"]
    *shared, ledger = policy()["Statement"]
    assert shared == told
    assert ledger == {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": "arn:aws:s3:::media/ledger/*",
    }


def test_things_are_kept_as_long_as_the_page_of_the_media_says() -> None:
    rules = lifecycle()
    assert [rule for rule in rules if rule["ID"] != "ledger"] == in_media("Retention")["Rules"]
    [ledger] = [rule for rule in rules if rule["ID"] == "ledger"]
    assert ledger["Expiration"]["Days"] >= 90  # as long as Airflow's own store


def test_the_page_tells_every_prefix_and_the_days_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)/` \|(.+)\|$", PAGE, flags=re.MULTILINE))
    allowed = {s["Resource"].split("/")[1] for s in policy()["Statement"] if "/" in s["Resource"]}
    assert set(rows) == allowed
    for name in ("days_of_videos", "days_of_ledger"):
        assert f"`{name}`, {default_of(name)}" in PAGE


Terraform = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def terraform(tmp_path: Path) -> Terraform:
    """Runs terraform on a copy of the modules; it asks nobody for anything, newer versions of itself included."""
    shutil.copytree(MODULES, tmp_path / "terraform")

    def run(module: str, *arguments: str, token: str | None = None, text: str = "") -> Any:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CHECKPOINT_DISABLE": "1", "NO_PROXY": "*"}
        return subprocess.run(
            ["terraform", *arguments],
            cwd=tmp_path / "terraform" / module,
            env=environment | ({} if token is None else {"AIRFLOW_TOKEN": token}),
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@needs_terraform
def test_terraform_reads_it_and_would_write_it_so(terraform: Terraform) -> None:
    formatted = terraform(".", "fmt", "-check", "-recursive", "-diff")
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr


@needs_terraform
def test_terraform_fills_the_policy_in_as_this_test_does(terraform: Terraform, tmp_path: Path) -> None:
    (tmp_path / "terraform" / "bucket" / "main.tf").unlink()  # it would ask for the AWS provider
    asked = terraform(
        "bucket", "console", text='jsondecode(templatefile("policy.json.tftpl", {bucket = "media"})).Statement[5]\n'
    )
    assert asked.returncode == 0, asked.stderr
    assert '"arn:aws:s3:::media/ledger/*"' in asked.stdout


@needs_terraform
@pytest.mark.airflow
def test_the_pool_is_made_changed_and_left_alone(
    terraform: Terraform, start_airflow: StartAirflow, tmp_path: Path
) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    airflow = start_airflow(dags=dags, components=("api-server",), login=True)
    answer = httpx.post(
        f"{airflow.url}/auth/token",
        json={"username": airflow.username, "password": airflow.password},
        timeout=60,
        trust_env=False,
    )
    token = answer.raise_for_status().json()["access_token"]
    values = [f"-var=airflow_url={airflow.url}/"]
    assert terraform("pool", "init", "-input=false").returncode == 0

    def apply(*more: str, token: str | None = token) -> subprocess.CompletedProcess[str]:
        return terraform("pool", "apply", "-auto-approve", "-input=false", "-no-color", *values, *more, token=token)

    without, wrong = apply(token=None), apply(token="not.a.token")
    assert (without.returncode, wrong.returncode) == (1, 1)
    assert "AIRFLOW_TOKEN: is not set" in without.stdout + without.stderr
    assert "Airflow answered 40" in wrong.stdout + wrong.stderr  # 403 in Airflow 3.3, where 401 would be expected

    made = apply()
    assert made.returncode == 0, made.stdout + made.stderr
    pool = airflow.request("GET", "/pools/lipsync")
    assert (pool["slots"], pool["include_deferred"]) == (20, True)
    again = apply()
    assert "0 added, 0 changed, 0 destroyed" in again.stdout

    assert apply("-var=slots=7").returncode == 0  # it is there already: changed, not made
    assert airflow.request("GET", "/pools/lipsync")["slots"] == 7
    state = (tmp_path / "terraform" / "pool" / "terraform.tfstate").read_text()
    assert token not in state + made.stdout + made.stderr
