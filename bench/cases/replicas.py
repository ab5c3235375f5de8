"""Two replicas on one PostgreSQL, without a balancer: half of the agents and half of the submissions at each.

A task goes to whichever agent is free, so half of what is submitted at one is delivered at the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from bench.cases.delivery import Worked, work_off
from bench.figures import Figure, Goal, skipped
from bench.measure import Bench
from bench.postgres import NoPostgres, durable_postgres
from bench.seeds import register
from bench.serving import Server

AGENTS = 10
NOTE = "fsync and synchronous_commit on; PostgreSQL on the same machine, its processor time not counted"


def replicas(bench: Bench) -> None:
    """One replica and two, in turn."""
    case = "end to end, PostgreSQL, two replicas"
    try:
        postgres = durable_postgres()
    except NoPostgres as missing:
        bench.add(skipped(case, str(missing)))
        return
    count = 1_000 if bench.quick else 8_000
    rounds: dict[int, list[Worked]] = {1: [], 2: []}
    try:
        with on_postgres(bench, postgres.url(), 2) as servers:
            register(servers[0], range(AGENTS))
            for number in range(bench.rounds):
                for many in (1, 2):
                    task_type = f"replicas-{many}-{number}"
                    rounds[many].append(work_off(servers[:many], AGENTS // many, count, task_type))
    finally:
        postgres.remove()
    for many, name, goal in ((1, "end to end, PostgreSQL, one replica", None), (2, case, Goal(1_200))):
        found = [one.per_second for one in rounds[many]]
        bench.add(
            Figure(
                name,
                median(found),
                "tasks/s",
                min(found),
                max(found),
                server_us=median(one.server_us for one in rounds[many]),
                goal=goal,
                note=NOTE,
            )
        )


@contextmanager
def on_postgres(bench: Bench, database: str, count: int) -> Iterator[list[Server]]:
    """Start servers on one database."""
    servers = [
        Server(
            bench.folder / f"replica-{number}",
            settings={"trust.authority_dir": bench.folder / "authority"},
            database=database,
        )
        for number in range(count)
    ]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()
