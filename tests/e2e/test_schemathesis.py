"""Generated requests, valid and not, against a real server: no 5xx, no undocumented answer."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench.serving import Server

REPORT = Path(__file__).parents[2] / "bench" / "schemathesis.md"
STREAMS = (
    "/events/stream",
    "/api/events/stream",
    "/api/operations/{id}/stream",
    "/api/v1/incident/session/{session_id}/stream",
)
"""They have tests of their own: most have no end, and a stream's schema is taken for that of each event."""
SERVED_TWICE = "^/(api/v1/)?connector/"
"""Operations that need a connector's token; `/api/v1/traffic` serves the same table without one."""
SOAK_CASES = 20_000
CONFIGURATION = """
[[operations]]
# Two ways of saying the same instant exclude one another, which is not described.
include-path-regex = "^/tasks/submit$"
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "5xx"]

[[operations]]
# As published, a target that nobody registered is 400; no description can tell which targets there are.
include-path-regex = "^/api/v1/execute/"
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "429", "5xx"]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "502", "504"]

[[operations]]
# Agents that are registered here do not exist: what depends on them fails as documented.
include-path-regex = "/restart$"
[operations.checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "502", "504"]

[[operations]]
# What can be the name of an object, and whether a workflow can be used, is not to be described.
include-path-regex = "^/api/v1/incident/(analyze|workflows)"
[operations.checks]
positive_data_acceptance.expected-statuses = [
  "2xx", "400", "401", "403", "404", "409", "422", "429", "5xx",
]

[[operations]]
# Whether an If-Match still holds is not to be described.
include-path-regex = "/weights?$"
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412", "429", "5xx"]

[[operations]]
# Which services, instances and objects there are is not to be described, nor what their templates need.
include-path-regex = "^/(api/(?!v1/)|manifests)"
[operations.checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "429", "5xx"]

[[operations]]
# A deployment that fails is answered with 500, as published.
include-path-regex = "^/api/(up|update|down|rollback|plan)$"
[operations.checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "500"]
"""
SETTINGS: dict[str, object] = {
    "log.format": "json",
    "conductor.cluster": "sandbox",
    "conductor.manifests": str(Path(__file__).parents[2] / "examples" / "guestbook" / "manifests"),
    "conductor.wait_s": 0.02,
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_generated_requests_get_documented_answers(tmp_path: Path) -> None:
    report = run_schemathesis(tmp_path, seed=1, examples=3)
    assert report["test_cases"]["generated"] >= 500, report["test_cases"]


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_twenty_thousand_generated_requests_get_documented_answers(tmp_path: Path) -> None:
    generated, operations, seconds = 0, 0, 0.0
    seeds: list[int] = []
    version = ""
    while generated < SOAK_CASES:
        seed = 100 + len(seeds)
        folder = tmp_path / str(seed)
        folder.mkdir()
        report = run_schemathesis(folder, seed, examples=75)
        generated += report["test_cases"]["generated"]
        version = report["schemathesis_version"]
        operations = report["operations"]["tested"]
        seconds += report["running_time"]
        seeds.append(seed)
    REPORT.write_text(
        "# Generated requests\n\n"
        f"Written by `make soak`: schemathesis {version}, all checks, all phases, "
        f"seeds {', '.join(map(str, seeds))}, against a running server on SQLite.\n\n"
        "| operations | cases | failures | errors | s |\n|---:|---:|---:|---:|---:|\n"
        f"| {operations} | {generated:,} | 0 | 0 | {seconds:.0f} |\n"
    )


def run_schemathesis(folder: Path, seed: int, examples: int) -> dict[str, Any]:
    """Run it against a fresh server; assert no failure and a server that lives. Return its report."""
    server = Server(folder / "data", settings=SETTINGS).start()
    try:
        report, said = start(server, folder, seed, examples)
        log = server.running.output.read_text(errors="replace")
        # First, because it says why.
        for sign in ("Traceback", "request_failed", "request failed"):
            assert sign not in log, log[max(0, log.index(sign) - 500) :][:8_000]
        assert not report["failures"], said
        assert not report["errors"], said
        assert report["operations"]["tested"] == report["operations"]["selected"] > 0, said
        assert urllib.request.urlopen(f"{server.url}/health", timeout=5).status == 200
    finally:
        server.stop()
    return report


def start(server: Server, folder: Path, seed: int, examples: int) -> tuple[dict[str, Any], str]:
    file = folder / "report.json"
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    program = str(Path(sys.executable).parent / "schemathesis")
    command = [program, "run", f"{server.url}/openapi.json", "--checks", "all", "--no-color", "--no-shrink"]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure"]
    command += ["--request-timeout", "10", "--generation-database", "none"]
    command += ["--report", "json", "--report-json-path", str(file), "--suppress-health-check", "all"]
    command += ["--exclude-path-regex", SERVED_TWICE]
    for path in STREAMS:
        command += ["--exclude-path", path]
    hooks = {"SCHEMATHESIS_HOOKS": "e2e.schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **hooks}, capture_output=True, text=True, check=False
    )
    said = done.stdout[-200_000:] + done.stderr[-4_000:]
    assert file.exists(), said
    report: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    return report, said
