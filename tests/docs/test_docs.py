"""What the docs show works: links lead somewhere, Python runs, names of files and targets exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from airflow.sdk import DAG

from airflow_provider_lipsync import exceptions
from airflow_provider_lipsync.hooks.settings import read_connection
from airflow_provider_lipsync.jobs.outcome import LipsyncResult
from airflow_provider_lipsync.media.receipt import Receipt

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if re.match(r"[a-z]+://", target):
            assert target.startswith("https://"), target
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def blocks(language: str) -> list[tuple[Path, str]]:
    return [
        (page, code)
        for page in PAGES
        for code in re.findall(rf"^ *```{language}\n(.*?)^ *```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    ]


def undented(code: str) -> str:
    indent = len(code) - len(code.lstrip(" "))
    return "\n".join(line[indent:] for line in code.splitlines())


@pytest.mark.parametrize(
    ("page", "code"), blocks("python"), ids=lambda value: named(value) if isinstance(value, Path) else ""
)
def test_python_runs(page: Path, code: str) -> None:
    if "retry_policy" in code:
        pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="retry policies came with Airflow 3.3")
    known = "from airflow_provider_lipsync import *\nimage = audio = 'https://host/file'\n"
    with DAG("docs"):
        exec(compile(known + undented(code), str(page), "exec"), {})


def test_the_connections_in_the_docs_can_be_read() -> None:
    texts = [found for page in PAGES for found in re.findall(r"LIPSYNC_DEFAULT='(\{.*?\})'", page.read_text())]
    assert len(texts) >= 3
    for text in texts:
        described = json.loads(text)
        conn = type(
            "Conn", (), {"conn_id": "c", "schema": None, "port": None, "extra_dejson": {}, "host": None} | described
        )
        conn.password = described["password"].replace("…", "key")  # type: ignore[attr-defined]
        assert read_connection(conn()).target.base_url.endswith("/api/v1")  # type: ignore[arg-type]


def test_every_target_of_make_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"(?:`|^ *)make ([a-z][a-z-]*)\b", page.read_text(), flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), (page, target)


def test_every_error_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    silent = {"LipsyncError", "LipsyncPollFault", "Charged", "Video"}
    assert [name for name in exceptions.__all__ if name not in silent and f"`{name}`" not in page] == []


def test_every_row_of_will_this_charge_me_names_its_tests() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    table = page.split("| what happens |")[1].split("\n\n")[0].splitlines()[2:]
    tests = {
        found
        for path in (ROOT / "tests").rglob("test_*.py")
        for found in re.findall(r"def (test_\w+)", path.read_text())
    }
    topics = (
        "retry",
        "clear",
        "clear downstream",
        "backfill",
        "mark failed",
        "worker lost",
        "timeout",
        "changed input",
    )
    assert [topic for topic in topics if not any(row.startswith(f"| {topic}") for row in table)] == []
    for row in table:
        named_here = re.findall(r"`(test_\w+)`", row)
        assert named_here, row
        assert set(named_here) <= tests, row


def test_the_json_in_the_docs_is_json() -> None:
    found = [json.loads(code) for _, code in blocks("json")]
    assert len(found) >= 3


def test_the_receipt_in_the_docs_is_one_and_each_of_its_keys_is_told() -> None:
    page = (ROOT / "docs" / "media.md").read_text()
    [shown] = [code for found, code in blocks("json") if found.name == "media.md" and '"lipsync-receipt"' in code]
    receipt = Receipt.from_bytes(shown.encode())
    assert json.loads(receipt.as_bytes()) == json.loads(shown)
    table = page.split("| key | type | meaning |")[1].split("\n\n")[0]
    assert [key for key in json.loads(shown) if f"`{key}`" not in table] == []


def test_every_key_of_the_result_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "operators.md").read_text()
    assert [key for key in LipsyncResult.__annotations__ if f"`{key}`" not in page] == []
