"""Acknowledged work survives `kill -9` of everything that takes part, on both engines."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.kills import collect
from e2e.kills.campaign import Campaign, Report
from e2e.kills.checker import check
from e2e.kills.evidence import Evidence
from e2e.kills.soak_report import Soak

ROUNDS_OF_A_CAMPAIGN = 10


def prove(folder: Path, seed: int, rounds: int, database: str | None = None) -> tuple[Report, Evidence]:
    """Run one campaign and assert that every rule holds."""
    campaign = Campaign(folder, seed, database)
    try:
        report = campaign.run(rounds)
        evidence = gather(campaign, database)
    finally:
        campaign.close()
    trouble = [*report.refused, *filter(None, [report.undrained]), *check(evidence)]
    assert not trouble, f"seed {seed}, {len(trouble)} faults:\n" + "\n".join(trouble[:20])
    finished = Counter(task.state for task in evidence.table_tasks.values())
    assert finished["succeeded"] > len(evidence.table_tasks) / 2, finished
    return report, evidence


def gather(campaign: Campaign, database: str | None) -> Evidence:
    """Read the evidence; the server has to end gracefully."""

    def stop() -> None:
        assert campaign.server.stop() == 0, campaign.server.running.log_end()

    return collect.gather(campaign.server, database, campaign.workers, campaign.acknowledged_file, stop)


@pytest.mark.timeout(300)
def test_kills_of_server_and_workers_lose_nothing_on_sqlite(tmp_path: Path) -> None:
    prove(tmp_path, seed=1, rounds=6)


@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_kills_of_server_and_workers_lose_nothing_on_postgres(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    prove(tmp_path, seed=2, rounds=2, database=new_database())


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_hundred_rounds_on_sqlite(tmp_path: Path) -> None:
    soak(tmp_path, "SQLite", campaigns=10)


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.timeout(1_800)
def test_thirty_rounds_on_postgres(tmp_path: Path, new_database: Callable[[], str]) -> None:
    soak(tmp_path, "PostgreSQL", campaigns=3, new_database=new_database)


def soak(folder: Path, engine: str, campaigns: int, new_database: Callable[[], str] | None = None) -> None:
    """Run campaigns with seeds of their own and write what they counted."""
    total = Soak(engine)
    for number in range(campaigns):
        seed = 1_000 + number
        scratch = folder / str(seed)
        scratch.mkdir()
        started = time.monotonic()
        database = new_database() if new_database else None
        total.add(seed, *prove(scratch, seed, ROUNDS_OF_A_CAMPAIGN, database), time.monotonic() - started)
    total.write()
