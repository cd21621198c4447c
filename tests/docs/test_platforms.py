"""The page of the platforms names what is really run: the versions that the constraints pin, and nothing managed."""

from __future__ import annotations

import re
import sys

from tests.docs.test_docs import ROOT

PAGE = (ROOT / "docs" / "platforms.md").read_text()
RUN = PAGE.split("## What was run")[1].split("\n## ")[0]


def test_the_versions_of_airflow_that_were_run_are_those_that_are_pinned() -> None:
    pinned = {
        found
        for path in (ROOT / "constraints").glob("airflow-*.txt")
        for found in re.findall(r"^apache-airflow==(\S+)$", path.read_text(), flags=re.MULTILINE)
    }
    assert len(pinned) == 3
    assert set(re.findall(r"\b3\.\d+\.\d+\b", RUN)) == pinned


def test_this_python_was_run_or_is_expected() -> None:
    named = re.findall(r"Python (3\.\d+(?:, 3\.\d+)*)", PAGE.split("Not possible")[0])
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in ", ".join(named)


def test_what_is_managed_or_distributed_is_not_said_to_have_been_run() -> None:
    """Neither MWAA nor a broker nor a cluster is among what the tests start."""
    assert [name for name in ("MWAA", "Composer", "Astronomer", "Celery", "Kubernetes", "MySQL") if name in RUN] == []
    for title in ("Celery", "Kubernetes", "Managed Airflow"):
        assert PAGE.split(f"## {title}\n")[1].lstrip().startswith("*Expected"), title
