"""A strict local Lipsync API over real HTTP, for trying DAGs at no cost; imports nothing of Airflow."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_lipsync.sandbox.app import create_app
    from airflow_provider_lipsync.sandbox.server import SandboxServer
    from airflow_provider_lipsync.sandbox.settings import Settings

__all__ = ["SandboxServer", "Settings", "create_app", "verify_extra"]

_HOMES = {"SandboxServer": "server", "Settings": "settings", "create_app": "app"}
_EXTRA = ("av", "numpy", "starlette", "uvicorn")  # what the extra `sandbox` installs


def verify_extra() -> None:
    """Check, without importing it, that what the sandbox runs on is installed.

    :raises ImportError: something is missing; the message says what, and the command that installs it.
    """
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the Lipsync sandbox needs {', '.join(missing)}: pip install 'airflow-provider-lipsync[sandbox]'"
        )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    verify_extra()
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
