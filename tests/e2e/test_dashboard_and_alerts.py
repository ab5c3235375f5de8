"""What `deploy/grafana` and `deploy/prometheus` ask for is what a server tells."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from bench.serving import Server

from support.talking import talk

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "stellwerk.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
METRIC = re.compile(r"\b(?:stellwerk|aiagent|process)_\w+")
LABELLED = re.compile(r"\b((?:stellwerk|aiagent)_\w+)\{([^}]*)\}")
OF_PROMETHEUS = {"instance", "job", "le"}


def expressions() -> list[str]:
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return asked + [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics of a server that has done something."""
    server = Server(tmp_path_factory.mktemp("data")).start()
    agent = {"agent_id": "a1", "agent_type": "worker", "capabilities": ["c"]}
    try:
        assert talk(server.url, "POST", "/agents/register", agent)[0] < 300
        assert talk(server.url, "POST", "/tasks/submit", {"task_data": {"n": 1}})[0] < 300
        yield urllib.request.urlopen(f"{server.url}/metrics", timeout=10).read().decode()
    finally:
        server.stop()


def test_every_metric_that_is_asked_for_is_told(told: str) -> None:
    names = {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE ")}
    names |= {f"{name}_bucket" for name in names}
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(asked) > 20
    assert asked <= names


def test_every_label_that_is_asked_for_is_told(told: str) -> None:
    faults = []
    for expression in expressions():
        for name, conditions in LABELLED.findall(expression):
            labels = set(re.findall(r"(\w+)\s*[=!]", conditions)) - OF_PROMETHEUS
            if not any(
                line.startswith(f"{name}{{") and all(f'{label}="' in line for label in labels)
                for line in told.splitlines()
            ):
                faults += [(name, label) for label in labels]
    assert not faults


def test_dashboard_lays_out_no_panel_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool: Debian's package prometheus has it"
)
def test_prometheus_takes_every_expression(tmp_path: Path) -> None:
    asked = [expression.replace("$__rate_interval", "5m") for expression in expressions()]
    rules = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(asked)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    for checked in (file, DEPLOY / "prometheus" / "alerts.yaml"):
        done = subprocess.run(
            ["promtool", "check", "rules", str(checked)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
