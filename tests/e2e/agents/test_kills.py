"""Deployment agents survive `kill -9` of themselves, of the server and of their connections in mid-task."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from msgspec import structs

from e2e.agents import evidence
from e2e.agents.campaign import Campaign
from e2e.agents.checker import check
from e2e.agents.evidence import AgentEvidence
from e2e.agents.soak_report import Soak
from e2e.kills import collect
from e2e.kills.campaign import Report
from e2e.kills.evidence import Evidence
from e2e.kills.ledger import read_acknowledged
from support.container_lab import Lab, NoEngine

ROUNDS_OF_THE_SLICE = 4
ROUNDS = 60
ROUNDS_OF_A_CAMPAIGN = 12


def prove(
    folder: Path, seed: int, rounds: int, lab_or_reason: Lab | NoEngine
) -> tuple[Report, AgentEvidence]:
    """Run one campaign, with containers where there is an engine, and assert that every rule holds."""
    lab = lab_or_reason if isinstance(lab_or_reason, Lab) else None
    campaign = Campaign(folder, seed, lab)
    try:
        report = campaign.run(rounds)
        found = gather(campaign)
    finally:
        campaign.close()
        if lab is not None:
            asyncio.run(evidence.remove_containers(lab, campaign.kinds.mark))
    trouble = [*report.refused, *filter(None, [report.undrained]), *check(found)]
    assert not trouble, f"seed {seed}, {len(trouble)} faults:\n" + "\n".join(trouble[:20])
    statuses = Counter(end.status for end in found.ends.values())
    assert statuses["succeeded"] > len(found.ends) / 2, statuses
    return report, found


def gather(campaign: Campaign) -> AgentEvidence:
    """Read the living server and the agents' journals, stop it gracefully, then read the tables."""
    plane, kinds = campaign.plane, campaign.kinds
    acknowledged = read_acknowledged(campaign.acknowledged_file)
    shown = collect.api_tasks(plane)
    ends = evidence.ends(plane, shown)
    events = collect.api_events(plane)
    assert plane.stop() == 0, plane.running.log_end()
    tables = collect.read_tables(plane.data_dir, None)
    shared = Evidence(
        acknowledged=acknowledged,
        executions=evidence.executions(kinds, acknowledged),
        api_tasks=shown,
        results={},
        table_tasks=collect.table_tasks(tables),
        api_events=events,
        table_events=collect.table_events(tables),
        counters={name: int(n) for name, n in tables["counters"]},
    )
    return AgentEvidence(
        shared,
        {task_id: structs.replace(end, result=kinds.masked(end.result)) for task_id, end in ends.items()},
        [structs.replace(row, outcome=kinds.masked(row.outcome)) for row in campaign.journals()],
        campaign.cancelled,
        [] if kinds.lab is None else asyncio.run(evidence.containers(kinds.lab, kinds.mark)),
        evidence.written(kinds, campaign.machines, acknowledged),
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_in_mid_task_lose_nothing_and_begin_nothing_twice(
    tmp_path: Path, lab_or_reason: Lab | NoEngine
) -> None:
    prove(tmp_path, 1, ROUNDS_OF_THE_SLICE, lab_or_reason)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_sixty_rounds(tmp_path: Path, lab_or_reason: Lab | NoEngine) -> None:
    total = Soak(with_engine=isinstance(lab_or_reason, Lab))
    for number in range(ROUNDS // ROUNDS_OF_A_CAMPAIGN):
        seed = 2_000 + number
        scratch = tmp_path / str(seed)
        scratch.mkdir()
        started = time.monotonic()
        found = prove(scratch, seed, ROUNDS_OF_A_CAMPAIGN, lab_or_reason)
        total.add(seed, *found, time.monotonic() - started)
    total.write()
