"""Whatever fails, what was acknowledged is done, and done once: slices of scenarios, and the long form."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from e2e.chaos import clock, crowd, databases, disk, network
from e2e.chaos.campaign import Bounds, Report, run
from e2e.chaos.checker import check
from e2e.chaos.evidence import ChaosEvidence
from e2e.chaos.faults import KILLS, KILLS_ON_ONE, Fault
from e2e.chaos.sites import ReplicatedSite, Site, single
from e2e.chaos.soak_report import Soak
from support.postgres import PostgresServer
from support.standby import Pair

THROUGH_RESTARTS = Bounds(half_within_s=5.0, all_within_s=120.0)
"""A caller whose server and database are killed waits for both to come back, more than once perhaps."""
IN_A_CROWD = Bounds(half_within_s=2.0, all_within_s=20.0)
"""Nothing is killed here, so whoever waits long waits for the crowd; two cores may be shared with others."""
FIRST_SEED = 6_000
KILLS_IN_ALL = 500
STRIKES_OF_A_CAMPAIGN = 110
STRIKES_OF_A_SCENARIO = 24
STRIKES_LIMIT_S = 700.0
"""After so long a campaign goes on to its end, on however slow a machine."""


def prove(report: Report, evidence: ChaosEvidence) -> None:
    """Assert that every rule holds."""
    trouble = [*report.trouble, *check(evidence)]
    assert not trouble, f"seed {report.seed}, {len(trouble)} faults:\n" + "\n".join(trouble[:20])
    assert len(evidence.shared.acknowledged) > 10
    assert evidence.followed


@contextmanager
def replicated(folder: Path) -> Iterator[Site]:
    """Three replicas on a PostgreSQL of their own."""
    postgres = PostgresServer()
    try:
        yield ReplicatedSite(folder, postgres, postgres.url())
    finally:
        postgres.remove()


@contextmanager
def paired(folder: Path) -> Iterator[Site]:
    """Three replicas on a primary with a standby."""
    pair = Pair()
    try:
        yield databases.PairedSite(folder, pair)
    finally:
        pair.remove()


@contextmanager
def networked(folder: Path) -> Iterator[Site]:
    """Three replicas with relays before them and behind them."""
    postgres = network.networked_postgres()
    try:
        yield network.NetworkedSite(folder, postgres)
    finally:
        postgres.remove()


@contextmanager
def confined(folder: Path) -> Iterator[Site]:
    """One server on a small disk."""
    try:
        with disk.small_disk(folder / "data"):
            yield single(folder)
    except disk.NoMount as reason:
        pytest.skip(f"no small disk: {reason}")


@contextmanager
def clocked(folder: Path) -> Iterator[Site]:
    """One server with a clock of its own."""
    if not clock.LIBRARIES:
        pytest.skip("libfaketime is not installed")
    yield clock.clocked(folder)


@contextmanager
def alone(folder: Path) -> Iterator[Site]:
    """One server."""
    yield single(folder)


Stage = Callable[[Path], AbstractContextManager[Site]]
SCENARIOS: dict[str, tuple[Stage, Sequence[Fault], Bounds]] = {
    "Kills of replicas, workers and PostgreSQL": (replicated, KILLS, THROUGH_RESTARTS),
    "Kills of a server on SQLite and its workers": (alone, KILLS_ON_ONE, THROUGH_RESTARTS),
    "PostgreSQL restarted and failed over": (paired, databases.FAULTS, THROUGH_RESTARTS),
    "Connections cut and delayed": (networked, network.FAULTS, THROUGH_RESTARTS),
    "Disk full": (confined, disk.FAULTS, THROUGH_RESTARTS),
    "Clock jumps": (clocked, clock.FAULTS, THROUGH_RESTARTS),
    "Crowds": (alone, crowd.FAULTS, IN_A_CROWD),
}


def campaign(name: str, folder: Path, seed: int, strikes: int) -> tuple[Report, ChaosEvidence]:
    """Run one campaign of a scenario, and assert that every rule holds."""
    stage, faults, bounds = SCENARIOS[name]
    folder.mkdir(exist_ok=True)
    with stage(folder) as site:
        until = time.monotonic() + STRIKES_LIMIT_S
        report, evidence = run(site, seed, faults, strikes=strikes, bounds=bounds, until=until)
    prove(report, evidence)
    return report, evidence


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_kills_of_replicas_workers_and_postgres_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    campaign("Kills of replicas, workers and PostgreSQL", tmp_path, 1, strikes=4)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_disk_that_is_full_refuses_clearly_loses_nothing_and_serves_again(tmp_path: Path) -> None:
    campaign("Disk full", tmp_path, 2, strikes=2)


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.timeout(3_600)
def test_five_hundred_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    totals = {name: Soak(name) for name in SCENARIOS if name.startswith("Kills")}
    seed = FIRST_SEED
    while sum(total.kills for total in totals.values()) < KILLS_IN_ALL:
        for name, total in totals.items():
            total.add(*campaign(name, tmp_path / f"{seed}", seed, STRIKES_OF_A_CAMPAIGN))
            seed += 1


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if not name.startswith("Kills")])
def test_many_faults_lose_nothing_and_do_nothing_twice(tmp_path: Path, name: str) -> None:
    Soak(name).add(*campaign(name, tmp_path, FIRST_SEED, STRIKES_OF_A_SCENARIO))
