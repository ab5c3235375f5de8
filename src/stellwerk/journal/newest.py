"""What happened to an application, newest first: for those who look, not for those who follow.

Only events of deployments are read so; they have an index of their own, and their `type` and `resourceKey` in
their data. A page that is asked for by its offset may shift while new events come; whoever must not miss one
follows the stream instead.
"""

from dataclasses import dataclass
from typing import Literal

from stellwerk.database.unit import PerEngine, Row, Sql, Unit, Value
from stellwerk.journal.event import Recorded, Retention
from stellwerk.journal.filtering import COLUMNS
from stellwerk.journal.reading import recorded

STEP = 1_000
"""Events removed in one transaction."""

_OURS = "substr(kind, 1, 7) = 'deploy.' AND application = $1"
_TYPE = PerEngine("json_extract(data, '$.type')", "(data::json ->> 'type')")


@dataclass(frozen=True, slots=True)
class Look:
    """Which events of an application; None means all."""

    application: str
    type: Literal["error", "success", "info", "warning"] | None = None
    resource: str | None = None
    since: int | None = None
    """First instant that counts, microseconds UTC."""
    until: int | None = None
    """Last instant that counts."""


def read_newest(look: Look, limit: int, offset: int) -> Unit[tuple[list[Recorded], int]]:
    """Return events, newest first, and how many there are in all."""
    conditions, values = _conditions(look)
    rows = yield _sql(
        "SELECT {position}, " + COLUMNS + " FROM events WHERE {conditions} ORDER BY {newest}"
        f" LIMIT ${len(values) + 1} OFFSET ${len(values) + 2}",
        conditions,
        (*values, limit, offset),
    )
    counted = yield _sql("SELECT count(*) FROM events WHERE {conditions}", conditions, tuple(values))
    return [recorded(row) for row in rows], int(counted[0][0])


def remove_older(application: str, before: int) -> Unit[int]:
    """Remove some events from before an instant; return how many. What is kept for audits stays."""
    rows: list[Row] = yield Sql(
        PerEngine(
            # The newest row stays: SQLite would give its number out again.
            sqlite=f"DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE {_OURS} AND at < $2"
            " AND class <> $3 AND seq < (SELECT max(seq) FROM events) LIMIT $4) RETURNING 1",
            postgres=f"DELETE FROM events WHERE (xid, seq) IN (SELECT xid, seq FROM events WHERE {_OURS}"
            " AND at < $2 AND class <> $3 LIMIT $4) RETURNING 1",
        ),
        (application, before, Retention.AUDIT.value, STEP),
    )
    return len(rows)


def _conditions(look: Look) -> tuple[PerEngine, list[Value]]:
    sqlite = postgres = _OURS
    values: list[Value] = [look.application]
    parts: tuple[tuple[PerEngine, Value], ...] = (
        (PerEngine(f"{_TYPE.sqlite} =", f"{_TYPE.postgres} ="), look.type),
        (PerEngine("group_id =", "group_id ="), look.resource),
        (PerEngine("at >=", "at >="), look.since),
        (PerEngine("at <=", "at <="), look.until),
    )
    for text, value in parts:
        if value is not None:
            values.append(value)
            sqlite += f" AND {text.sqlite} ${len(values)}"
            postgres += f" AND {text.postgres} ${len(values)}"
    return PerEngine(sqlite, postgres), values


def _sql(text: str, conditions: PerEngine, values: tuple[Value, ...]) -> Sql:
    return Sql(
        PerEngine(
            text.format(position="0, seq", newest="seq DESC", conditions=conditions.sqlite),
            text.format(position="xid, seq", newest="xid DESC, seq DESC", conditions=conditions.postgres),
        ),
        values,
    )
