"""The rules that must hold after any number of kills. Pure: evidence in, faults as sentences out.

The legal moves are written here once more, by hand and on purpose: a checker that borrowed the product's
own table could not find a fault in it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from e2e.kills.evidence import FINISHED, EventRow, Evidence, TaskRow
from e2e.kills.ledger import Execution

STATE_AFTER = {
    "task.submitted": "queued",
    "task.leased": "leased",
    "task.started": "running",
    "task.requeued": "queued",
    "task.cancelling": "cancelling",
    "task.succeeded": "succeeded",
    "task.failed": "failed",
    "task.cancelled": "cancelled",
    "task.dead": "dead",
}
"""Events that move a task; others (progress, corrections' notes) are ignored."""

MAY_FOLLOW = {
    None: {"queued"},
    "queued": {"leased", "cancelled", "failed", "succeeded"},
    "leased": {"running", "queued", "succeeded", "failed", "dead", "cancelling"},
    "running": {"queued", "succeeded", "failed", "dead", "cancelling"},
    "cancelling": {"succeeded", "failed", "cancelled"},
    "failed": {"succeeded"},
    "dead": {"succeeded"},
    "succeeded": set(),
    "cancelled": set(),
}
"""`failed` and `dead` may still be corrected by a late result, but only where the reason is `lost`."""


def check(evidence: Evidence) -> list[str]:
    """Return every fault found; an empty list is the proof."""
    return [
        *nothing_acknowledged_is_lost(evidence),
        *one_intent_is_one_task(evidence),
        *everything_is_finished(evidence),
        *nothing_unrepeatable_ran_twice(evidence),
        *results_come_from_finished_runs(evidence),
        *acknowledged_results_stay(evidence),
        *the_api_shows_the_tables(evidence),
        *histories_are_legal(evidence),
        *counters_count(evidence),
    ]


def nothing_acknowledged_is_lost(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.acknowledged:
        if entry.task_id not in evidence.table_tasks:
            yield f"{entry.task_id}: acknowledged to {entry.key}, but not in the table"
        if entry.task_id not in evidence.api_tasks:
            yield f"{entry.task_id}: acknowledged to {entry.key}, but not in the API"


def one_intent_is_one_task(evidence: Evidence) -> Iterator[str]:
    tasks: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.acknowledged:
        tasks[entry.key].add(entry.task_id)
    for key, found in tasks.items():
        if len(found) > 1:
            yield f"{key}: one idempotency key became {len(found)} tasks: {sorted(found)}"


def everything_is_finished(evidence: Evidence) -> Iterator[str]:
    """Repeatable tasks have attempts to spare in these rounds, so they must end well; others may be lost."""
    for task in evidence.table_tasks.values():
        if task.state not in FINISHED:
            yield f"{task.task_id}: still {task.state} ({task.reason}) after the drain"
        elif task.state == "succeeded":
            continue
        elif task.repeatable:
            yield f"{task.task_id}: repeatable, but ended {task.state} ({task.reason})"
        elif (task.state, task.reason) != ("failed", "lost"):
            yield f"{task.task_id}: not repeatable and ended {task.state} ({task.reason}), not failed (lost)"


def nothing_unrepeatable_ran_twice(evidence: Evidence) -> Iterator[str]:
    begun = Counter(entry.task_id for entry in evidence.executions if entry.what == "begin")
    started = {event.task_id for event in evidence.table_events if event.kind == "task.started"}
    for task in evidence.table_tasks.values():
        if task.repeatable:
            continue
        if begun[task.task_id] > 1:
            yield f"{task.task_id}: not repeatable, but its function began {begun[task.task_id]} times"
        if begun[task.task_id] and task.task_id not in started:
            yield f"{task.task_id}: not repeatable, and ran without a durable start"
        if task.state == "failed" and task.task_id not in started:
            yield f"{task.task_id}: ended lost without ever having started; it had to be given out again"


def results_come_from_finished_runs(evidence: Evidence) -> Iterator[str]:
    ended = {(entry.task_id, entry.nonce) for entry in evidence.executions if entry.what == "end"}
    for task in evidence.table_tasks.values():
        nonce = evidence.results.get(task.task_id)
        if task.state == "succeeded" and (nonce is None or (task.task_id, nonce) not in ended):
            yield f"{task.task_id}: succeeded with a result ({nonce}) that no finished run returned"


def acknowledged_results_stay(evidence: Evidence) -> Iterator[str]:
    settled: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.executions:
        if entry.what == "settled":
            settled[entry.task_id].add(entry.nonce)
    for task_id, nonces in settled.items():
        if len(nonces) > 1:
            yield f"{task_id}: {len(nonces)} different results were acknowledged"
        if evidence.results.get(task_id) not in nonces:
            kept = evidence.results.get(task_id)
            yield f"{task_id}: the result {sorted(nonces)} was acknowledged, kept is {kept}"


def the_api_shows_the_tables(evidence: Evidence) -> Iterator[str]:
    for task_id in evidence.api_tasks.keys() ^ evidence.table_tasks.keys():
        yield f"{task_id}: in one of API and table only"
    for task_id in evidence.api_tasks.keys() & evidence.table_tasks.keys():
        shown, stored = facts(evidence.api_tasks[task_id]), facts(evidence.table_tasks[task_id])
        if shown != stored:
            yield f"{task_id}: the API shows {shown}, the table has {stored}"
    if evidence.api_events != evidence.table_events:
        yield (
            f"the API's journal ({len(evidence.api_events)} events) differs from the table's "
            f"({len(evidence.table_events)})"
        )


def facts(task: TaskRow) -> tuple[str, str | None, int, bool]:
    return task.state, task.reason, task.attempt, task.repeatable


def histories_are_legal(evidence: Evidence) -> Iterator[str]:
    histories: dict[str, list[EventRow]] = defaultdict(list)
    for event in evidence.table_events:
        if event.kind in STATE_AFTER:
            histories[event.task_id].append(event)
    for task_id in histories.keys() - evidence.table_tasks.keys():
        yield f"{task_id}: in the journal, but not in the table"
    for task in evidence.table_tasks.values():
        for fault in history_faults(task, histories[task.task_id]):
            story = " → ".join(event.kind.removeprefix("task.") for event in histories[task.task_id])
            yield f"{task.task_id}: {fault} [{story}]"


def history_faults(task: TaskRow, history: list[EventRow]) -> Iterator[str]:
    state: str | None = None
    reason: str | None = None
    fence = attempt = 0
    for event in history:
        follows = STATE_AFTER[event.kind]
        if follows not in MAY_FOLLOW[state]:
            yield f"{follows} may not follow {state}"
        if state in FINISHED and reason != "lost":
            yield f"went on after its end ({state}, {reason})"
        if event.kind == "task.leased":
            if event.fence is None or event.fence <= fence:
                yield f"leased with fence {event.fence} after {fence}"
            fence = event.fence or fence
            if event.attempt is not None and event.attempt < attempt:
                yield f"leased for attempt {event.attempt} after {attempt}"
            attempt = event.attempt or attempt
        elif event.fence is not None and event.fence != fence:
            yield f"{event.kind} with fence {event.fence}, leased was {fence}"
        state, reason = follows, event.reason
    if state != task.state:
        yield f"the journal ends with {state}, the table has {task.state}"
    if fence > task.fence:
        yield f"the journal has fence {fence}, the table only {task.fence}"
    terminal = Counter(event.kind for event in history if STATE_AFTER[event.kind] in FINISHED)
    if task.state in FINISHED and terminal[f"task.{task.state}"] != 1:
        yield f"{terminal[f'task.{task.state}']} events of its end, not one"


def counters_count(evidence: Evidence) -> Iterator[str]:
    """The kept counts say what the table says; they are what the queue limit and the statistics go by."""
    states = Counter(task.state for task in evidence.table_tasks.values())
    for name, kept in evidence.counters.items():
        if name.startswith("state.") and kept != states[name.removeprefix("state.")]:
            yield f"counter {name} is {kept}, the table has {states[name.removeprefix('state.')]}"
    waiting = sum(kept for name, kept in evidence.counters.items() if name.startswith("queued."))
    if waiting != states["queued"]:
        yield f"counters of waiting tasks add up to {waiting}, the table has {states['queued']}"


def runs(executions: list[Execution]) -> Counter[str]:
    """Count runs by how far they came, for the report."""
    return Counter(entry.what for entry in executions)
