"""The control plane with its TLS listener, and agents that reach it through relays, as processes."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from bench.seeds import call
from bench.serving import Process, Server

from support.relay import Relay

STELLWERK = str(Path(sys.executable).parent / "stellwerk")


class Plane(Server):
    """`stellwerk serve --tls-port`; keeps both ports over restarts."""

    tls_port = 0

    def command(self, ready_file: Path) -> list[str]:
        return [*super().command(ready_file), "--tls-port", str(self.tls_port)]

    def look_ready(self) -> bool:
        if not super().look_ready():
            return False
        listeners = msgspec.json.decode(self.ready_file.read_bytes())["listeners"]
        self.tls_port = urlsplit(listeners["tls"]).port or 0
        return True


class Machine:
    """One machine with an agent: its folder, its connection, its process."""

    def __init__(self, plane: Plane, name: str, folder: Path, options: list[str]) -> None:
        self.plane = plane
        self.name = name
        self.home = folder / name
        self.log = folder / f"{name}.log"
        self.relay = Relay(lambda: plane.tls_port)
        self.options = options
        self.process: Process | None = None

    def join(self) -> None:
        """Make a token for it and start it."""
        made: dict[str, Any] = call(self.plane, "POST", "/api/v1/admin/agent-tokens", {"name": self.name})
        self.options += ["--token", made["token"], "--ca-sha256", made["caSha256"]]
        self.start()

    def start(self) -> None:
        """Start the agent's process."""
        command = [STELLWERK, "agent", "run", "--server", f"https://127.0.0.1:{self.relay.port}"]
        command += ["--name", self.name, "--data-dir", str(self.home), *self.options]
        self.process = Process(command, self.log)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def stop(self) -> int:
        """End it with SIGTERM; return its status."""
        return 0 if self.process is None else self.process.stop()

    @property
    def journal(self) -> Path:
        """Where it remembers its tasks."""
        return self.home / "tasks.db"

    def close(self) -> None:
        """Leave nothing running."""
        self.kill()
        self.relay.close()
