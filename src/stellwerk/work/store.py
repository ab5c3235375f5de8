"""Read tasks for a decision, and write what was decided with its events and counters."""

import json
from collections.abc import Sequence

import msgspec

from stellwerk.database.unit import Many, PerEngine, Row, Sql, Unit, Value
from stellwerk.journal.store import append_many
from stellwerk.work.counting import count_changes
from stellwerk.work.events import step_event
from stellwerk.work.lifecycle import Change, Live
from stellwerk.work.states import ACTIVE, FINISHED, State

LIVE_COLUMNS = (
    "task_id, state, reason, attempt, fence, not_before, delayed, deadline_at, leased_at, started_at,"
    " finished_at, lease_expires_at, cancel_requested_at, holder_group, holder_instance, progress,"
    " progress_note, max_attempts, repeatable, timeout_us, principal, application, queue_key, form_id,"
    " priority, rank_at, submitted_at"
)
_STATES = {state.value: state for state in State}

_ONE = PerEngine(
    f"SELECT {LIVE_COLUMNS} FROM tasks WHERE task_id = $1",
    f"SELECT {LIVE_COLUMNS} FROM tasks WHERE task_id = $1 FOR UPDATE",
)
# Locked in the order of their ids, so that two units over the same tasks wait for each other instead of
# deadlocking.
_SOME = PerEngine(
    f"SELECT {LIVE_COLUMNS} FROM tasks WHERE task_id IN (SELECT value FROM json_each($1))",
    f"SELECT {LIVE_COLUMNS} FROM tasks WHERE task_id IN (SELECT jsonb_array_elements_text($1::jsonb))"
    " ORDER BY task_id FOR UPDATE",
)
_UPDATE = """
UPDATE tasks SET state = $2, reason = $3, attempt = $4, fence = $5, not_before = $6, delayed = $7,
deadline_at = $8, leased_at = $9, started_at = $10, finished_at = $11, lease_expires_at = $12,
cancel_requested_at = $13, progress = $14, progress_note = $15 WHERE task_id = $1"""
# The steps that most tasks take name few columns, and so touch few indexes.
_UPDATE_HELD = """
UPDATE tasks SET state = $2, reason = $3, started_at = $4, lease_expires_at = $5, cancel_requested_at = $6,
progress = $7, progress_note = $8 WHERE task_id = $1"""
_UPDATE_ENDED = """
UPDATE tasks SET state = $2, reason = $3, finished_at = $4, started_at = $5, lease_expires_at = NULL
WHERE task_id = $1"""
# A renewed lease or new progress leaves the state alone, and with it most indexes.
_RENEW = "UPDATE tasks SET lease_expires_at = $2, progress = $3, progress_note = $4 WHERE task_id = $1"
_STORE_RESULT = """
INSERT INTO task_results (task_id, result, error, result_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (task_id) DO UPDATE
SET result = excluded.result, error = excluded.error, result_hash = excluded.result_hash"""


def live_of(row: Row) -> Live:
    """Return the task of a row with the columns of LIVE_COLUMNS."""
    return Live(row[0], _STATES[row[1]], *row[2:])


def load_live(task_ids: Sequence[str]) -> Unit[dict[str, Live]]:
    """Return the tasks that exist, locked until the end of the unit."""
    if len(task_ids) == 1:
        rows = yield Sql(_ONE, (task_ids[0],))
    else:
        rows = yield Sql(_SOME, (json.dumps(task_ids),))
    return {row[0]: live_of(row) for row in rows}


class StoredResult(msgspec.Struct, frozen=True, gc=False):
    """What an attempt ended with; result and error are JSON texts."""

    task_id: str
    result: str | None
    error: str | None
    result_hash: str


def write_changes(changes: Sequence[Change], results: Sequence[StoredResult], now_us: int) -> Unit[None]:
    """Write changed tasks with their events and counters, and what their attempts ended with."""
    stepped = [change for change in changes if change.before.state is not change.after.state]
    last = {change.after.task_id: change.after for change in changes if not change.duplicate}
    # A unit may take one task through several steps; only its last standing is written.
    moved = {change.after.task_id for change in stepped}
    if moved:
        yield from _update(stepped, last)
        yield from append_many([step_event(change.after) for change in stepped], now_us)
        yield from count_changes(stepped)
    renewed = [task for task_id, task in last.items() if task_id not in moved]
    if renewed:
        yield Many(
            _RENEW,
            [(task.task_id, task.lease_expires_at, task.progress, task.progress_note) for task in renewed],
        )
    if results:
        yield Many(
            _STORE_RESULT, [(kept.task_id, kept.result, kept.error, kept.result_hash) for kept in results]
        )


def _update(stepped: Sequence[Change], last: dict[str, Live]) -> Unit[None]:
    first: dict[str, Live] = {}
    for change in stepped:
        first.setdefault(change.before.task_id, change.before)
    rows: dict[str, list[tuple[Value, ...]]] = {}
    for task_id, before in first.items():
        text, row = _row_of(before, last[task_id])
        rows.setdefault(text, []).append(row)
    for text, some in rows.items():
        yield Many(text, some)


def _row_of(before: Live, task: Live) -> tuple[str, tuple[Value, ...]]:
    # Plain strings: the drivers take a detour for subclasses of str.
    reason = None if task.reason is None else str(task.reason)
    state = task.state.value
    if before.state in ACTIVE and task.state in ACTIVE:
        return _UPDATE_HELD, (
            task.task_id,
            state,
            reason,
            task.started_at,
            task.lease_expires_at,
            task.cancel_requested_at,
            task.progress,
            task.progress_note,
        )
    if (
        before.state in ACTIVE
        and task.state in FINISHED
        and before.cancel_requested_at is task.cancel_requested_at
    ):
        return _UPDATE_ENDED, (task.task_id, state, reason, task.finished_at, task.started_at)
    return _UPDATE, (
        task.task_id,
        state,
        reason,
        task.attempt,
        task.fence,
        task.not_before,
        task.delayed,
        task.deadline_at,
        task.leased_at,
        task.started_at,
        task.finished_at,
        task.lease_expires_at,
        task.cancel_requested_at,
        task.progress,
        task.progress_note,
    )
