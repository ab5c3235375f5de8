"""The rules that must hold after any number of kills on agents. Pure: evidence in, faults out."""

from collections import Counter
from collections.abc import Iterator

from e2e.agents.evidence import AgentEvidence, End, JournalRow
from e2e.kills import checker

COUNTED = frozenset({"docker.run", "ssh.exec"})
"""Kinds whose runs leave a line each."""
WRITING = frozenset({"sticker.write", "sftp.put"})
FINISHED = frozenset({"succeeded", "failed", "cancelled", "lost"})
NEVER_BEGUN = "agent.restarted"
LOST = "agent.lost"


def check(evidence: AgentEvidence) -> list[str]:
    """Return every fault found; an empty list is the proof."""
    shared = evidence.shared
    return [
        *checker.nothing_acknowledged_is_lost(shared),
        *checker.one_intent_is_one_task(shared),
        *checker.the_api_shows_the_tables(shared),
        *checker.histories_are_legal(shared),
        *checker.counters_count(shared),
        *everything_has_ended(evidence),
        *nothing_ran_twice(evidence),
        *ends_are_true(evidence),
        *no_result_is_lost(evidence),
        *containers_are_whole(evidence),
    ]


def everything_has_ended(evidence: AgentEvidence) -> Iterator[str]:
    """Repeatable tasks have attempts to spare, so they end well; others may be lost, and say so."""
    for task_id, end in evidence.ends.items():
        told = f"{task_id} ({end.kind}): {end.status} ({end.error_type})"
        if end.status not in FINISHED:
            yield f"{told} after the drain"
        elif end.status == "cancelled" and task_id not in evidence.cancelled:
            yield f"{told}, but nobody cancelled it"
        elif end.status in ("failed", "lost") and evidence.shared.table_tasks[task_id].repeatable:
            yield f"{told}, although it may be repeated"
        elif end.status == "failed" and end.error_type not in (LOST, NEVER_BEGUN):
            yield f"{told}, although nothing but kills could go wrong"


def nothing_ran_twice(evidence: AgentEvidence) -> Iterator[str]:
    begun = [entry for entry in evidence.shared.executions if entry.what == "begin"]
    lines = Counter(entry.task_id for entry in begun)
    runs = Counter(task_id for task_id, _ in {(entry.task_id, entry.nonce) for entry in begun})
    events = evidence.shared.table_events
    started = Counter(each.task_id for each in events if each.kind == "task.started")
    # Whoever gives a task back says that nothing of it was done.
    back = Counter(each.task_id for each in events if each.reason == "handed_back")
    for task_id, task in evidence.shared.table_tasks.items():
        if task.repeatable:
            continue
        if runs[task_id] > 1:
            yield f"{task_id}: began {runs[task_id]} times"
        if lines[task_id] - runs[task_id] > brought_back(evidence, task_id):
            yield f"{task_id}: its container was started {lines[task_id]} times"
        if runs[task_id] and not started[task_id]:
            yield f"{task_id}: ran without a durable start"
        if started[task_id] > 1 + back[task_id]:
            yield f"{task_id}: was given out {started[task_id]} times after it had started"


def brought_back(evidence: AgentEvidence, task_id: str) -> int:
    """Count how often a task's container may have been started again: one that is to take its place and is
    given up brings it back.
    """
    target = evidence.ends[task_id].target
    return sum(
        end.target == target and end.status != "succeeded" for end in evidence.ends.values() if end.target
    )


def ends_are_true(evidence: AgentEvidence) -> Iterator[str]:
    """What a task is said to have done is there, and what was never begun is not."""
    begun = {entry.task_id: entry.nonce for entry in evidence.shared.executions if entry.what == "begin"}
    ended = {(entry.task_id, entry.nonce) for entry in evidence.shared.executions if entry.what == "end"}
    for task_id, end in evidence.ends.items():
        if end.error_type == NEVER_BEGUN and task_id in begun:
            yield f"{task_id} ({end.kind}): said never to have begun, but it did"
        if end.status != "succeeded":
            continue
        if end.kind in COUNTED and task_id not in begun:
            yield f"{task_id} ({end.kind}): succeeded, but never began"
        if end.kind == "ssh.exec" and (task_id, end.result["stdout"].strip()) not in ended:
            yield f"{task_id}: succeeded with a result that no finished command gave"
        if end.kind in WRITING and task_id not in evidence.written:
            yield f"{task_id} ({end.kind}): succeeded, but what it wrote is not there"


def no_result_is_lost(evidence: AgentEvidence) -> Iterator[str]:
    """Whatever an agent wrote down as the end of a task, the server has it, or somebody else's success."""
    for row in evidence.journals:
        where = f"{row.task_id} on {row.agent}"
        if row.state != "settled":
            yield f"{where}: its journal says {row.state} after the drain"
        end = evidence.ends.get(row.task_id)
        if end is None:
            yield f"{where}: in a journal, but nobody submitted it"
        elif row.outcome is not None and row.task_id not in evidence.cancelled:
            yield from (f"{where}: {fault}" for fault in outcome_faults(row, row.outcome, end, evidence))


def outcome_faults(
    row: JournalRow, outcome: dict[str, object], end: End, evidence: AgentEvidence
) -> Iterator[str]:
    if outcome["success"] and end.status != "succeeded":
        yield f"ended well there, but the server says {end.status} ({end.error_type})"
    last = row.lease == evidence.shared.table_tasks[row.task_id].fence
    if outcome["success"] and last and outcome["result"] != end.result:
        yield f"its result there is {outcome['result']}, on the server {end.result}"
    if not outcome["success"] and last and end.status == "succeeded":
        yield f"ended badly there ({outcome['error']}), but well on the server"


def containers_are_whole(evidence: AgentEvidence) -> Iterator[str]:
    """Every container that is left runs, under its final name, for a task that succeeded; one each name."""
    for one in evidence.containers:
        end = evidence.ends.get(one.task_id)
        if not one.name.rpartition("-")[2].isdigit():
            yield f"container {one.name} of {one.task_id} was left behind"
        elif not one.running:
            yield f"container {one.name} of {one.task_id} does not run"
        elif end is None or end.status != "succeeded":
            yield f"container {one.name} runs for {one.task_id}, which is {end and end.status}"
