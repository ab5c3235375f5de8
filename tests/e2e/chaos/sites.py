"""What a scenario stands on: servers, the workers at their address, and what keeps them running.

A site also does what an operator's supervisor does: a server that has ended is started again.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.serving import NotReady, Server

from e2e.kills.workers import MORE_WORKERS, Workers
from support.postgres import PostgresServer
from support.replicas import Replicas

SETTINGS: Mapping[str, object] = {
    "work.ack_deadline_s": 3,
    "work.lease_s": 5,
    "work.reconnect_grace_s": 1.5,
    "work.retry_base_s": 0.1,
    "work.retry_cap_s": 0.5,
    "work.sweep_s": 0.2,
    "fleet.heartbeat_interval_s": 1,
}
READY_LIMIT_S = 120.0
"""Generous: a machine that is short of processors is no fault."""


class Site:
    """Servers on one database, and workers."""

    def __init__(self, folder: Path, servers: Sequence[Server], database: str | None) -> None:
        self.folder = folder
        self.servers = servers
        self.database = database
        self.workers = Workers(folder, MORE_WORKERS)
        self.started_again = 0

    @property
    def url(self) -> str:
        """Where callers and workers go."""
        return self.servers[0].url

    @property
    def reader(self) -> Server:
        """The server that is asked what the API shows in the end."""
        return self.servers[0]

    def start(self) -> None:
        """Start everything and wait until it serves."""
        for server in self.servers:
            server.start(READY_LIMIT_S)
        self.workers.start_all(self.url)

    def tend(self) -> None:
        """Start again what has ended by itself, as a supervisor does."""
        for server in self.servers:
            if not server.running.alive():
                self.started_again += 1
                server.launch()
        for name in self.workers.modules:
            if not self.workers.running[name].alive():
                self.started_again += 1
                self.workers.start(name)

    def wait_ready(self) -> None:
        """Wait until every server serves, started again where it had to be."""
        until = time.monotonic() + READY_LIMIT_S
        while not all(server.look_ready() and server.running.alive() for server in self.servers):
            self.tend()
            if time.monotonic() > until:
                raise NotReady(self.logs())
            time.sleep(0.05)

    def stop(self) -> list[str]:
        """Stop the servers gracefully; tell which did not."""
        return [
            f"{server.data_dir.name} ended with {status}: {server.running.log_end(800)}"
            for server in self.servers
            if (status := server.stop()) != 0
        ]

    def logs(self) -> str:
        return "\n".join(server.running.log_end(1_500) for server in self.servers)

    def close(self) -> None:
        """Leave nothing running."""
        self.workers.close()
        for server in self.servers:
            server.kill()


class ReplicatedSite(Site):
    """Three replicas on PostgreSQL behind the load balancer."""

    def __init__(self, folder: Path, postgres: PostgresServer, database: str) -> None:
        named = {name.replace(".", "__"): value for name, value in SETTINGS.items()}
        self.replicas = Replicas(folder, database, **named)
        self.postgres = postgres
        super().__init__(folder, self.replicas.servers, database)

    @property
    def url(self) -> str:
        return self.replicas.url

    def start(self) -> None:
        self.replicas.start()
        self.workers.start_all(self.url)

    def close(self) -> None:
        self.workers.close()
        self.replicas.close()


def single(folder: Path, **settings: object) -> Site:
    """Make a site of one server on SQLite."""
    return Site(folder, [Server(folder / "data", settings={**SETTINGS, **settings})], None)
