"""Connections cut, delayed and deafened: from replicas to the database, from callers to the balancer."""

import random
import socket
import time
from pathlib import Path

from e2e.chaos.faults import Fault
from e2e.chaos.sites import ReplicatedSite
from support.postgres import FAST, PostgresServer
from support.relay import Relay

WHILE_S = (0.3, 2.0)
DELAY_S = (0.02, 0.1)
"""Of every piece of data on its way; a unit of work takes some five ways."""


def networked_postgres() -> PostgresServer:
    """Start a server that listens on a port of the loopback, so that a relay can stand before it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return PostgresServer({**FAST, "listen_addresses": "127.0.0.1", "port": str(port)})


class NetworkedSite(ReplicatedSite):
    """Replicas that reach the database, and callers and workers that reach the replicas, over relays."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self.inner = Relay(lambda: postgres.port)
        self.outer = Relay(lambda: int(self.replicas.url.rpartition(":")[2]))
        super().__init__(folder, postgres, f"postgresql://postgres@127.0.0.1:{self.inner.port}/postgres")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.outer.port}"

    def relay(self, chance: random.Random) -> Relay:
        return chance.choice([self.inner, self.outer])

    def close(self) -> None:
        super().close()
        self.inner.close()
        self.outer.close()


def cut(site: NetworkedSite, chance: random.Random) -> None:
    """Reset every connection once."""
    site.relay(chance).cut()


def take_down(site: NetworkedSite, chance: random.Random) -> None:
    """Let nobody through for a while."""
    relay = site.relay(chance)
    relay.take_down()
    time.sleep(chance.uniform(*WHILE_S))
    relay.mend()


def deafen(site: NetworkedSite, chance: random.Random) -> None:
    """Lose every answer for a while: what was asked for is done, and nobody is told."""
    relay = site.relay(chance)
    relay.deafen()
    time.sleep(chance.uniform(*WHILE_S))
    relay.mend()


def delay(site: NetworkedSite, chance: random.Random) -> None:
    """Make everything slow for a while."""
    relay = site.relay(chance)
    relay.delay(chance.uniform(*DELAY_S))
    time.sleep(chance.uniform(*WHILE_S))
    relay.mend()


FAULTS = (
    Fault("connections cut", cut, kills=0),
    Fault("network down", take_down, kills=0),
    Fault("answers lost", deafen, kills=0),
    Fault("connections delayed", delay, kills=0),
)
