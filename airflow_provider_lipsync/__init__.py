"""Apache Airflow provider for the Lipsync API: a picture or a video plus speech becomes a lip-synced video.

Names are loaded when they are first asked for: importing this package costs nothing at DAG parse time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AsyncLipsyncClient": "api.client",
    "LipsyncClient": "api.client",
    "LipsyncError": "exceptions",
    "LipsyncHook": "hooks.lipsync",
    "LipsyncImageMultiOperator": "operators.lipsync",
    "LipsyncImageOperator": "operators.lipsync",
    "LipsyncJobSensor": "sensors.lipsync",
    "LipsyncJobTrigger": "triggers.lipsync",
    "LipsyncToObjectStorageOperator": "transfers.object_storage",
    "LipsyncVideoOperator": "operators.lipsync",
}

__all__ = [
    "AsyncLipsyncClient",
    "LipsyncClient",
    "LipsyncError",
    "LipsyncHook",
    "LipsyncImageMultiOperator",
    "LipsyncImageOperator",
    "LipsyncJobSensor",
    "LipsyncJobTrigger",
    "LipsyncToObjectStorageOperator",
    "LipsyncVideoOperator",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
