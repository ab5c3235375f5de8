"""Show tasks: one, a page of them, their results and logs. Only reads."""

import base64
import binascii
import json
from collections.abc import Sequence

import msgspec

from stellwerk.database.unit import PerEngine, Row, Sql, Unit, Value
from stellwerk.work.priority import CLASSES
from stellwerk.work.refusals import InvalidCursor, UnknownTask
from stellwerk.work.states import ACTIVE, State
from stellwerk.work.task import (
    Assignment,
    Holder,
    LogLine,
    Outcome,
    Task,
    TaskFilter,
    TaskLog,
    TaskPage,
    WorkStats,
)

SCANNED = 2_000
"""Rows that one page looks at for filters that no index serves; the cursor goes on behind them."""

_COLUMNS = (
    "task_id, principal, application, task_type, target_group, priority, priority_name, state, reason,"
    " repeatable, attempt, max_attempts, fence, submitted_at, not_before, deadline_at, timeout_us, leased_at,"
    " started_at, finished_at, lease_expires_at, cancel_requested_at, holder_group, holder_instance,"
    " progress, progress_note"
)
_STATE, _REPEATABLE, _SUBMITTED = 7, 9, 13
_GET = f"""
SELECT {", ".join(f"t.{name.strip()}" for name in _COLUMNS.split(","))},
p.task_data, p.requirements, p.preferred, r.result, r.error
FROM tasks t JOIN task_payloads p ON p.task_id = t.task_id LEFT JOIN task_results r ON r.task_id = t.task_id
WHERE t.task_id = $1"""
_OUTCOME = """
SELECT t.task_id, t.state, t.reason, r.result, r.error
FROM tasks t LEFT JOIN task_results r ON r.task_id = t.task_id WHERE t.task_id """
_OUTCOMES = PerEngine(
    _OUTCOME + "IN (SELECT value FROM json_each($1)) AND t.finished_at IS NOT NULL",
    _OUTCOME + "IN (SELECT jsonb_array_elements_text($1::jsonb)) AND t.finished_at IS NOT NULL",
)
_LOG = """
SELECT seq, line, level, at FROM task_logs WHERE task_id = $1 AND attempt = $2 AND seq > $3
ORDER BY seq LIMIT $4"""
_HELD = """
SELECT t.task_id, t.attempt, t.fence, t.holder_group, t.holder_instance, t.task_type, p.task_data,
p.requirements, t.priority, t.priority_name, t.repeatable, t.submitted_at, t.deadline_at,
t.timeout_us, t.lease_expires_at, t.state, t.reason
FROM tasks t JOIN task_payloads p ON p.task_id = t.task_id
WHERE t.holder_group = $1 AND t.holder_instance = $2 AND t.finished_at IS NULL
AND t.lease_expires_at IS NOT NULL ORDER BY t.leased_at"""
_STOPPING = """
SELECT task_id, fence, holder_group, holder_instance, reason FROM tasks WHERE state = 'cancelling'
ORDER BY submitted_at DESC LIMIT 1000"""


def read_task(task_id: str) -> Unit[Task]:
    """Return a task with its data and result. Raises UnknownTask."""
    rows = yield Sql(_GET, (task_id,))
    if not rows:
        raise UnknownTask(task_id)
    return _task_of(rows[0])


def read_outcome(task_id: str) -> Unit[Outcome]:
    """Return how a task stands. Raises UnknownTask."""
    rows = yield Sql(_OUTCOME + "= $1", (task_id,))
    if not rows:
        raise UnknownTask(task_id)
    return _outcome_of(rows[0])


def read_outcomes(task_ids: Sequence[str]) -> Unit[list[Outcome]]:
    """Return how those of the tasks stand that have ended."""
    rows = yield Sql(_OUTCOMES, (json.dumps(task_ids),))
    return [_outcome_of(row) for row in rows]


def read_held(holder: Holder) -> Unit[list[Assignment]]:
    """Return the leases that a holder has."""
    rows = yield Sql(_HELD, (holder.group, holder.instance))
    return [_assignment_of(row) for row in rows]


def read_stopping() -> Unit[list[tuple[str, int, Holder, str]]]:
    """Return the tasks whose holders are asked to stop, the newest thousand: id, fence, holder, why."""
    rows = yield Sql(_STOPPING)
    return [(row[0], row[1], Holder(row[2], row[3]), row[4]) for row in rows]


def read_log(task_id: str, attempt: int | None, after_seq: int, limit: int) -> Unit[TaskLog]:
    """Return lines of an attempt, of the last one for None. Raises UnknownTask."""
    rows = yield Sql("SELECT attempt FROM tasks WHERE task_id = $1", (task_id,))
    if not rows:
        raise UnknownTask(task_id)
    number = int(rows[0][0]) if attempt is None else attempt
    lines = yield Sql(_LOG, (task_id, number, after_seq, limit + 1))
    kept = tuple(LogLine(row[0], row[1], row[2], row[3]) for row in lines[:limit])
    return TaskLog(task_id, number, kept, len(lines) > limit)


def list_tasks(filters: TaskFilter, cursor: str | None, limit: int) -> Unit[TaskPage]:
    """Return a page, newest first. Raises InvalidCursor."""
    position = read_cursor(cursor) if cursor is not None else None
    scanned = limit + 1 if _served_by_index(filters) else SCANNED
    text, parameters = _listing(filters, position, scanned)
    rows = yield Sql(text, parameters)
    chosen: list[Task] = []
    last: Row | None = None
    for row in rows:
        if len(chosen) == limit:
            return TaskPage(tuple(chosen), write_cursor(last) if last is not None else None)
        last = row
        if _shows(filters, row):
            chosen.append(_task_of(row))
    more = len(rows) == scanned and last is not None
    return TaskPage(tuple(chosen), write_cursor(last) if more and last is not None else None)


def stats_of(counters: dict[str, int]) -> WorkStats:
    """Return the figures that the counters hold."""
    states = {state.value: counters.get(f"state.{state}", 0) for state in State}
    return WorkStats(
        queue_sizes={name: counters.get(f"queued.{name}", 0) for name in reversed(CLASSES)},
        states=states,
        submitted=counters.get("work.submitted", 0),
        distributed=counters.get("work.distributed", 0),
        completed=counters.get("work.completed", 0),
        failed=counters.get("work.failed", 0),
        distribution_us=counters.get("work.distribution_us", 0),
        assigned_ok=counters.get("work.assigned_ok", 0),
        assigned_failed=counters.get("work.assigned_failed", 0),
        active=states["leased"] + states["running"] + states["cancelling"],
    )


def write_cursor(row: Row) -> str:
    """Return the opaque position behind a row."""
    return base64.urlsafe_b64encode(json.dumps([row[_SUBMITTED], row[0]]).encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """Return the position that `write_cursor` wrote. Raises InvalidCursor."""
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        submitted_at, task_id = msgspec.json.decode(data, type=tuple[int, str])
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise InvalidCursor("The cursor is not one of this list") from error
    return submitted_at, task_id


def _served_by_index(filters: TaskFilter) -> bool:
    return len(filters.states) <= 1 and filters == TaskFilter(states=filters.states)


def _listing(
    filters: TaskFilter, position: tuple[int, str] | None, scanned: int
) -> tuple[str, tuple[Value, ...]]:
    """One state is served by an index of its own, everything else by the one over time."""
    conditions: list[str] = []
    parameters: list[Value] = []
    submitted_at = "submitted_at"
    if len(filters.states) == 1:
        parameters.append(filters.states[0].value)
        conditions.append("state = $1")
        if filters.states[0] in ACTIVE:
            # All held ones are read and sorted: they are few. The sum keeps SQLite off the walk through all
            # others.
            conditions.append("lease_expires_at IS NOT NULL")
            submitted_at = "submitted_at + 0"
        else:
            conditions.append("lease_expires_at IS NULL")
    if position is not None:
        number = len(parameters)
        conditions.append(f"({submitted_at}, task_id) < (${number + 1}, ${number + 2})")
        parameters.extend(position)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f" ORDER BY {submitted_at} DESC, task_id DESC LIMIT {scanned}"
    text = f"SELECT {_COLUMNS} FROM tasks{where}{order}"
    return text, tuple(parameters)


def _shows(filters: TaskFilter, row: Row) -> bool:
    return (
        (not filters.states or row[_STATE] in filters.states)
        and (filters.task_type is None or row[3] == filters.task_type)
        and (filters.group is None or row[22] == filters.group)
        and (filters.priority is None or row[5] == filters.priority)
        and (filters.principal is None or row[1] == filters.principal)
    )


def _task_of(row: Row) -> Task:
    values = dict(zip(Task.__struct_fields__, row, strict=False))
    values["state"] = State(row[_STATE])
    values["repeatable"] = bool(row[_REPEATABLE])
    return Task(**values)


def _assignment_of(row: Row) -> Assignment:
    return Assignment(
        task_id=row[0],
        attempt=row[1],
        fence=row[2],
        holder=Holder(row[3], row[4]),
        task_type=row[5],
        task_data=row[6],
        requirements=row[7],
        priority=row[8],
        priority_name=row[9],
        repeatable=bool(row[10]),
        submitted_at=row[11],
        deadline_at=row[12],
        timeout_us=row[13],
        lease_expires_at=row[14],
        state=State(row[15]),
        reason=row[16],
    )


def _outcome_of(row: Row) -> Outcome:
    return Outcome(row[0], State(row[1]), row[2], row[3], row[4])
