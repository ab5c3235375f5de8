"""A site as an operator has it: the processes of `stellwerk serve` with TLS and of agents, and the command
line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.serving import Process, Server
from typer.testing import CliRunner

from stellwerk.cli.main import app

PROGRAM = str(Path(sys.executable).parent / "stellwerk")
LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    status: int
    out: str
    err: str


@dataclass
class Site:
    """One server and whoever joined; `stop` ends all of them."""

    folder: Path
    server: Server
    agents: list[Process] = field(default_factory=list)

    @classmethod
    def start(cls, folder: Path, **settings: object) -> "Site":
        """Start a server with a TLS listener on free ports."""
        named = {"server.tls_port": 0, **{name.replace("__", "."): one for name, one in settings.items()}}
        return cls(folder, Server(folder / "plane", settings=named).start())

    @property
    def tls(self) -> str:
        """Address of the TLS listener."""
        return str(json.loads(self.server.ready_file.read_text())["listeners"]["tls"])

    def command(self, *words: str, value: str = "") -> Said:
        """Run the command line against the server; `value` is its standard input.

        In this process: Python's start and the imports would be most of what these tests take.
        """
        environment = {"STELLWERK_SERVER": self.server.url, "COLUMNS": "200"}
        done = CliRunner().invoke(app, words, input=value, env=environment)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return Said(done.exit_code, done.stdout, done.stderr)

    def good(self, *words: str, value: str = "") -> str:
        """Run a command that must succeed; return what it printed."""
        said = self.command(*words, value=value)
        assert said.status == 0, said
        return said.out

    def background(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command and do not wait for it. It can be interrupted, even where the tests cannot be
        because a shell started them in the background."""
        environment = os.environ | {"STELLWERK_SERVER": self.server.url}
        return subprocess.Popen(
            ["env", "--default-signal=INT", PROGRAM, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )

    def join(self, name: str, *options: str, docker_host: str = "unix:///nonexistent") -> Process:
        """Make a token, run the very command that is printed with it, and wait until the agent is online."""
        told = self.command("token", "create", "--agent", "--name", name, "--address", self.tls)
        assert told.status == 0, told
        printed = re.search(r"^ *stellwerk (agent run .*)$", told.err, re.MULTILINE)
        assert printed is not None, told.err
        agent = self.run_agent(name, *printed[1].split()[2:], *options, docker_host=docker_host)
        self.until(lambda: self.state(name) in ("online", "degraded"), f"{name} to join", agent)
        return agent

    def run_agent(self, name: str, *options: str, docker_host: str = "unix:///nonexistent") -> Process:
        """Start an agent in its own folder; again, with its identity."""
        folder = ["--data-dir", str(self.folder / name)]
        where = [] if "--server" in options else ["--server", self.tls]
        command = [PROGRAM, "agent", "run", *where, *folder, "--docker-host", docker_host, *options]
        agent = Process(command, self.folder / f"{name}.log")
        self.agents.append(agent)
        return agent

    def read(self, path: str) -> Any:
        """GET something, past the command line."""
        with urllib.request.urlopen(f"{self.server.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def change(self, path: str, **said: Any) -> Any:
        """PATCH something, past the command line."""
        request = urllib.request.Request(
            f"{self.server.url}{path}",
            json.dumps(said).encode(),
            {"content-type": "application/json"},
            method="PATCH",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def state(self, name: str) -> str:
        """Return how an agent stands; empty where it is unknown."""
        rows = self.read("/api/v1/agents")
        return next((str(one["status"]) for one in rows if one["name"] == name), "")

    def until(self, holds: Callable[[], Any], what: str, agent: Process | None = None) -> None:
        """Wait for something, within a limit."""
        gives_up_at = time.monotonic() + LIMIT_S
        while not holds():
            assert agent is None or agent.alive(), agent.log_end()
            assert time.monotonic() < gives_up_at, f"waited for {what}: {self.server.running.log_end()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """End every process."""
        for agent in self.agents:
            if agent.alive():
                agent.popen.send_signal(signal.SIGTERM)
        for agent in self.agents:
            agent.stop()
        self.server.stop()
