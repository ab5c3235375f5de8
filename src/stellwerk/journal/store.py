"""The journal's SQL: appending inside other subjects' units, reading in order, removing what is old."""

from collections.abc import Iterable

from stellwerk.database.unit import Many, Sql, Unit, Value
from stellwerk.journal.event import Event

_INSERT = """
INSERT INTO events (at, kind, class, group_id, task_id, principal, application, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""


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
