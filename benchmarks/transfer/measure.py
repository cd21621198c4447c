"""Measures the transfer beside curl and ``shutil.copyfileobj`` over httpx: a warm-up, then rounds in turn, medians."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

from benchmarks.transfer.client import touch_memory

__all__ = ["main"]

SIZE = 1 << 30  # bytes
ROUNDS = 3
_KINDS = ("curl", "copy", "ours")
Measured = dict[str, float]


def main() -> None:
    """Run all and print a table."""
    with ExitStack() as stack:
        source = stack.enter_context(_server("benchmarks.transfer.source", str(SIZE)))
        drain = stack.enter_context(_server("benchmarks.transfer.drain"))
        file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lipsync-bench-"))) / "video.mp4"
        os.environ["AIRFLOW_HOME"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="lipsync-bench-"))
        os.environ["AIRFLOW_CONN_AWS_DRAIN"] = _connection(drain)
        targets = {"a local disk": str(file), "an S3 that discards": f"s3://{drain}"}
        url = f"http://127.0.0.1:{source}/video.mp4"
        _write(f"{SIZE / 1e9:.2f} GB over loopback, a warm-up and {ROUNDS} rounds, medians\n\n")
        for name, target in targets.items():
            _report(name, _rounds(url, target, file))
        _report_cut(source, file)


def _rounds(url: str, target: str, file: Path) -> dict[str, list[Measured]]:
    measured: dict[str, list[Measured]] = {kind: [] for kind in _KINDS}
    for number in range(ROUNDS + 1):
        for kind in _KINDS:
            file.unlink(missing_ok=True)
            os.sync()
            came = _curl(url, target) if kind == "curl" else _client(kind, url, target)
            if number:
                measured[kind].append(came)
    return measured


def _report(name: str, measured: dict[str, list[Measured]]) -> None:
    def median(kind: str, what: str) -> float:
        return statistics.median(one[what] for one in measured[kind])

    speeds = {kind: SIZE / 1e6 / median(kind, "wall") for kind in _KINDS}
    cpu = {kind: median(kind, "cpu") * 1e9 / SIZE for kind in ("copy", "ours")}
    _write(f"into {name}:\n")
    told = ", ".join(f"{kind} {speed:.0f}" for kind, speed in speeds.items())
    _row("throughput, of copyfileobj", speeds["ours"] / speeds["copy"], ">= 0.9", f"MB/s: {told}")
    _row("throughput, of curl", speeds["ours"] / speeds["curl"], ">= 0.9", "")
    _row("CPU, of copyfileobj", cpu["ours"] / cpu["copy"], "<= 1.2", f"s/GB: {cpu['ours']:.2f}, {cpu['copy']:.2f}")
    _row("MB above idle", median("ours", "memory"), "<= 64", f"copyfileobj: {median('copy', 'memory'):.0f}")


def _report_cut(source: int, file: Path) -> None:
    before = _sent(source)
    _client("ours", f"http://127.0.0.1:{source}/cut/{SIZE * 9 // 10}", str(file))
    again = (_sent(source) - before) / SIZE - 1
    _write("after a cut at 90 %:\n")
    _row("% fetched again", again * 100, "<= 5", "")


def _row(figure: str, value: float, goal: str, note: str) -> None:
    sign, limit = goal.split()
    reached = value >= float(limit) if sign == ">=" else value <= float(limit)
    _write(f"  {figure:28} {value:7.2f}  goal {goal:7} {'reached' if reached else 'MISSED ':8} {note}\n")


def _client(kind: str, url: str, target: str) -> Measured:
    command = [sys.executable, "-m", "benchmarks.transfer.client", kind, url, target]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603
    measured: Measured = json.loads(said.splitlines()[-1])  # Airflow logs to the same place
    return measured


def _curl(url: str, target: str) -> Measured:
    touch_memory()
    begun = time.perf_counter()
    if target.startswith("s3://"):
        into = f"http://127.0.0.1:{target[5:]}/bucket/curl.mp4"
        with subprocess.Popen(["curl", "-s", url], stdout=subprocess.PIPE) as fetch:  # noqa: S603, S607
            subprocess.run(["curl", "-s", "-T", "-", into], check=True, stdin=fetch.stdout)  # noqa: S603, S607
    else:
        subprocess.run(["curl", "-s", "-o", target, url], check=True)  # noqa: S603, S607
    return {"wall": time.perf_counter() - begun}


@contextmanager
def _server(module: str, *arguments: str) -> Iterator[int]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _sent(source: int) -> int:
    with urlopen(f"http://127.0.0.1:{source}/sent") as answer:
        return int(answer.read())


def _connection(drain: int) -> str:
    extra = {"endpoint_url": f"http://127.0.0.1:{drain}", "region_name": "us-east-1"}
    return json.dumps({"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra})


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
