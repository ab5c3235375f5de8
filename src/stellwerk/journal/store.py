"""The journal's SQL: appending inside other subjects' units, reading in order, removing what is old."""

from collections.abc import Iterable

from stellwerk.database.unit import Many, PerEngine, Sql, Unit, Value
from stellwerk.journal.event import Event

_COLUMNS = "at, kind, class, group_id, task_id, principal, application, data"
_VALUES = "$1, $2, $3, $4, $5, $6, $7, $8"
# A transaction over several tasks may have its number before it waits for the lock on one of them. The event
# of that task then goes behind what happened to it meanwhile: whoever holds the lock sees the task's last
# event. Numbers are only moved up, and no reader passes the number of a transaction that is still running, so
# nothing appears behind a reader.
_INSERT = PerEngine(
    f"INSERT INTO events ({_COLUMNS}) VALUES ({_VALUES})",
    f"INSERT INTO events (xid, {_COLUMNS}) VALUES (GREATEST(pg_current_xact_id()::text::bigint,"
    f" (SELECT max(xid) FROM events WHERE task_id = $5)), {_VALUES})",
)


def append(event: Event, now_us: int) -> Unit[None]:
    """Record the event with the rest of the unit: `yield from append(event, now_us)`."""
    yield Sql(_INSERT, _columns(event, now_us))


def append_many(events: Iterable[Event], now_us: int) -> Unit[None]:
    """Record the events in this order; one statement, so cheaper than one `append` each."""
    rows = [_columns(event, now_us) for event in events]
    if rows:
        yield Many(_INSERT, rows)


def _columns(event: Event, now_us: int) -> tuple[Value, ...]:
    return (
        now_us,
        event.kind,
        event.retention.value,
        event.group,
        event.task,
        event.principal,
        event.application,
        event.data,
    )
