"""Agents with the published SDK, as processes."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from bench.serving import Process, Server

from e2e.published.environment import sdk_python
from support.talking import talk

PROGRAM = Path(__file__).parent / "agent.py"
START_S = 120.0
"""The SDK loads for some seconds of a processor, and may have to share it."""


class SdkNode:
    """One process of an agent; keeps its port over restarts."""

    def __init__(
        self, server: Server, folder: Path, version: str = "1.0.0", node_id: str = "hello", key: str = ""
    ) -> None:
        self.server = server
        self.log = folder / f"{node_id}-{version}.log"
        self.version = version
        self.node_id = node_id
        self.key = key
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: Process | None = None

    @property
    def running(self) -> Process:
        assert self.process is not None
        return self.process

    def start(self) -> "SdkNode":
        """Start it without waiting."""
        environment = {
            **os.environ,
            "NODE_ID": self.node_id,
            "NODE_VERSION": self.version,
            "NODE_PORT": str(self.port),
            "AGENTFIELD_SERVER": self.server.url,
            "AGENTFIELD_STRICT_PORT": "true",
            # Its model library would ask the network for a price list.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        environment.pop("PYTHONPATH", None)
        if self.key:
            environment["AGENTFIELD_API_KEY"] = self.key
        self.process = Process(self.command(), self.log, environment=environment)
        return self

    def command(self) -> list[str]:
        """Return the words that start it."""
        return [str(sdk_python()), str(PROGRAM)]

    def health(self) -> str | None:
        """Tell how the control plane shows this version; None if it does not."""
        headers = {"X-API-Key": self.key} if self.key else {}
        status, body, _ = talk(self.server.url, "GET", f"/api/v1/nodes/{self.node_id}", headers=headers)
        if status != 200:
            return None
        shown: list[dict[str, Any]] = body["instances"]
        return next((one["health_status"] for one in shown if one["version"] == self.version), None)

    def wait(self, health: str = "active", limit_s: float = START_S) -> "SdkNode":
        """Wait until the control plane shows it so."""
        until = time.monotonic() + limit_s
        while (now := self.health()) != health:
            assert time.monotonic() < until, (now, self.running.log_end())
            assert health != "active" or self.running.alive(), self.running.log_end()
            time.sleep(0.05)
        return self
