"""One campaign: load, faults at seeded moments, the drain, and the evidence.

A fault comes when some submissions were acknowledged since the last one, however slow the machine is: so
every fault meets work under way.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.serving import NotReady

from e2e.chaos.evidence import ChaosEvidence
from e2e.chaos.faults import Fault
from e2e.chaos.journal import Follower, read_journal
from e2e.chaos.orphans import find_orphans
from e2e.chaos.sites import Site
from e2e.kills import collect
from e2e.kills.campaign import drain
from e2e.kills.ledger import Ledger
from e2e.kills.submitter import Submitters

DRAIN_LIMIT_S = 120.0
FLOW_LIMIT_S = 120.0
BETWEEN = 2
"""Submissions that are acknowledged between two faults."""
PAUSE_S = (0.02, 0.3)


class Callers(Submitters):
    """Others, who only want their tasks taken; slow enough that what they wait for is not their own crowd."""

    pause_s = (0.05, 0.3)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long callers may wait in a scenario."""

    half_within_s: float
    all_within_s: float


@dataclass(slots=True)
class Report:
    """What a campaign did, beside its evidence."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    seconds: float = 0.0
    trouble: list[str] = field(default_factory=list)
    started_again: int = 0
    interruptions: int = 0


def run(
    site: Site,
    seed: int,
    faults: Sequence[Fault],
    *,
    strikes: int,
    bounds: Bounds,
    until: float | None = None,
) -> tuple[Report, ChaosEvidence]:
    """Strike so often, or until a moment of the monotonic clock; then drain and gather. Closes the site."""
    chance, report, began = random.Random(seed), Report(seed), time.monotonic()
    site.folder.mkdir(exist_ok=True)
    log = (site.folder / "strikes").open("w", buffering=1)
    try:
        site.start()
        callers = Callers(site.url, Ledger(site.folder / "acknowledged.jsonl"), seed)
        follower = Follower(site.url)
        for fault in draw(faults, strikes, chance):
            if until is not None and time.monotonic() > until:
                break
            wait_for_flow(site, callers)
            time.sleep(chance.uniform(*PAUSE_S))
            log.write(f"{time.monotonic() - began:.1f} {fault.name}\n")
            fault.strike(site, chance)
            report.faults[fault.name] += 1
            report.kills += fault.kills
        evidence = gather(site, callers, follower, report, bounds)
    finally:
        site.close()
        log.close()
    report.seconds = time.monotonic() - began
    return report, evidence


def draw(faults: Sequence[Fault], strikes: int, chance: random.Random) -> list[Fault]:
    """Draw the faults by weight; each kind comes at least once if there are as many strikes."""
    drawn = [*faults[:strikes]]
    drawn += chance.choices(faults, [fault.weight for fault in faults], k=max(0, strikes - len(faults)))
    chance.shuffle(drawn)
    return drawn


def wait_for_flow(site: Site, callers: Submitters) -> None:
    """Wait until some more submissions were acknowledged."""
    enough, until = callers.acknowledged + BETWEEN, time.monotonic() + FLOW_LIMIT_S
    while callers.acknowledged < enough:
        site.tend()
        if time.monotonic() > until:
            raise NotReady(f"no {BETWEEN} submissions in {FLOW_LIMIT_S:.0f} s\n{site.logs()}")
        time.sleep(0.02)


def gather(
    site: Site, callers: Submitters, follower: Follower, report: Report, bounds: Bounds
) -> ChaosEvidence:
    """Let everything end, read the living servers, stop them, then read the tables."""
    site.wait_ready()
    callers.stop()
    undrained = drain(site.reader, DRAIN_LIMIT_S)
    site.workers.stop()
    followed = follower.finish()
    journal = list(read_journal(site.reader.url))
    report.trouble += [*callers.refused, *filter(None, [undrained])]

    def stop() -> None:
        report.trouble += site.stop()
        report.started_again, report.interruptions = site.started_again, follower.interruptions

    shared = collect.gather(
        site.reader, site.database, site.workers, site.folder / "acknowledged.jsonl", stop
    )
    orphans = find_orphans(site.reader.data_dir, site.database)
    return ChaosEvidence(
        shared, followed, journal, orphans, callers.waits_s, bounds.half_within_s, bounds.all_within_s
    )
