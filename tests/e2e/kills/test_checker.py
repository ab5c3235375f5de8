"""The checker finds each fault that it is there for: a proof that cannot fail proves nothing."""

from dataclasses import replace

import msgspec
import pytest

from e2e.kills.checker import check
from e2e.kills.evidence import EventRow, Evidence, TaskRow
from e2e.kills.ledger import Acknowledged, Execution

GOOD_TASK = TaskRow("t1", "succeeded", None, 2, repeatable=True, fence=2)
ONCE_TASK = TaskRow("t2", "failed", "lost", 1, repeatable=False, fence=1)
EVENTS = [
    EventRow("task.submitted", "t1"),
    EventRow("task.leased", "t1", fence=1, attempt=1),
    EventRow("task.submitted", "t2"),
    EventRow("task.requeued", "t1", fence=1, reason="lost"),
    EventRow("task.leased", "t2", fence=1, attempt=1),
    EventRow("task.leased", "t1", fence=2, attempt=2),
    EventRow("task.started", "t2", fence=1),
    EventRow("task.succeeded", "t1", fence=2),
    EventRow("task.failed", "t2", fence=1, reason="lost"),
]
GOOD = Evidence(
    acknowledged=[Acknowledged("k1", "t1", repeatable=True), Acknowledged("k2", "t2", repeatable=False)],
    executions=[
        Execution("begin", "t1", 1, "n1", "w1"),
        Execution("begin", "t1", 2, "n2", "w2"),
        Execution("end", "t1", 2, "n2", "w2"),
        Execution("settled", "t1", 2, "n2", "w2"),
        Execution("begin", "t2", 1, "n3", "w1"),
    ],
    api_tasks={"t1": GOOD_TASK, "t2": ONCE_TASK},
    results={"t1": "n2", "t2": None},
    table_tasks={"t1": GOOD_TASK, "t2": ONCE_TASK},
    api_events=EVENTS,
    table_events=EVENTS,
    counters={"state.succeeded": 1, "state.failed": 1, "state.queued": 0, "queued.normal": 0},
)


def with_tasks(*tasks: TaskRow) -> Evidence:
    rows = {task.task_id: task for task in tasks}
    return replace(GOOD, api_tasks=rows, table_tasks=rows)


def with_events(*events: EventRow) -> Evidence:
    return replace(GOOD, api_events=list(events), table_events=list(events))


def test_sound_evidence_has_no_fault() -> None:
    assert check(GOOD) == []


def test_a_late_result_may_correct_a_lost_task() -> None:
    corrected = msgspec.structs.replace(ONCE_TASK, state="succeeded", reason=None)
    evidence = replace(
        with_tasks(GOOD_TASK, corrected),
        api_events=[*EVENTS, EventRow("task.succeeded", "t2", fence=1)],
        table_events=[*EVENTS, EventRow("task.succeeded", "t2", fence=1)],
        executions=[*GOOD.executions, Execution("end", "t2", 1, "n3", "w1")],
        results={"t1": "n2", "t2": "n3"},
        counters={"state.succeeded": 2},
    )
    assert check(evidence) == []


RUNNING = msgspec.structs.replace(GOOD_TASK, state="running")
FAULTS = {
    "not in the table": with_tasks(GOOD_TASK),
    "not in the API": replace(GOOD, api_tasks={"t1": GOOD_TASK}),
    "still running": with_tasks(RUNNING, ONCE_TASK),
    "one idempotency key became 2 tasks": replace(
        GOOD, acknowledged=[*GOOD.acknowledged, Acknowledged("k1", "t2", repeatable=True)]
    ),
    "its function began 2 times": replace(
        GOOD, executions=[*GOOD.executions, Execution("begin", "t2", 2, "n4", "w2")]
    ),
    "ran without a durable start": with_events(*[each for each in EVENTS if each.kind != "task.started"]),
    "that no finished run returned": replace(GOOD, results={"t1": "n1", "t2": None}),
    "2 different results were acknowledged": replace(
        GOOD, executions=[*GOOD.executions, Execution("settled", "t1", 1, "n1", "w1")]
    ),
    "was acknowledged, kept is": replace(GOOD, results={"t1": None, "t2": None}),
    "the API shows": replace(GOOD, api_tasks={"t1": RUNNING, "t2": ONCE_TASK}),
    "the API's journal": replace(GOOD, api_events=EVENTS[:-1]),
    "2 events of its end": with_events(*EVENTS, EventRow("task.succeeded", "t1", fence=2)),
    "went on after its end": with_events(*EVENTS, EventRow("task.leased", "t1", fence=3, attempt=3)),
    "may not follow": with_events(*EVENTS[1:]),
    "leased with fence": with_events(
        *[msgspec.structs.replace(each, fence=1) if each.attempt == 2 else each for each in EVENTS]
    ),
    "with fence 7": with_events(*EVENTS[:-1], EventRow("task.failed", "t2", fence=7, reason="lost")),
    "the journal ends with": with_events(*EVENTS[:-2], EVENTS[-1]),
    "the table only": with_tasks(msgspec.structs.replace(GOOD_TASK, fence=1), ONCE_TASK),
    "counter state.succeeded": replace(GOOD, counters={"state.succeeded": 2}),
    "add up to 3": replace(GOOD, counters={"queued.normal": 3}),
    "repeatable, but ended dead": with_tasks(msgspec.structs.replace(GOOD_TASK, state="dead"), ONCE_TASK),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    found = check(FAULTS[fault])
    assert any(fault in sentence for sentence in found), found
