"""Celery with Redis and procrastinate beside us, in turn in the same run, with trivial tasks of equal size.

One process submits and one consumer process works off, as with us, but that Celery's consumer forks one
child a core (its usual pool) and that its greenlets are tried too. Its end is counted when the queue is
empty, which is a little before its last task has ended: the error is in its favour.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from bench.cases.delivery import work_off
from bench.cases.replicas import on_postgres
from bench.environment import NotInstalled, python_with
from bench.figures import Figure, Goal, skipped
from bench.measure import Bench
from bench.postgres import NoPostgres, durable_postgres
from bench.redis import Durability, NoRedis, Redis
from bench.seeds import register
from bench.serving import Process, Server

PEERS = Path(__file__).parents[1] / "peers"
LOCK = PEERS / "requirements.lock"
OURS = "Stellwerk, SQLite"
CELERY = "Celery"
AGENTS = 10
LIMIT_S = 120.0
LOOK_S = 0.05
POOLS = {"prefork": ("prefork", "2"), "gevent": ("gevent", "64")}

Round = Callable[[int], tuple[float, float]]
"""Runs one round of so many tasks; returns what was submitted and what was worked off in a second."""


class Stuck(RuntimeError):
    """Nothing moved within the limit."""


def peers(bench: Bench) -> None:
    """All of them, one round of each after the other."""
    try:
        python = python_with(LOCK, "bench-peers")
    except NotInstalled as missing:
        bench.add(skipped("peers", str(missing)))
        return
    with ExitStack() as stack:
        contenders: dict[str, Round] = {}
        for add in (ours, celery, procrastinate):
            try:
                contenders |= add(bench, stack, python)
            except (NoRedis, NoPostgres) as missing:
                bench.add(skipped(add.__name__, str(missing)))
        count = 500 if bench.quick else 4_000
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(bench.rounds):
            for name, run in contenders.items():
                rounds[name].append(run(count))
    show(bench, rounds)


def show(bench: Bench, rounds: dict[str, list[tuple[float, float]]]) -> None:
    for name, found in rounds.items():
        for what, number in (("submit", 0), ("end to end", 1)):
            rates = [one[number] for one in found]
            bench.add(Figure(f"{what}, {name}", median(rates), "tasks/s", min(rates), max(rates)))
    quickest = [name for name in rounds if name.startswith(f"{CELERY} without durability")]
    if not quickest:
        return
    ratios = [
        ours[1] / max(rounds[name][number][1] for name in quickest)
        for number, ours in enumerate(rounds[OURS])
    ]
    bench.add(
        Figure(
            "end to end, times the quickest Celery without durability",
            median(ratios),
            "",
            min(ratios),
            max(ratios),
            goal=Goal(4),
            note="ours is durable; in the same run, round by round",
        )
    )


def ours(bench: Bench, stack: ExitStack, _: Path) -> dict[str, Round]:
    """SQLite, every commit fsynced; ten agents over WebSocket."""
    server = bench.server("beside-peers")
    stack.callback(server.stop)
    register(server, range(AGENTS))
    return {OURS: _working(server)}


def _working(server: Server) -> Round:
    def run(count: int) -> tuple[float, float]:
        # Several times as many, so that a round takes about as long as theirs.
        worked = work_off([server], AGENTS, count * 4, f"beside-{time.monotonic_ns()}")
        return worked.submitted_per_second, worked.per_second

    return run


def celery(bench: Bench, stack: ExitStack, python: Path) -> dict[str, Round]:
    """As fast as it gets, with greenlets, and as lasting as it gets."""

    def against(durability: Durability, pool: str, lasting: str) -> Round:
        redis = Redis(bench.folder / f"redis-{durability}-{pool}-{lasting}", durability)
        stack.callback(redis.stop)
        environment = {**os.environ, "BROKER": redis.url, "LASTING": lasting}
        kind, width = POOLS[pool]
        log = bench.folder / f"celery-{durability}-{pool}.log"
        command = [str(python), "-m", "celery", "-A", "celery_app", "worker", "-P", kind, "-c", width]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"]

        def left() -> int:
            return redis.ask("LLEN", "celery") + max(0, redis.ask("HLEN", "unacked"))

        load = [str(python), "celery_load.py"]
        return lambda count: _round([*load, str(count)], command, environment, log=log, left=left)

    return {
        f"{CELERY} without durability, prefork": against("no", "prefork", "0"),
        f"{CELERY} without durability, gevent": against("no", "gevent", "0"),
        "Celery, late acknowledgement, results, synced each second": against("everysec", "prefork", "1"),
        "Celery, late acknowledgement, results, synced always": against("always", "prefork", "1"),
    }


def procrastinate(bench: Bench, stack: ExitStack, python: Path) -> dict[str, Round]:
    """Beside one replica of ours on the same PostgreSQL, both durable."""
    postgres = durable_postgres()
    stack.callback(postgres.remove)
    (server,) = stack.enter_context(on_postgres(bench, postgres.url(), 1))
    register(server, range(AGENTS))
    _ask(postgres.url(), "create database peer")
    environment = {**os.environ, "DATABASE": postgres.url("peer")}
    program = [str(python), "procrastinate_run.py"]
    subprocess.run([*program, "schema"], cwd=PEERS, env=environment, check=True, capture_output=True)

    def left() -> int:
        asked = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"
        return int(_ask(postgres.url("peer"), asked))

    def run(count: int) -> tuple[float, float]:
        log = bench.folder / "procrastinate.log"
        return _round([*program, "load", str(count)], [*program, "work"], environment, log=log, left=left)

    return {"Stellwerk, PostgreSQL": _working(server), "procrastinate, the same PostgreSQL": run}


def _ask(url: str, statement: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _round(
    load: list[str], work: list[str], environment: dict[str, str], *, log: Path, left: Callable[[], int]
) -> tuple[float, float]:
    """Start a consumer, see it work, then submit; return the rates of submission and of both."""
    count = int(load[-1])
    consumer = Process(work, log, environment=environment, cwd=PEERS)
    try:
        _submit([*load[:-1], "10"], environment)
        _until_empty(left, consumer)
        first, last = _submit(load, environment)
        ended = _until_empty(left, consumer)
    finally:
        consumer.stop()
    return count / (last - first), count / (ended - first)


def _submit(load: list[str], environment: dict[str, str]) -> tuple[float, float]:
    done = subprocess.run(load, cwd=PEERS, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    first, last = done.stdout.split()
    return float(first), float(last)


def _until_empty(left: Callable[[], int], consumer: Process) -> float:
    gives_up_at = time.perf_counter() + LIMIT_S
    while left():
        if time.perf_counter() > gives_up_at or not consumer.alive():
            raise Stuck(f"{left()} left; {consumer.log_end(500)}")
        time.sleep(LOOK_S)
    return time.perf_counter()
