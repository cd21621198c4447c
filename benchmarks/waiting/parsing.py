"""What a DAG file pays for importing operators: each in a fresh interpreter, in turn, the median."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterable

from benchmarks.waiting.kinds import KINDS
from benchmarks.waiting.stage import Figures, Stage

__all__ = ["STANDARD", "measure_parsing"]

STANDARD = "standard python"  # Airflow's own operator, which nearly every DAG file has
_STANDARD_MODULE = "airflow.providers.standard.operators.python"
_CODE = """
import sys, time
from airflow.sdk import DAG
known, began = set(sys.modules), time.process_time()
__import__(sys.argv[1])
print((time.process_time() - began) * 1e3, len(set(sys.modules) - known))
"""


def measure_parsing(stage: Stage, kinds: Iterable[str], rounds: int) -> dict[str, Figures]:
    """Return CPU milliseconds and new modules of each kind's operators, above ``from airflow.sdk import DAG``."""
    modules = {STANDARD: _STANDARD_MODULE}
    modules |= {kind: KINDS[kind].operators for kind in kinds if kind in KINDS and KINDS[kind].operators}
    came: dict[str, list[tuple[float, int]]] = {name: [] for name in modules}
    for number in range(rounds + 1):
        for name, module in modules.items():
            found = _import(stage, module)
            if number:  # the first one compiles
                came[name].append(found)
    return {
        name: {"cpu_ms": statistics.median(cpu for cpu, _ in found), "modules": found[0][1]}
        for name, found in came.items()
    }


def _import(stage: Stage, module: str) -> tuple[float, int]:
    environment = {name: value for name, value in stage.environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _CODE, module], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    cpu, modules = done.stdout.split()[-2:]
    return float(cpu), int(modules)
