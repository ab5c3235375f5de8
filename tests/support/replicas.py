"""Replicas on one database behind a load balancer: `deploy/haproxy.cfg`, as an operator runs it."""

import os
import shutil
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bench.serving import Process, SecureServer

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"
COUNT = 3
"""As many as the configuration names."""
LIMIT_S = 40.0
START_LIMIT_S = 100.0
"""Three starts at once are a crowd of their own."""


class Replicas:
    """Three servers on one database, which start at the same moment, and the balancer before them.

    Skips the test where no balancer is installed.
    """

    def __init__(self, folder: Path, database: str, **settings: object) -> None:
        program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            pytest.skip("haproxy is not installed")
        named = {name.replace("__", "."): value for name, value in settings.items()}
        self.folder = folder
        self.program = program
        self.servers = [
            SecureServer(
                folder / f"replica-{number}",
                settings={"trust.authority_dir": folder / "authority", **named},
                database=database,
            )
            for number in range(1, COUNT + 1)
        ]
        self.balancer: Process | None = None
        self.url = self.tls_url = ""

    def start(self) -> "Replicas":
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait_ready(START_LIMIT_S)
        self._start_balancer()
        return self

    def close(self) -> None:
        if self.balancer is not None:
            self.balancer.kill()
        for server in self.servers:
            server.kill()

    def call(self, number: int | None, method: str, path: str, body: object = None) -> Any:
        """Ask one replica, None: the balancer. Raises HTTPError for anything but 2xx."""
        url = self.url if number is None else self.servers[number].url
        data = None if body is None else msgspec.json.encode(body)
        asked = urllib.request.Request(url + path, data=data, method=method)
        asked.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
            return msgspec.json.decode(answer.read())

    def _start_balancer(self) -> None:
        """Hand it sockets that are bound already: nobody else can take their ports meanwhile."""
        sockets = [socket.create_server(("127.0.0.1", 0), backlog=1_024) for _ in range(2)]
        plain, secure = sockets
        names = {"STELLWERK_BIND": f"fd@{plain.fileno()}", "STELLWERK_TLS_BIND": f"fd@{secure.fileno()}"}
        for number, server in enumerate(self.servers, start=1):
            names[f"REPLICA_{number}"] = f"127.0.0.1:{server.port}"
            names[f"REPLICA_{number}_TLS"] = f"127.0.0.1:{server.tls_port}"
        for one in sockets:
            os.set_inheritable(one.fileno(), True)
        self.balancer = Process(
            [self.program, "-db", "-f", str(CONFIGURATION)],
            self.folder / "haproxy.log",
            keep=[one.fileno() for one in sockets],
            environment={**os.environ, **names},
        )
        self.url = f"http://127.0.0.1:{plain.getsockname()[1]}"
        self.tls_url = f"https://127.0.0.1:{secure.getsockname()[1]}"
        for one in sockets:
            one.close()
        gives_up_at = time.monotonic() + LIMIT_S
        while not self._answers():
            assert self.balancer.alive(), self.balancer.log_end()
            assert time.monotonic() < gives_up_at, self.balancer.log_end()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self.call(None, "GET", "/ready")
        except OSError:
            return False
        return True
