"""The SQL of webhooks.

A row waits until its execution has ended, is due until it was told or given up, and is removed with its task.
Claiming one moves its time past the attempt: whoever was killed in the middle leaves it to be tried again.
"""

from collections.abc import Sequence

import msgspec

from stellwerk.database.unit import Many, Sql, Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.store import append
from stellwerk.traffic.execution import Hook, WebhookState
from stellwerk.traffic.webhook import Attempted
from stellwerk.work.entrusting import Beside
from stellwerk.work.states import FINISHED

_INSERT = """
INSERT INTO execution_webhooks (task_id, hook_id, sealed, state, attempts, created_at)
VALUES ($1, $2, $3, 'waiting', 0, $4)"""
_ENDS = ", ".join(f"'{state.value}'" for state in sorted(FINISHED))
_END = f"""
UPDATE execution_webhooks SET state = 'due', due_at = $2 WHERE task_id = $1 AND state = 'waiting'
AND EXISTS (SELECT 1 FROM tasks t WHERE t.task_id = $1 AND t.state IN ({_ENDS}))"""
_WAITING = f"""
SELECT w.task_id, CASE WHEN t.state IN ({_ENDS}) THEN 1 ELSE 0 END FROM execution_webhooks w
JOIN tasks t ON t.task_id = w.task_id
WHERE w.state = 'waiting' AND w.task_id > $1 ORDER BY w.task_id LIMIT $2"""
_DUE = """
SELECT task_id, due_at FROM execution_webhooks WHERE state = 'due' AND due_at <= $1
ORDER BY due_at LIMIT $2"""
_NEXT = "SELECT MIN(due_at) FROM execution_webhooks WHERE state = 'due'"
_CLAIM = """
UPDATE execution_webhooks SET due_at = $3, attempts = attempts + 1
WHERE task_id = $1 AND state = 'due' AND due_at = $2 RETURNING attempts, hook_id, sealed"""
# Not of an attempt that was given up for lost, and whose successor is under way.
_SETTLE = """
UPDATE execution_webhooks SET state = $3, due_at = $4, last_status = $5, last_error = $6, settled_at = $7
WHERE task_id = $1 AND state = 'due' AND attempts = $2 RETURNING task_id"""
LONGEST_ERROR = 500


class Due(msgspec.Struct, frozen=True):
    """A webhook whose time has come."""

    task_id: str
    due_at: int


class Claim(msgspec.Struct, frozen=True):
    """The right to one attempt."""

    task_id: str
    attempts: int
    """Number of this attempt, from 1."""
    hook: Hook


def registration(task_id: str, hook: Hook, now_us: int) -> Beside:
    """Return the row that is written with the task."""
    return Beside(_INSERT, (task_id, hook.id, hook.sealed, now_us))


def end_some(task_ids: Sequence[str], now_us: int) -> Unit[None]:
    """Let those become due whose executions have ended."""
    yield Many(_END, [(task_id, now_us) for task_id in sorted(task_ids)])


def read_waiting(after: str, limit: int) -> Unit[tuple[list[str], str | None]]:
    """Look through those that wait, behind an id: who has ended, and where to go on (None: nowhere)."""
    rows = yield Sql(_WAITING, (after, limit))
    return [row[0] for row in rows if row[1]], rows[-1][0] if len(rows) == limit else None


def read_due(now_us: int, limit: int) -> Unit[list[Due]]:
    """Return those whose time has come, the oldest first."""
    return [Due(row[0], row[1]) for row in (yield Sql(_DUE, (now_us, limit)))]


def read_next() -> Unit[int | None]:
    """Return when the next one is due."""
    next_at: int | None = (yield Sql(_NEXT))[0][0]
    return next_at


def claim(due: Due, until: int) -> Unit[Claim | None]:
    """Take an attempt, until an instant; None if another replica has it."""
    rows = yield Sql(_CLAIM, (due.task_id, due.due_at, until))
    return Claim(due.task_id, rows[0][0], Hook(rows[0][1], bytes(rows[0][2]))) if rows else None


def settle(claimed: Claim, attempted: Attempted, again_at: int | None, now_us: int) -> Unit[bool]:
    """Write what came of an attempt; False if it was given up for lost before. The last one is an event."""
    error = None if attempted.error is None else attempted.error[:LONGEST_ERROR]
    state = WebhookState.DUE
    if again_at is None:
        state = WebhookState.DELIVERED if error is None else WebhookState.FAILED
    settled_at = now_us if again_at is None else None
    row = (claimed.task_id, claimed.attempts, state.value, again_at, attempted.status, error, settled_at)
    if not (yield Sql(_SETTLE, row)):
        return False
    if again_at is None:
        data = {"state": state.value, "attempts": claimed.attempts, "status": attempted.status}
        text = msgspec.json.encode(data).decode()
        yield from append(Event("execution.webhook", Retention.TASK, task=claimed.task_id, data=text), now_us)
    return True
