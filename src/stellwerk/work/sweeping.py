"""What happens to tasks because time passes: leases end, deadlines pass, delayed tasks are due, old ones
are removed.

Each function is one small step, bounded by STEP rows that an index finds; the sweeper repeats it until
nothing is left.
"""

import json
from collections.abc import Callable, Sequence

from stellwerk.database.unit import Many, PerEngine, Sql, Unit
from stellwerk.work import lifecycle
from stellwerk.work.counting import STATE_COUNTER, add_up
from stellwerk.work.lease import Terms
from stellwerk.work.lifecycle import Change, Live
from stellwerk.work.store import LIVE_COLUMNS, live_of, write_changes

STEP = 200
"""Rows of one step: some milliseconds, so that others get their turn."""

Jitter = Callable[[], float]


def _locking(text: str) -> PerEngine:
    return PerEngine(text, text + " FOR UPDATE SKIP LOCKED")


_EXPIRED = _locking(
    f"SELECT {LIVE_COLUMNS} FROM tasks WHERE lease_expires_at <= $1 ORDER BY lease_expires_at LIMIT $2"
)
_OVERDUE = _locking(
    f"SELECT {LIVE_COLUMNS} FROM tasks"
    " WHERE deadline_at <= $1 AND deadline_at IS NOT NULL AND finished_at IS NULL"
    " AND state <> 'cancelling' ORDER BY deadline_at LIMIT $2"
)
_DUE = """
UPDATE tasks SET delayed = 0 WHERE task_id IN (
  SELECT task_id FROM tasks {index} WHERE state = 'queued' AND delayed = 1 AND not_before <= $1
  ORDER BY not_before LIMIT $2 {lock})
RETURNING queue_key, rank_at"""
# SQLite, which has no statistics here, would rather walk all waiting tasks.
_RELEASE_DUE = PerEngine(
    _DUE.format(index="INDEXED BY tasks_due", lock=""), _DUE.format(index="", lock="FOR UPDATE SKIP LOCKED")
)
_OLD = _locking(
    "SELECT task_id, state FROM tasks WHERE finished_at IS NOT NULL AND finished_at < $1"
    " ORDER BY finished_at LIMIT $2"
)
_REMOVALS = tuple(
    f"DELETE FROM {table} WHERE task_id = $1"
    for table in (
        "task_logs",
        "task_results",
        "late_results",
        "task_payloads",
        "execution_webhooks",
        "executions",
        "tasks",
    )
)
_FORGET_KEYS = """
DELETE FROM idempotency_keys WHERE (scope, key) IN
(SELECT scope, key FROM idempotency_keys WHERE created_at <= $1 ORDER BY created_at LIMIT $2) RETURNING 1"""
_FORGET_FORMS = """
DELETE FROM task_forms WHERE form_id IN ({ids})
AND NOT EXISTS (SELECT 1 FROM tasks
                WHERE state = 'queued' AND delayed = 0 AND queue_key = task_forms.form_id)
AND (SELECT COALESCE(SUM(n), 0) FROM counters WHERE name = 'form.' || task_forms.form_id) <= 0
RETURNING form_id"""
_UNUSED_FORMS = PerEngine(
    _FORGET_FORMS.format(ids="SELECT value FROM json_each($1)"),
    _FORGET_FORMS.format(ids="SELECT jsonb_array_elements_text($1::jsonb)"),
)


def expire_leases(now_us: int, terms: Terms, jitter: Jitter) -> Unit[list[Change]]:
    """Take tasks back from holders that were not heard of in time."""
    rows = yield Sql(_EXPIRED, (now_us, STEP))
    return (
        yield from _change(
            rows, lambda task: lifecycle.expire_lease(task, now_us, jitter=jitter(), terms=terms), now_us
        )
    )


def pass_deadlines(now_us: int, terms: Terms) -> Unit[list[Change]]:
    """End waiting tasks whose deadline has passed, and ask the holders of others to stop."""
    rows = yield Sql(_OVERDUE, (now_us, STEP))
    return (yield from _change(rows, lambda task: lifecycle.pass_deadline(task, now_us, terms), now_us))


def release_due(now_us: int) -> Unit[list[tuple[str, int]]]:
    """Make delayed tasks ready whose instant has come; return their queues and ranks."""
    rows = yield Sql(_RELEASE_DUE, (now_us, STEP))
    return [(row[0], row[1]) for row in rows]


def remove_finished(before: int) -> Unit[int]:
    """Remove tasks that ended before an instant, with all that belongs to them; return how many."""
    rows = yield Sql(_OLD, (before, STEP))
    if rows:
        task_ids = [(row[0],) for row in rows]
        for removal in _REMOVALS:
            yield Many(removal, task_ids)
        amounts: dict[str, int] = {}
        for row in rows:
            counter = STATE_COUNTER[row[1]]
            amounts[counter] = amounts.get(counter, 0) - 1
        yield from add_up(amounts)
    return len(rows)


def forget_keys(until: int) -> Unit[int]:
    """Forget idempotency keys of this instant and before; return how many."""
    return len((yield Sql(_FORGET_KEYS, (until, STEP))))


def forget_forms(form_ids: Sequence[str]) -> Unit[list[str]]:
    """Forget those of the forms that no task uses that has not ended; return them."""
    rows = yield Sql(_UNUSED_FORMS, (json.dumps(form_ids),))
    return [row[0] for row in rows]


def _change(
    rows: Sequence[Sequence[object]], step: Callable[[Live], Live], now_us: int
) -> Unit[list[Change]]:
    tasks = [live_of(row) for row in rows]
    changes = [Change(task, step(task)) for task in tasks]
    yield from write_changes(changes, [], now_us)
    return changes
