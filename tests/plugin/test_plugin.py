"""What Airflow reads of the plugin, and what reading it costs all of its processes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from airflow_provider_lipsync.plugin.lipsync import PREFIX, LipsyncPlugin
from tests.plugin.conftest import Server

HEAVY = ("fastapi", "starlette", "sqlalchemy.orm", "httpx", "av", "airflow.api_fastapi", "airflow.models")


def test_airflow_finds_it() -> None:
    found = [point for point in entry_points(group="airflow.plugins") if point.name == "lipsync"]
    assert [point.load() for point in found] == [LipsyncPlugin]


def test_importing_it_imports_nothing_else_of_ours_and_nothing_heavy() -> None:
    """Measured against what Airflow's own plugin class brings with it."""
    script = """
import sys
from airflow.providers.common.compat.sdk import AirflowPlugin
before = set(sys.modules)
import airflow_provider_lipsync.plugin.lipsync
print("\\n".join(sorted(set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    brought = done.stdout.split()
    assert [name for name in brought if name.startswith(HEAVY)] == []
    ours = {name for name in brought if name.startswith("airflow_provider_lipsync.")}
    assert ours == {"airflow_provider_lipsync.plugin", "airflow_provider_lipsync.plugin.lipsync"}


def test_what_each_module_exports_is_there() -> None:
    """In a process of its own: they import Airflow's API server, which is not to be seen in other tests."""
    script = """
import importlib, pkgutil
import airflow_provider_lipsync.plugin as room
for found in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    module = importlib.import_module(found.name)
    assert module.__doc__, found.name
    if found.ispkg:
        continue
    assert sorted(module.__all__) == sorted(set(module.__all__)), found.name
    assert [name for name in module.__all__ if not hasattr(module, name)] == [], found.name
    print(found.name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) >= 25


@pytest.mark.parametrize("view", LipsyncPlugin.external_views, ids=lambda view: view["url_route"])
def test_each_view_has_what_airflow_wants_and_leads_to_a_page(view: dict[str, Any], server: Server) -> None:
    assert view["destination"] in ("task_instance", "dag_run", "nav")
    address = urlsplit(view["href"])
    assert not address.netloc
    assert f"/{address.path}".startswith(PREFIX + "/")
    assert [f"/{address.path}".removeprefix(PREFIX), "GET"] in server.call("routes")
    for name, variable in parse_qsl(address.query):
        assert variable == f"{{{name.upper()}}}"


def test_no_two_views_have_one_address() -> None:
    routes = [view["url_route"] for view in LipsyncPlugin.external_views]
    assert len(set(routes)) == len(routes) == 3


def test_airflow_serves_it_and_names_it_in_its_own_list(server: Server) -> None:
    with server.client("admin") as admin:
        answer = admin.get(f"{server.url}/api/v2/plugins", params={"limit": 100})
        assert answer.status_code == 200
        [found] = [plugin for plugin in answer.json()["plugins"] if plugin["name"] == "lipsync"]
        assert [view["name"] for view in found["external_views"]] == ["Lipsync video", "Lipsync videos", "Lipsync jobs"]
        assert [app["url_prefix"] for app in found["fastapi_apps"]] == [PREFIX]
        assert [one["name"] for one in found["fastapi_root_middlewares"]] == ["Lipsync webhooks"]
        assert admin.get("jobs").status_code == 200


def test_airflows_own_pages_and_api_are_as_they_were(ann: httpx.Client, server: Server) -> None:
    assert ann.get(f"{server.url}/api/v2/version").status_code == 200
    assert ann.get(f"{server.url}/dags").status_code == 200
