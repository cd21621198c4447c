"""The package: what Airflow reads about it, what it exports, what it costs to import."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

import airflow_provider_lipsync
from airflow_provider_lipsync import LipsyncHook
from airflow_provider_lipsync.get_provider_info import get_provider_info

ROOT = Path(airflow_provider_lipsync.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    # The plugin's modules import the API server, whose own imports warn: tests/plugin looks at them.
    if path.name not in ("__init__.py", "__main__.py") and "plugin" not in path.parts
)


def test_the_provider_info_fits_the_installed_airflows_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_airflow_finds_the_provider() -> None:
    (found,) = [
        e for e in entry_points(group="apache_airflow_provider") if e.dist and e.dist.name == "airflow-provider-lipsync"
    ]
    assert found.load()() == get_provider_info()
    assert version("airflow-provider-lipsync") == airflow_provider_lipsync.__version__


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        pytest.param(["list"], "airflow-provider-lipsync", id="list"),
        pytest.param(["get", "airflow-provider-lipsync"], "airflow-provider-lipsync", id="get"),
        pytest.param(["hooks"], "airflow_provider_lipsync.hooks.lipsync.LipsyncHook", id="hooks"),
    ],
)
def test_airflows_command_line_shows_it(command: list[str], shown: str) -> None:
    airflow_command = [sys.executable, "-m", "airflow", "providers", *command, "--output", "json"]
    done = subprocess.run(airflow_command, capture_output=True, text=True, check=True)
    assert shown in done.stdout


def named_modules(info: Any) -> list[str]:
    return [
        module
        for room in ("operators", "sensors", "hooks", "triggers", "transfers")
        for entry in info[room]
        for module in entry.get("python-modules", [entry.get("python-module")])
    ]


def test_everything_that_the_provider_info_names_exists() -> None:
    info = get_provider_info()
    for module in named_modules(info):
        importlib.import_module(module)
    (connection,) = info["connection-types"]
    module, _, name = connection["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (connection["connection-type"], connection["hook-name"])


def test_both_forms_of_the_connection_come_from_one_definition() -> None:
    (connection,) = get_provider_info()["connection-types"]
    behaviour = LipsyncHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == connection["ui-field-behaviour"]["hidden-fields"]
    assert behaviour["relabeling"]["password"] == "API key"
    kinds = {definition["schema"]["type"][0] for definition in connection["conn-fields"].values()}
    assert kinds <= {"integer", "password", "string", "boolean"}  # all that Airflow 3.1 knows


@pytest.mark.filterwarnings("ignore:ProvidersManager")  # Airflow 3.2 warns of its own call
def test_the_connection_form_of_the_installed_airflow() -> None:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    (form,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "lipsync"]
    assert form.hook_name == "Lipsync"
    assert form.standard_fields is not None
    assert form.standard_fields.password is not None
    assert form.standard_fields.password.title == "API key"
    assert form.standard_fields.port is not None
    assert form.standard_fields.port.hidden
    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    assert {name: field["schema"]["title"] for name, field in (form.extra_fields or {}).items()} == {
        name: definition["label"] for name, definition in fields.items()
    }


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_exports_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert sorted(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, exported) for exported in module.__all__)


def test_the_public_names_load_when_they_are_asked_for() -> None:
    for name in airflow_provider_lipsync.__all__:
        assert getattr(airflow_provider_lipsync, name)
    assert dir(airflow_provider_lipsync) == sorted(airflow_provider_lipsync.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        airflow_provider_lipsync.no_such_name  # noqa: B018


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after some code."""
    script = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


BASE = "from airflow.sdk import DAG"  # what every DAG file has; "task" would load the Python operator with it
OURS = (
    "import airflow_provider_lipsync.operators.lipsync, airflow_provider_lipsync.sensors.lipsync, "
    "airflow_provider_lipsync.transfers.object_storage"
)


# Libraries of the wire, of storages and of databases, and Airflow's own heavy rooms.
HEAVY = frozenset(
    {
        *("httpx", "httpcore", "aiohttp", "anyio", "ssl", "asyncio", "email", "ipaddress", "secrets", "hashlib"),
        *("fsspec", "upath", "s3fs", "boto3", "aiobotocore", "botocore", "sqlalchemy"),
        *("av", "numpy", "starlette", "uvicorn", "airflow.models", "airflow.triggers"),
    }
)
ON_A_WORKER_ALONE = ("hooks", "triggers", "jobs.ledger", "jobs.purchase", "jobs.waiting", "jobs.keeping")
PYTHON_OPERATOR = "import airflow.providers.standard.operators.python"


@pytest.mark.parametrize("module", ["operators.lipsync", "sensors.lipsync", "transfers.object_storage"])
def test_a_dag_file_loads_no_more_for_us_than_for_the_python_operator(module: str) -> None:
    base = loaded_by(BASE)
    added = loaded_by(f"{BASE}\nimport airflow_provider_lipsync.{module}") - base
    assert f"airflow_provider_lipsync.{module}" in added
    assert len(added) <= len(loaded_by(f"{BASE}\n{PYTHON_OPERATOR}") - base)


def test_a_dag_file_that_imports_the_operators_loads_nothing_heavy() -> None:
    added = loaded_by(f"{BASE}\n{OURS}") - loaded_by(BASE)
    parents = {".".join(name.split(".")[: n + 1]) for name in added for n in range(name.count(".") + 1)}
    assert not parents & HEAVY
    for room in ON_A_WORKER_ALONE:
        assert not {name for name in added if name.startswith(f"airflow_provider_lipsync.{room}")}


def test_the_api_imports_nothing_of_airflow() -> None:
    loaded = loaded_by("import airflow_provider_lipsync.api.client, airflow_provider_lipsync.api.check")
    assert not {name for name in loaded if name == "airflow" or name.startswith("airflow.")}


@pytest.mark.parametrize(
    "room", ["api", "hooks", "jobs", "media", "operators", "plugin", "sensors", "transfers", "triggers"]
)
def test_no_room_imports_the_sandbox(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert "airflow_provider_lipsync.sandbox" not in path.read_text(), path


# From the ground up; the order is the house's law.
ROOMS = [
    *("__init__", "_airflow", "get_provider_info", "exceptions", "api", "metrics", "media", "links", "hooks", "jobs"),
    *("triggers", "operators", "sensors", "transfers", "presets", "plugin", "sandbox", "testing"),
]


def rooms_imported_by(path: Path) -> set[str]:
    """The rooms of this package that a module names in its imports, wherever in the module they stand."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    found = {name.split(".")[1] for name in names if name.startswith("airflow_provider_lipsync.")}
    return {room for room in found if room in ROOMS}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_room_imports_only_from_rooms_above_it(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert room in ROOMS
    assert {ROOMS.index(other) for other in rooms_imported_by(path)} <= set(range(ROOMS.index(room) + 1))
