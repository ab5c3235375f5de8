"""What is done to a site, each with a name for the report. Whatever is killed is killed by its pid.

A fault leaves the site so that it can come back: what was killed is started again at once, as by a
supervisor; what was cut is mended after a seeded while.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from e2e.chaos.sites import ReplicatedSite, Site
from e2e.kills.workers import MORE_WORKERS
from support.postgres import PostgresServer
from support.replicas import COUNT

PLAIN_WORKERS = [name for name, module in MORE_WORKERS.items() if module == "e2e.kills.claim_worker"]
BACK_LIMIT_S = 30.0
READY_SHARE = 0.8
"""Of the servers that are killed so many have to have served again; the others die while they start."""
OF_SERVERS = "state IS NOT NULL AND backend_type = 'client backend' AND application_name = 'stellwerk'"


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault."""

    name: str
    strike: Callable[[Any, random.Random], None]
    weight: int = 1
    kills: int = 1
    """How many processes are ended with SIGKILL by it."""


def kill_server(site: Site, chance: random.Random) -> None:
    """End one server, now and then one that is still starting."""
    server = chance.choice(list(site.servers))
    if chance.random() < READY_SHARE:
        until = time.monotonic() + BACK_LIMIT_S
        while not server.look_ready() and time.monotonic() < until:
            site.tend()
            time.sleep(0.02)
    server.kill()
    server.launch()


def kill_worker(site: Site, chance: random.Random) -> None:
    """End one worker in the middle of what it does."""
    name = chance.choice(list(MORE_WORKERS))
    site.workers.kill(name)
    site.workers.start(name)


def kill_backend(site: ReplicatedSite, chance: random.Random) -> None:
    """End one process of PostgreSQL that serves us: it ends all the others and recovers from its log."""
    pids = asyncio.run(backends(site.postgres))
    if pids:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)
    await_postgres(site.postgres)


def kill_postmaster(site: ReplicatedSite, chance: random.Random) -> None:
    """End PostgreSQL's first process; the others notice."""
    site.postgres.stop(killed=True)
    start_postgres(site.postgres)


def restart_postgres(site: ReplicatedSite, chance: random.Random) -> None:
    """Restart PostgreSQL without a checkpoint, as an impatient operator does (`-m immediate`)."""
    os.kill(site.postgres.pid, signal.SIGQUIT)
    site.postgres.stop()
    time.sleep(chance.uniform(0.0, 1.0))
    start_postgres(site.postgres)


def kill_all_workers(site: Site, chance: random.Random) -> None:
    """End all workers in the same moment."""
    for name in MORE_WORKERS:
        site.workers.kill(name)
    for name in MORE_WORKERS:
        site.workers.start(name)


def kill_plain_workers(site: Site, chance: random.Random) -> None:
    """End all workers that are not the SDK's in the same moment: they are back at once."""
    for name in PLAIN_WORKERS:
        site.workers.kill(name)
    for name in PLAIN_WORKERS:
        site.workers.start(name)


def kill_everything(site: ReplicatedSite, chance: random.Random) -> None:
    """End replicas, workers and PostgreSQL in the same moment, as a power failure does."""
    for server in site.servers:
        server.kill()
    for name in MORE_WORKERS:
        site.workers.kill(name)
    kill_postmaster(site, chance)
    for server in site.servers:
        server.launch()
    for name in MORE_WORKERS:
        site.workers.start(name)


def kill_replica_and_postmaster(site: ReplicatedSite, chance: random.Random) -> None:
    """End both in the same moment, as a machine does that both ran on."""
    server = chance.choice(list(site.servers))
    server.kill()
    kill_postmaster(site, chance)
    server.launch()


async def backends(postgres: PostgresServer) -> list[int]:
    """Return the pids of the processes that serve us."""
    try:
        connection = await asyncpg.connect(postgres.url())
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []
    try:
        rows = await connection.fetch(f"SELECT pid FROM pg_stat_activity WHERE {OF_SERVERS}")
        return [row[0] for row in rows]
    finally:
        await connection.close()


def start_postgres(postgres: PostgresServer) -> None:
    """Start it; while processes of the one before are still ending it refuses to."""
    until = time.monotonic() + BACK_LIMIT_S
    while True:
        try:
            postgres.start()
            return
        except RuntimeError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def await_postgres(postgres: PostgresServer) -> None:
    """Wait until it has recovered."""
    until = time.monotonic() + BACK_LIMIT_S
    while not postgres.answers() and time.monotonic() < until:
        time.sleep(0.05)


KILLS = (
    Fault("replica", kill_server, 3),
    Fault("worker", kill_worker, 6),
    Fault("all workers", kill_all_workers, 8, kills=len(MORE_WORKERS)),
    Fault("backend of PostgreSQL", kill_backend, 5),
    Fault("postmaster", kill_postmaster, 2),
    Fault("replica and postmaster", kill_replica_and_postmaster, 1, kills=2),
    Fault("everything", kill_everything, 1, kills=COUNT + len(MORE_WORKERS) + 1),
)
"""Of the 26 that are drawn on average, one is a power failure: it costs the time of ten others."""

KILLS_ON_ONE = (
    Fault("server", kill_server, 1),
    Fault("worker", kill_worker, 4),
    Fault("plain workers", kill_plain_workers, 8, kills=len(PLAIN_WORKERS)),
)
"""Of one server on SQLite and its workers."""
