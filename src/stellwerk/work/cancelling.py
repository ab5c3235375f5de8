"""What people do to tasks: cancel, queue again, clear a queue."""

from collections.abc import Sequence

from stellwerk.database.unit import Many, Sql, Unit
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work import lifecycle
from stellwerk.work.lease import Terms
from stellwerk.work.lifecycle import Change, Live
from stellwerk.work.priority import CLASSES
from stellwerk.work.refusals import NotYours, UnknownTask
from stellwerk.work.states import Reason
from stellwerk.work.store import load_live, write_changes

# Walks the index over states: a step costs the same whatever it finds.
_QUEUED_SINCE = """
SELECT task_id, priority, submitted_at FROM tasks
WHERE state = 'queued' AND lease_expires_at IS NULL
AND (submitted_at, task_id) > ($1, $2) AND submitted_at <= $3
ORDER BY submitted_at, task_id LIMIT $4"""
# A task that is queued again begins a new life: what the old one left would be taken for its own.
_FORGET_RESULT = "DELETE FROM task_results WHERE task_id = $1"
_FORGET_LATE = "DELETE FROM late_results WHERE task_id = $1"
_FORGET_LOG = "DELETE FROM task_logs WHERE task_id = $1"

CLEAR_STEP = 500
"""Rows that one step of clearing looks at: some milliseconds, so that others get their turn."""


def cancel_task(principal: Principal, task_id: str, now_us: int, terms: Terms) -> Unit[Change]:
    """Cancel what waits, ask the holder of another to stop. Raises UnknownTask, NotYours, NotPossible."""
    task = yield from _load(principal, task_id)
    change = Change(task, lifecycle.cancel(task, now_us, terms))
    yield from write_changes([change], [], now_us)
    return change


def requeue_task(principal: Principal, task_id: str, now_us: int) -> Unit[Change]:
    """Queue an ended task again. Raises UnknownTask, NotYours, NotPossible."""
    task = yield from _load(principal, task_id)
    change = Change(task, lifecycle.requeue(task, now_us))
    yield Many(_FORGET_RESULT, [(task_id,)])
    yield Many(_FORGET_LATE, [(task_id,)])
    yield Many(_FORGET_LOG, [(task_id,)])
    yield from write_changes([change], [], now_us)
    return change


def clear_some(
    priority_class: str, position: tuple[int, str], until: int, now_us: int, terms: Terms
) -> Unit[tuple[list[Change], tuple[int, str] | None]]:
    """Cancel the waiting tasks of a class among the next ones behind a position.

    None as position: that was all.
    """
    lowest = CLASSES[priority_class]
    rows = yield Sql(_QUEUED_SINCE, (*position, until, CLEAR_STEP))
    chosen = [row[0] for row in rows if lowest <= row[1] < lowest + 10]
    changes = yield from cancel_queued(chosen, now_us, terms)
    return changes, (rows[-1][2], rows[-1][0]) if len(rows) == CLEAR_STEP else None


def cancel_queued(task_ids: Sequence[str], now_us: int, terms: Terms) -> Unit[list[Change]]:
    """Cancel those of the tasks that wait, because their queue is cleared."""
    if not task_ids:
        return []
    tasks = yield from load_live(task_ids)
    changes = [
        Change(task, lifecycle.cancel(task, now_us, terms, Reason.CLEARED))
        for task in tasks.values()
        if task.state == "queued"  # One that was leased meanwhile is not in the queue any more.
    ]
    yield from write_changes(changes, [], now_us)
    return changes


def _load(principal: Principal, task_id: str) -> Unit[Live]:
    task = (yield from load_live([task_id])).get(task_id)
    if task is None:
        raise UnknownTask(task_id)
    if task.principal != principal.id and not principal.may(Scope.TASKS_ADMIN):
        raise NotYours(task_id)
    return task
