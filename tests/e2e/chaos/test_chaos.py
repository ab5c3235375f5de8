"""Whatever fails, what was acknowledged is done, and done once: slices of scenarios, and the long form."""

import time
from pathlib import Path

import pytest

from e2e.chaos.campaign import Bounds, Report, run
from e2e.chaos.checker import check
from e2e.chaos.evidence import ChaosEvidence
from e2e.chaos.faults import KILLS
from e2e.chaos.sites import ReplicatedSite
from e2e.chaos.soak_report import Soak
from support.postgres import PostgresServer

THROUGH_RESTARTS = Bounds(half_within_s=5.0, all_within_s=90.0)
"""A caller whose server and database are killed waits for both to come back, more than once perhaps."""
FIRST_SEED = 6_000
KILLS_IN_ALL = 500
STRIKES_OF_A_CAMPAIGN = 88
STRIKES_LIMIT_S = 700.0
"""After so long a campaign goes on to its end, on however slow a machine."""


def prove(report: Report, evidence: ChaosEvidence) -> None:
    """Assert that every rule holds."""
    trouble = [*report.trouble, *check(evidence)]
    assert not trouble, f"seed {report.seed}, {len(trouble)} faults:\n" + "\n".join(trouble[:20])
    assert len(evidence.shared.acknowledged) > 10
    assert evidence.followed


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_kills_of_replicas_workers_and_postgres_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    postgres = PostgresServer()
    try:
        site = ReplicatedSite(tmp_path, postgres, postgres.url())
        prove(*run(site, 1, KILLS, strikes=len(KILLS), bounds=THROUGH_RESTARTS))
    finally:
        postgres.remove()


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.timeout(3_600)
def test_five_hundred_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    total = Soak("Kills of replicas, workers and PostgreSQL")
    seed = FIRST_SEED
    while total.kills < KILLS_IN_ALL:
        postgres = PostgresServer()
        try:
            site = ReplicatedSite(tmp_path / str(seed), postgres, postgres.url())
            until = time.monotonic() + STRIKES_LIMIT_S
            report, evidence = run(
                site, seed, KILLS, strikes=STRIKES_OF_A_CAMPAIGN, bounds=THROUGH_RESTARTS, until=until
            )
        finally:
            postgres.remove()
        prove(report, evidence)
        total.add(report, evidence)
        seed += 1
