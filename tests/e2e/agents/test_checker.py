"""The checker of the agents' campaign finds each fault that it is there for."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from e2e.agents.checker import check
from e2e.agents.evidence import AgentEvidence, Container, End, JournalRow
from e2e.kills.evidence import EventRow, Evidence, TaskRow
from e2e.kills.ledger import Acknowledged, Execution

COMMAND = TaskRow("t1", "succeeded", None, 1, repeatable=False, fence=1)
CONTAINER = TaskRow("t2", "succeeded", None, 1, repeatable=False, fence=1)
STICKER = TaskRow("t3", "succeeded", None, 2, repeatable=True, fence=2)
GIVEN_UP = TaskRow("t4", "failed", "lost", 1, repeatable=False, fence=1)
TASKS = {task.task_id: task for task in (COMMAND, CONTAINER, STICKER, GIVEN_UP)}
EVENTS = [
    *(EventRow("task.submitted", task_id) for task_id in TASKS),
    *(EventRow("task.leased", task_id, fence=1, attempt=1) for task_id in TASKS),
    *(EventRow("task.started", task_id, fence=1) for task_id in TASKS),
    EventRow("task.requeued", "t3", fence=1, reason="lost"),
    EventRow("task.leased", "t3", fence=2, attempt=2),
    EventRow("task.succeeded", "t1", fence=1),
    EventRow("task.succeeded", "t2", fence=1),
    EventRow("task.succeeded", "t3", fence=2),
    EventRow("task.failed", "t4", fence=1, reason="lost"),
]
RUNS = [
    Execution("begin", "t1", 0, "n1", ""),
    Execution("end", "t1", 0, "n1", ""),
    Execution("begin", "t2", 0, "n2", ""),
    Execution("begin", "t4", 0, "n4", ""),
]
ENDS = {
    "t1": End("ssh.exec", "succeeded", {"stdout": "n1\n"}),
    "t2": End("docker.run", "succeeded", {"containerId": "c"}, target="kills-1-agent-1-0"),
    "t3": End("sticker.write", "succeeded", {}),
    "t4": End("ssh.exec", "lost"),
}
TOLD = JournalRow("agent-1", "t1", 1, 1, "settled", {"success": True, "result": {"stdout": "n1\n"}})
LOST_THERE = {"success": False, "error": {"type": "agent.lost"}}
SHARED = Evidence(
    acknowledged=[Acknowledged(f"k-{task_id}", task_id, task.repeatable) for task_id, task in TASKS.items()],
    executions=RUNS,
    api_tasks=TASKS,
    results={},
    table_tasks=TASKS,
    api_events=EVENTS,
    table_events=EVENTS,
    counters={"state.succeeded": 3, "state.failed": 1, "state.queued": 0},
)
GOOD = AgentEvidence(
    SHARED,
    ENDS,
    [TOLD, JournalRow("agent-1", "t4", 1, 1, "settled", LOST_THERE)],
    set(),
    [Container("kills-1-agent-1-0", "t2", running=True)],
    {"t3"},
)


def with_end(task_id: str, **changed: Any) -> AgentEvidence:
    return replace(GOOD, ends={**ENDS, task_id: structs.replace(ENDS[task_id], **changed)})


def with_runs(*runs: Execution) -> AgentEvidence:
    return replace(GOOD, shared=replace(SHARED, executions=list(runs)))


def with_row(**changed: Any) -> AgentEvidence:
    return replace(GOOD, journals=[structs.replace(TOLD, **changed)])


def with_container(**changed: Any) -> AgentEvidence:
    return replace(GOOD, containers=[structs.replace(GOOD.containers[0], **changed)])


def test_sound_evidence_has_no_fault() -> None:
    assert check(GOOD) == []


def test_a_task_that_was_cancelled_may_end_otherwise_than_its_agent_says() -> None:
    cancelled = with_end("t1", status="cancelled", result=None)
    assert check(replace(cancelled, cancelled={"t1"})) == []


def test_a_container_may_come_back_after_a_replacement_that_was_given_up() -> None:
    again = with_runs(*RUNS, RUNS[2])
    cancelled = structs.replace(ENDS["t4"], kind="docker.run", target=ENDS["t2"].target)
    assert check(replace(again, ends={**ENDS, "t4": cancelled})) == []


STARTED_TWICE = [*EVENTS, EventRow("task.started", "t1", fence=1)]
FAULTS = {
    "not in the table": replace(
        GOOD, shared=replace(SHARED, acknowledged=[*SHARED.acknowledged, Acknowledged("k", "t9", True)])
    ),
    "running (None) after the drain": with_end("t3", status="running"),
    "but nobody cancelled it": with_end("t1", status="cancelled"),
    "although it may be repeated": with_end("t3", status="lost"),
    "although nothing but kills could go wrong": with_end("t2", status="failed", error_type="docker.refused"),
    "began 2 times": with_runs(*RUNS, Execution("begin", "t2", 0, "n5", "")),
    "its container was started 2 times": with_runs(*RUNS, RUNS[2]),
    "ran without a durable start": replace(
        GOOD, shared=replace(SHARED, table_events=[one for one in EVENTS if one.kind != "task.started"])
    ),
    "was given out 2 times": replace(GOOD, shared=replace(SHARED, table_events=STARTED_TWICE)),
    "said never to have begun": with_end("t4", status="failed", error_type="agent.restarted"),
    "succeeded, but never began": with_runs(*RUNS[:2], *RUNS[3:]),
    "that no finished command gave": with_end("t1", result={"stdout": "n7\n"}),
    "what it wrote is not there": replace(GOOD, written=set()),
    "its journal says finished": with_row(state="finished"),
    "but nobody submitted it": with_row(task_id="t9"),
    "ended well there, but the server says lost": with_end("t1", status="lost"),
    "its result there is": with_row(outcome={"success": True, "result": {"stdout": "n8\n"}}),
    "ended badly there": with_row(outcome=LOST_THERE),
    "was left behind": with_container(name="kills-1-agent-1-0.5e5e5e5e5e.previous"),
    "does not run": with_container(running=False),
    "which is lost": with_container(task_id="t4"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    found = check(FAULTS[fault])
    assert any(fault in sentence for sentence in found), found
