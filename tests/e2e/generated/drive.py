"""Runs schemathesis as a part of the campaign says, against a fresh server."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from e2e.generated.parts import STREAMS, Caller, ManyListeners, Part, first_key

START_LIMIT_S = 100.0
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
# As many running tasks and lines as may be told can be more than a body may have. And a schema takes 1.0 for
# an integer, which we do in the fields of a body and not inside of its lists.
include-path-regex = "^/api/v1/agents/[^/]+/(heartbeat|tasks/[^/]+/complete)$"
[operations.checks]
positive_data_acceptance.expected-statuses = [
  "2xx", "401", "403", "404", "409", "413", "422", "429", "5xx",
]

[[operations]]
# A deployment that fails is answered with 500, as published.
include-path-regex = "^/api/(up|update|down|rollback|plan)$"
[operations.checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "500"]
"""


def run_schemathesis(folder: Path, part: Part, database: str | None = None) -> dict[str, Any]:
    """Assert no failure and a server that lives. Return the report."""
    server = ManyListeners(folder / "data", settings=part.settings(), database=database).start(START_LIMIT_S)
    try:
        key = first_key(server) if part.closed else ""
        report, said = _start(server, folder, part, part.come(server, key, folder))
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


def _start(server: ManyListeners, folder: Path, part: Part, caller: Caller) -> tuple[dict[str, Any], str]:
    file, description = folder / "report.json", folder / "openapi.json"
    # Every listener is described by the main one.
    with urllib.request.urlopen(f"{server.url}/openapi.json", timeout=30) as answer:
        description.write_bytes(answer.read())
    chosen = "".join(f"{json.dumps(name)} = {json.dumps(it)}\n" for name, it in caller.parameters.items())
    (folder / "schemathesis.toml").write_text(f"[parameters]\n{chosen}{CONFIGURATION}")
    program = str(Path(sys.executable).parent / "schemathesis")
    command = [program, "run", str(description), "--url", server.listeners[part.listener], "--checks", "all"]
    command += ["--max-examples", str(part.examples), "--seed", str(part.seed), "--continue-on-failure"]
    command += ["--request-timeout", "10", "--generation-database", "none", "--no-color", "--no-shrink"]
    command += ["--report", "json", "--report-json-path", str(file), "--suppress-health-check", "all"]
    command += ["--exclude-path-regex", part.without, "--phases", part.phases]
    command += caller.options
    command += ["--include-path-regex", part.only] if part.only else []
    command += ["--exclude-checks", caller.unchecked] if caller.unchecked else []
    for path in STREAMS:
        command += ["--exclude-path", path]
    hooks = {"SCHEMATHESIS_HOOKS": "e2e.generated.hooks", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **hooks}, capture_output=True, text=True, check=False
    )
    said = done.stdout[-200_000:] + done.stderr[-4_000:]
    (folder / "said.txt").write_text(said)
    assert file.exists(), said
    report: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    return report, said
