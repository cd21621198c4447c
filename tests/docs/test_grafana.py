"""The page of the metrics, the board and the alert rules speak of the metrics that there are, by their names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.common.compat.sdk import Stats

from airflow_provider_lipsync import exceptions, metrics
from airflow_provider_lipsync.exceptions import LipsyncError
from tests.docs.test_docs import ROOT, anchors

GRAFANA = ROOT / "docs" / "grafana"
PAGE = (ROOT / "docs" / "metrics.md").read_text()
TIMERS = {"job_seconds", "detection_lag"}
GAUGES = {"in_flight"}
SERIES = re.compile(r"airflow_lipsync_(\w+)")


def in_prometheus(name: str) -> set[str]:
    """The series that a metric becomes, without their prefix."""
    if name in TIMERS:
        return {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {name} if name in GAUGES else {f"{name}_total"}


def table(title: str) -> list[list[str]]:
    """The cells of the table that begins with these titles."""
    [head] = [line for line in PAGE.splitlines() if line.startswith(f"| {title} ")]
    rows = PAGE.split(head)[1].split("\n\n")[0].strip().splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def told() -> dict[str, list[str]]:
    return {row[0].strip("`").removeprefix(metrics.PREFIX): row for row in table("metric")}


def mapping() -> list[dict[str, Any]]:
    [found] = re.findall(r"```yaml\n(mappings:.*?)```", PAGE, flags=re.DOTALL)
    return list(yaml.safe_load(found)["mappings"])


def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GRAFANA / "lipsync.json").read_text())
    return found


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in board()["panels"] if panel["type"] != "row")


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((GRAFANA / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


def expressions() -> list[str]:
    """All that is asked of Prometheus, the board's variables filled in."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [text.replace("$conn_id", ".*").replace("$model", ".*") for text in (*asked, *(r["expr"] for r in rules()))]


def named(text: str) -> set[str]:
    return set(SERIES.findall(text))


def test_the_page_tells_every_metric_and_no_other() -> None:
    assert set(told()) == metrics.NAMES
    kinds = {name: row[1] for name, row in told().items()}
    assert {name for name, kind in kinds.items() if kind == "timer"} == TIMERS
    assert {name for name, kind in kinds.items() if kind == "gauge"} == GAUGES


def test_the_page_tells_the_kind_of_every_error() -> None:
    rows = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in table("`kind`")}
    classes = [found for found in vars(exceptions).values() if isinstance(found, type)]
    expected: dict[str, set[str]] = {}
    for found in classes:
        if issubclass(found, LipsyncError):
            expected.setdefault(metrics.kind_of(found("")), set()).add(found.__name__)
    assert rows == expected
    assert set(rows) == metrics.KINDS


@pytest.mark.parametrize("name", sorted(metrics.NAMES))
def test_the_mapping_makes_the_series_that_the_board_asks_for(name: str) -> None:
    """As the exporter does it: the first rule that matches somewhere in the name wins."""
    [rule, *_] = [rule for rule in mapping() if re.search(rule["match"], f"airflow.{metrics.PREFIX}{name}")]
    groups = re.search(rule["match"], f"airflow.{metrics.PREFIX}{name}").groups()
    made = rule["name"].replace("${1}", (*groups, "")[0])
    suffixes = ("_bucket", "_sum", "_count") if rule.get("observer_type") == "histogram" else ("",)
    assert {f"{made}{suffix}" for suffix in suffixes} == {f"airflow_lipsync_{series}" for series in in_prometheus(name)}


def test_the_board_shows_every_metric_and_no_other() -> None:
    shown = named(json.dumps(board()))
    assert shown <= set().union(*map(in_prometheus, metrics.NAMES))
    assert [name for name in sorted(metrics.NAMES) if not shown & in_prometheus(name)] == []


def test_every_panel_is_titled_explained_and_asks_the_chosen_data_source() -> None:
    assert len({panel["id"] for panel in board()["panels"]}) == len(board()["panels"])
    variables = {variable["name"] for variable in board()["templating"]["list"]}
    assert variables == {"datasource", "conn_id", "model"}
    for panel in panels():
        assert panel["title"], panel
        assert panel["description"], panel["title"]
        assert panel["targets"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        assert set(re.findall(r"\$(\w+)", json.dumps(panel["targets"]))) <= {"conn_id", "model"}


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board()["panels"]:
        where = panel["gridPos"]
        cells = {(where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"])}
        assert not cells & taken, panel["title"]
        assert where["x"] + where["w"] <= 24
        taken |= cells


def test_what_is_asked_for_has_the_tags_that_the_metric_has() -> None:
    tags = {
        series: set(re.findall(r"`(\w+)`", row[3])) for name, row in told().items() for series in in_prometheus(name)
    }
    found = 0
    for text in expressions():
        for series, selector in re.findall(r"airflow_lipsync_(\w+)(?:\{([^}]*)\})?", text):
            asked = set(re.findall(r"(\w+)=", selector))
            assert asked <= tags[series], text
            found += len(asked)
        grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", text) for label in by.split(",")}
        assert grouped - {"le"} <= set().union(*(tags[series] for series in named(text))), text
    assert found


def test_every_alert_is_told_on_the_page_and_leads_into_the_runbook() -> None:
    rows = {row[0].strip("`"): row[2] for row in table("alert")}
    assert list(rows) == [rule["alert"] for rule in rules()]
    runbook = ROOT / "docs" / "runbook.md"
    for rule in rules():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (ROOT / page) == runbook
        assert anchor in anchors(runbook), rule["alert"]
        assert f"({runbook.name}#{anchor})" in rows[rule["alert"]]
        assert {"summary", "description"} <= set(rule["annotations"])
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = [
        (case["alertname"], bool(case.get("exp_alerts")))
        for test in yaml.safe_load((GRAFANA / "alerts_test.yaml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert {name for name, fires in cases if fires} == {rule["alert"] for rule in rules()}
    assert {"LipsyncNoCredits", "LipsyncUncertain", "LipsyncFailing", "LipsyncStuck"} <= {n for n, f in cases if not f}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Prometheus, is not installed")
def test_promtool_reads_the_rules_and_the_board_and_the_rules_pass_their_tests(tmp_path: Path) -> None:
    asked = tmp_path / "asked.yaml"
    recorded = [{"record": f"asked_{number}", "expr": text} for number, text in enumerate(expressions())]
    asked.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": recorded}]}))
    for command in (
        ["check", "rules", str(GRAFANA / "alerts.yaml"), str(asked)],
        ["test", "rules", str(GRAFANA / "alerts_test.yaml")],
    ):
        ran = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_in_opentelemetry_they_have_the_names_tags_and_units_that_the_page_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    logger = otel_logger()(MeterProvider(metric_readers=[reader]))
    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(Stats, name, getattr(logger, name), raising=False)
    for name in sorted(metrics.NAMES):
        tell = metrics.timing if name in TIMERS else metrics.count
        metrics.gauge(name, 3, conn_id="c") if name in GAUGES else tell(name, 2, conn_id="c", model="lipsync-image")
    [resource] = reader.get_metrics_data().resource_metrics
    came = {found.name: found for scope in resource.scope_metrics for found in scope.metrics}
    assert set(came) == {f"airflow.{metrics.PREFIX}{name}" for name in metrics.NAMES}
    for name, row in told().items():
        [point] = came[f"airflow.{metrics.PREFIX}{name}"].data.data_points
        assert {f"`{tag}`" for tag in point.attributes} <= set(row[3].split(", "))
        value = point.sum if hasattr(point, "sum") else point.value
        assert value == (3 if name in GAUGES else 2000 if name in TIMERS else 2), name


def otel_logger() -> Any:
    """Airflow's own OpenTelemetry logger."""
    try:
        from airflow.sdk._shared.observability.metrics.otel_logger import SafeOtelLogger
    except ImportError:  # Airflow 3.1
        from airflow.metrics.otel_logger import SafeOtelLogger
    return SafeOtelLogger
