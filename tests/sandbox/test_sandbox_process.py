"""The command line: how it starts, what it says, how it ends, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from airflow_provider_lipsync.sandbox.server import bind
from tests.sandbox.conftest import Media
from tests.sandbox.support import wait_for, write_picture, write_wav

MODULE = "airflow_provider_lipsync.sandbox"
LINE = re.compile(r"^Lipsync sandbox on (http://127\.0\.0\.1:\d+)/api/v1 \(.*state in memory, lost at exit\)\n$")


@contextmanager
def _running(*arguments: str, folder: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = os.environ | ({} if folder is None else {"TMPDIR": str(folder)})
    command = [sys.executable, "-m", MODULE, "--port", "0", *arguments]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], 30)
            assert readable, "it said nothing"
            match = LINE.match(process.stdout.readline())
            assert match is not None
            yield process, match[1]
        finally:
            process.kill()


def _post(url: str, key: str, form_state: dict[str, object]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/api/v1/lipsync-image", json={"formState": form_state}, headers=headers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with _running("--canned", "--key", "sk_a", "--key", "sk_b") as (process, url):
        form_state = {"image": "http://a.invalid/b", "audio": "http://a.invalid/c"}
        assert [_post(url, key, form_state).status_code for key in ("sk_a", "sk_b", "sk_c")] == [200, 200, 401]
        process.send_signal(number)
        assert process.wait(5) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_a_signal_during_rendering_ends_children_and_removes_files(media: Media, tmp_path: Path) -> None:
    picture = media.url(write_picture(media.folder / "big.png", 1600, 900))
    sound = media.url(write_wav(media.folder / "long.wav", (120, 0.5)))
    with _running("--seconds-low", "0", "--seconds-high", "1", folder=tmp_path) as (process, url):
        for _ in range(4):
            _post(url, "sk_sandbox_key", {"image": picture, "audio": sound})
        parent = psutil.Process(process.pid)
        children = wait_for(lambda: parent.children(recursive=True), bool)
        assert list(tmp_path.iterdir())
        process.terminate()
        assert process.wait(5) == 0
        assert [child for child in children if _is_alive(child)] == []
        assert list(tmp_path.iterdir()) == []


def test_children_do_not_outlive_a_sandbox_that_was_killed(media: Media, tmp_path: Path) -> None:
    picture = media.url(write_picture(media.folder / "big.png", 1600, 900))
    sound = media.url(write_wav(media.folder / "long.wav", (120, 0.5)))
    with _running("--speed", "1000", folder=tmp_path) as (process, url):
        _post(url, "sk_sandbox_key", {"image": picture, "audio": sound})
        children = wait_for(lambda: psutil.Process(process.pid).children(recursive=True), bool)
        process.kill()
        process.wait(5)
        wait_for(lambda: [child for child in children if _is_alive(child)], lambda alive: not alive, within=5)


def test_its_output_and_log_hold_no_key_and_no_query_string() -> None:
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-m", MODULE, "--port", "0", "--canned", "--key", "sk_very_secret"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = LINE.match(line)
            assert match is not None
            url = match[1]
            body = {"image": "http://a.invalid/b?token=hush", "audio": "http://a.invalid/c", "prompt": "sk_very_secret"}
            job_id = _post(url, "sk_very_secret", body).json()["id"]
            httpx.get(f"{url}/api/v1/jobs/{job_id}?token=hush", headers={"Authorization": "Bearer sk_wrong_one"})
            process.terminate()
            process.wait(5)
        log.seek(0)
        said = line + log.read()
    assert "POST /api/v1/lipsync-image 200" in said
    for secret in ("sk_very_secret", "sk_wrong_one", "hush"):
        assert secret not in said


def test_a_port_in_use_is_one_clear_line() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = _run("--port", str(port))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == f"lipsync sandbox: cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--speed", "0"), "speed: must be a number above 0", id="speed"),
        pytest.param(("--seconds-low", "9", "--seconds-high", "3"), "job_seconds: must be", id="seconds"),
        pytest.param(("--key", ""), "keys: at least one is needed", id="key"),
        pytest.param(("--port", "70000"), "must be from 0 to 65535", id="port"),
        pytest.param(("--host", "192.0.2.1", "--port", "0"), "cannot listen on 192.0.2.1:0", id="host"),
    ],
)
def test_wrong_arguments_are_one_clear_line(arguments: tuple[str, ...], message: str) -> None:
    result = _run(*arguments)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("missing", ["av", "numpy", "starlette", "uvicorn"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(missing: str) -> None:
    code = f"import sys, runpy; sys.modules[{missing!r}] = None; sys.argv[1:] = ['--port', '0']; "
    result = _python(code + f"runpy.run_module({MODULE!r}, run_name='__main__')")
    assert result.returncode == 1
    assert result.stderr == (
        f"lipsync sandbox: the Lipsync sandbox needs {missing}: pip install 'airflow-provider-lipsync[sandbox]'\n"
    )


@pytest.mark.parametrize("module", ["", ".server", ".app"])
def test_a_missing_extra_is_named_to_importers_too(module: str) -> None:
    name = "SandboxServer" if module != ".app" else "create_app"
    code = "import sys; sys.modules['uvicorn'] = sys.modules['starlette'] = None; "
    result = _python(code + f"from {MODULE}{module} import {name}")
    assert "pip install 'airflow-provider-lipsync[sandbox]'" in result.stderr


def test_the_server_loads_neither_airflow_nor_the_media_libraries() -> None:
    code = (
        f"import sys, json; from {MODULE} import SandboxServer; SandboxServer(canned=True).start().stop(); "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    result = _python(code)
    loaded = set(json.loads(result.stdout))
    assert "starlette" in loaded
    assert not loaded & {"airflow", "av", "numpy"}


def test_a_host_that_is_not_loopback_is_warned_of() -> None:
    command = [sys.executable, "-m", MODULE, "--port", "0", "--canned", "--host", "0.0.0.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("Lipsync sandbox on http://0.0.0.0:")
        process.terminate()
        assert "0.0.0.0 is not a loopback address" in process.stderr.read()


def test_help_names_every_option() -> None:
    text = _run("--help").stdout
    for option in ("--host", "--port", "--key", "--speed", "--seconds-low", "--seconds-high", "--canned", "--fault"):
        assert option in text


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", MODULE, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
