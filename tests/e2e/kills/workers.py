"""The workers of a campaign, as processes: each keeps a ledger outside of the product."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.serving import Process

from e2e.kills.ledger import Execution, read_executions

WORKERS = {
    "sdk-1": "e2e.kills.sdk_worker",
    "sdk-2": "e2e.kills.sdk_worker",
    "claim-1": "e2e.kills.claim_worker",
}
"""Names and the modules that they run."""
MORE_WORKERS = {**WORKERS, **{f"claim-{number}": "e2e.kills.claim_worker" for number in (2, 3, 4)}}
"""For those who kill workers more often than anything else: these start quickly."""


class Workers:
    """Starts them, kills them, and reads what they wrote."""

    def __init__(self, folder: Path, modules: Mapping[str, str] = WORKERS) -> None:
        self.folder = folder
        self.modules = modules
        self.url = ""
        self.running: dict[str, Process] = {}

    def start_all(self, url: str) -> None:
        """Start every worker at this address."""
        self.url = url
        for name in self.modules:
            self.start(name)

    def start(self, name: str) -> None:
        """Start one, again under its name."""
        command = [sys.executable, "-m", self.modules[name], self.url, name, str(self.ledger(name))]
        path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        self.running[name] = Process(command, self.folder / f"{name}.log", environment=environment)

    def kill(self, name: str) -> None:
        """End one with SIGKILL."""
        self.running[name].kill()

    def stop(self) -> None:
        """End all of them gracefully."""
        for worker in self.running.values():
            worker.stop()

    def close(self) -> None:
        """Leave nothing running."""
        for worker in self.running.values():
            worker.kill()

    def ledger(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def executions(self) -> list[Execution]:
        """Read every step of every run."""
        files = [self.ledger(name) for name in self.modules]
        return [entry for file in files if file.exists() for entry in read_executions(file)]
