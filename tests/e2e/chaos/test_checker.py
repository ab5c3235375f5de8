"""The checker finds each fault that it is there for: a proof that cannot fail proves nothing."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from e2e.chaos.checker import check
from e2e.chaos.evidence import ChaosEvidence
from e2e.chaos.journal import Told
from e2e.chaos.orphans import STATEMENTS, find_orphans
from e2e.kills import test_checker as kills
from e2e.kills.ledger import Acknowledged, Execution

GROUPS = {("t1", 1): "w1", ("t1", 2): "w2", ("t2", 1): "w1"}
JOURNAL = [
    Told(
        str(place),
        event.kind,
        event.task_id,
        GROUPS.get((event.task_id, event.attempt or 0)),
        fence=event.fence,
        attempt=event.attempt,
    )
    for place, event in enumerate(kills.EVENTS)
]
GOOD = ChaosEvidence(kills.GOOD, JOURNAL, JOURNAL, {}, [0.1, 0.2, 9.0], half_within_s=1.0, all_within_s=10.0)
SECOND_LEASE = Told("9", "task.leased", "t2", "w2", fence=2, attempt=2)


def with_journal(*events: Told) -> ChaosEvidence:
    return replace(GOOD, journal=list(events), followed=list(events))


def with_run(run: Execution) -> ChaosEvidence:
    return replace(GOOD, shared=replace(kills.GOOD, executions=[*kills.GOOD.executions, run]))


def test_sound_evidence_has_no_fault() -> None:
    assert check(GOOD) == []


FAULTS = {
    # A planted loss.
    "but not in the table": replace(
        GOOD,
        shared=replace(
            kills.GOOD, acknowledged=[*kills.GOOD.acknowledged, Acknowledged("k3", "t3", repeatable=True)]
        ),
    ),
    # Planted doubles.
    "its function began 2 times": with_run(Execution("begin", "t2", 2, "n4", "w2")),
    "attempt 2 was begun 2 times at w2 under 1 leases": with_run(Execution("begin", "t1", 2, "n4", "w2")),
    "event 3 was told 2 times": replace(GOOD, followed=[*JOURNAL[:4], *JOURNAL[3:]]),
    # Planted double leases.
    "leased to w2 while w1 held it": with_journal(*JOURNAL[:7], SECOND_LEASE, *JOURNAL[7:]),
    "fence 1 was given out twice": with_journal(*JOURNAL, structs.replace(SECOND_LEASE, fence=1)),
    "still held by w2 in the end": with_journal(*JOURNAL, SECOND_LEASE),
    "attempt 3 was begun 1 times at w3 under 0 leases": with_run(Execution("begin", "t1", 3, "n4", "w3")),
    # A planted gap, and other disorder of the journal.
    "event 4 (task.leased of t2) was never told: a gap": replace(GOOD, followed=[*JOURNAL[:4], *JOURNAL[5:]]),
    "was told, and is not in the journal": replace(GOOD, followed=[*JOURNAL, SECOND_LEASE]),
    "event 3 was told after 4": replace(GOOD, followed=[*JOURNAL[:3], JOURNAL[4], JOURNAL[3], *JOURNAL[5:]]),
    "t9: a payload without a task": replace(GOOD, orphans={"a payload without a task": ["t9"]}),
    "half of the callers waited for 2.00 s": replace(GOOD, waits_s=[2.0]),
    "a caller waited for 11.0 s": replace(GOOD, waits_s=[0.1, 0.1, 11.0]),
    "nobody submitted anything": replace(GOOD, waits_s=[]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    found = check(FAULTS[fault])
    assert any(fault in sentence for sentence in found), found


def test_planted_orphans_are_found_in_the_tables(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "stellwerk.db") as tables:
        tables.executescript(
            """
            CREATE TABLE tasks (task_id, state, finished_at, lease_expires_at, holder_group);
            CREATE TABLE task_payloads (task_id);
            CREATE TABLE task_results (task_id);
            CREATE TABLE task_logs (task_id);
            CREATE TABLE idempotency_keys (key, task_id);
            CREATE TABLE fleet_groups (group_id);
            CREATE TABLE fleet_instances (instance_id, group_id);
            INSERT INTO tasks VALUES ('bare', 'succeeded', 1, 1, NULL), ('idle', 'running', NULL, NULL, 'g');
            INSERT INTO task_payloads VALUES ('idle'), ('gone');
            INSERT INTO task_results VALUES ('gone');
            INSERT INTO task_logs VALUES ('gone'), ('gone');
            INSERT INTO idempotency_keys VALUES ('k', 'gone');
            INSERT INTO fleet_instances VALUES ('i', 'gone');
            """
        )
    found = find_orphans(tmp_path, None)
    assert found == {
        "its task has no payload": ["bare"],
        "a payload without a task": ["gone"],
        "a result without a task": ["gone"],
        "succeeded without a result": ["bare"],
        "a log without a task": ["gone"],
        "an idempotency key without a task": ["k"],
        "ended, and still under a lease": ["bare"],
        "held by nobody, and under a lease": ["bare"],
        "at work without a lease": ["idle"],
        "an instance without a group": ["i"],
    }
    assert found.keys() == STATEMENTS.keys()
