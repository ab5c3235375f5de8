"""Reading the journal in its order.

Theory of operation. On SQLite one writer gives rows their numbers in the order of their commits, so a row
number is a place. PostgreSQL gives numbers out before the commit: a reader that saw number 6 might miss
number 5, which commits later. Hence rows also carry their transaction's number, the order is (transaction,
row), and a reader stops below the oldest transaction that is still running (the horizon): everything under
it has been decided, and nothing can appear there any more. The price is that a long transaction anywhere in
the server holds the readers back. Events of one task are in the order in which they happened, also when their
transactions overlapped (see `store`).

A page looks at a bounded number of rows, so that a filter that nothing matches cannot keep a connection
busy: such a page is empty, says `more`, and its cursor has moved on.
"""

from collections.abc import Sequence
from typing import NamedTuple

from stellwerk.database.unit import PerEngine, Row, Sql, Unit, Value
from stellwerk.journal.event import EventFilter, Recorded, Retention
from stellwerk.journal.filtering import AT, COLUMNS, indexed_conditions, is_selective, other_conditions
from stellwerk.journal.position import BEGINNING, BEYOND, Position, UnknownCursor, to_cursor

WINDOW = 10_000
"""Rows that one page looks at in vain at most: some milliseconds."""

_SLACK_US = 60_000_000
"""Events are in the order of their commits, not of their clocks; no two that meet differ by more."""

_HORIZON = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

# $1, $2: behind this place; $3, $4: up to this one; $5: how many; from $6: conditions.
_FIRST_CONDITION = 6
_ROWS = PerEngine(
    sqlite=(
        f"SELECT 0, seq, {COLUMNS} FROM events WHERE seq > $2 AND seq <= $4"
        "{conditions} ORDER BY seq LIMIT $5{offset}"
    ),
    postgres=(
        f"SELECT xid, seq, {COLUMNS} FROM events WHERE (xid, seq) > ($1, $2) AND (xid, seq) <= ($3, $4)"
        f" AND xid < {_HORIZON}{{conditions}} ORDER BY xid, seq LIMIT $5{{offset}}"
    ),
)

_END = PerEngine(
    sqlite="SELECT 0, coalesce(max(seq), 0), 0 FROM events",
    postgres=(
        f"SELECT coalesce(last.xid, 0), coalesce(last.seq, 0), {_HORIZON} FROM (SELECT 1) AS one LEFT JOIN"
        f" (SELECT xid, seq FROM events WHERE xid < {_HORIZON} ORDER BY xid DESC, seq DESC LIMIT 1)"
        " AS last ON true"
    ),
)

_UNDECIDED = PerEngine(
    sqlite="SELECT 0",
    postgres=f"SELECT CASE WHEN EXISTS (SELECT 1 FROM events WHERE xid >= {_HORIZON}) THEN 1 ELSE 0 END",
)

# The first component of a place that both engines can search by: the row, or the transaction.
_BOUNDS = PerEngine(
    sqlite="SELECT min(seq), max(seq) FROM events",
    postgres="SELECT min(xid), max(xid) FROM events",
)
_AT_OR_BEHIND = PerEngine(
    sqlite="SELECT seq, at FROM events WHERE seq >= $1 ORDER BY seq LIMIT 1",
    postgres="SELECT xid, at FROM events WHERE xid >= $1 ORDER BY xid, seq LIMIT 1",
)
_BEFORE = PerEngine(sqlite="SELECT 0, $1 - 1", postgres="SELECT $1::bigint - 1, 9223372036854775807")


class Slice(NamedTuple):
    """Stored rows in order; `next` is the place up to which everything has been looked at."""

    rows: Sequence[Row]
    next: Position
    more: bool


def read_slice(wanted: EventFilter, after: Position | None, limit: int) -> Unit[Slice]:
    """Read what is wanted behind a place (None: from the oldest); raises UnknownCursor."""
    start = after if after is not None else (yield from _beginning(wanted.since))
    bound, passed = BEYOND, False
    if is_selective(wanted):
        bound, passed = yield from _window_end(wanted, start)
    rows = yield from _rows(wanted, start, bound, limit + 1)
    if len(rows) > limit:
        rows = rows[:limit]
        return Slice(rows, place(rows[-1]), True)
    if bound != BEYOND:
        return Slice(rows, bound, not passed)
    end, horizon = yield from read_end()
    if after is not None and after > end and (horizon is None or after.transaction >= horizon):
        raise UnknownCursor("The cursor lies ahead of the journal; was an older backup restored?")
    return Slice(rows, max(start, end), False)


def read_new(after: Position, limit: int) -> Unit[tuple[list[Row], bool]]:
    """Read everything behind a place, and whether more is written but not decided yet."""
    rows = yield from _rows(EventFilter(), after, BEYOND, limit)
    if len(rows) == limit:
        return rows, False
    undecided = yield Sql(_UNDECIDED)
    return rows, bool(undecided[0][0])


def read_end() -> Unit[tuple[Position, int | None]]:
    """Return the place of the newest decided event, and PostgreSQL's horizon (None on SQLite)."""
    row = (yield Sql(_END))[0]
    return Position(int(row[0]), int(row[1])), int(row[2]) or None


def place(row: Row) -> Position:
    """Return a stored row's place."""
    return Position(row[0], row[1])


def recorded(row: Row) -> Recorded:
    """Return the event that a stored row holds."""
    _, _, at, kind, retention, group, task, principal, application, data = row
    return Recorded(
        cursor=to_cursor(place(row)),
        at=at,
        kind=kind,
        retention=Retention(retention),
        group=group,
        task=task,
        principal=principal,
        application=application,
        data=data,
    )


def _rows(wanted: EventFilter, start: Position, bound: Position, limit: int) -> Unit[list[Row]]:
    indexed, values = indexed_conditions(wanted, _FIRST_CONDITION)
    others, more_values = other_conditions(wanted, _FIRST_CONDITION + len(values))
    return (yield _select(indexed + others, (*start, *bound, limit, *values, *more_values)))


def _window_end(wanted: EventFilter, start: Position) -> Unit[tuple[Position, bool]]:
    """Return the last place to look at now, and whether everything behind it is too late for the filter."""
    indexed, values = indexed_conditions(wanted, _FIRST_CONDITION)
    rows = yield _select(indexed, (*start, *BEYOND, 1, *values), f" OFFSET {WINDOW - 1}")
    if not rows:
        return BEYOND, False
    return place(rows[0]), wanted.until is not None and rows[0][AT] >= wanted.until + _SLACK_US


def _select(conditions: str, values: tuple[Value, ...], offset: str = "") -> Sql:
    return Sql(
        PerEngine(
            sqlite=_ROWS.sqlite.format(conditions=conditions, offset=offset),
            postgres=_ROWS.postgres.format(conditions=conditions, offset=offset),
        ),
        values,
    )


def _beginning(since: int | None) -> Unit[Position]:
    """Return a place before every event since the instant: by halving, as instants grow with places."""
    low, high = (yield Sql(_BOUNDS))[0]
    if since is None or low is None:
        return BEGINNING
    while low < high:
        middle = (low + high) // 2
        key, at = (yield Sql(_AT_OR_BEHIND, (middle,)))[0]
        if at < since - _SLACK_US:
            low = key + 1
        else:
            high = middle
    return Position(*(yield Sql(_BEFORE, (low,)))[0])
