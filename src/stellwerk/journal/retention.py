"""Removing events whose class has outlived its time.

Theory of operation. An index over classes and instants would cost every event a seventh of its price, for a
task that runs once in a while; events are in the order of their instants anyway (to within a minute, see
reading.py). So a class is pruned by a walk from the oldest event to the first one that is too young. The
walk remembers how far it came, and what lies behind that place is of longer-lived classes only; after a
restart it starts from the oldest event again.
"""

from typing import NamedTuple

from stellwerk.database.unit import PerEngine, Sql, Unit
from stellwerk.journal.event import Retention
from stellwerk.journal.position import BEYOND, Position
from stellwerk.settings import JournalSettings

STEP = 1_000
"""Events looked at, and removed at most, in one transaction: some milliseconds, for others wait."""

_DAY_US = 86_400_000_000

# $1, $2: behind this place; $3: how many rows are looked at; $4: first instant that stays.
_WALK = PerEngine(
    sqlite="""
        SELECT 0, seq, at FROM events WHERE seq > $2 ORDER BY seq LIMIT $3""",
    postgres="""
        SELECT xid, seq, at FROM events WHERE (xid, seq) > ($1, $2) ORDER BY xid, seq LIMIT $3""",
)

# $1, $2: behind this place; $3, $4: up to this one; $5: the class; $6: first instant that stays.
_DELETE = PerEngine(
    # The newest row stays: SQLite would give its number out again, and a cursor would skip what comes then.
    sqlite="""
        DELETE FROM events WHERE seq > $2 AND seq <= $4 AND class = $5 AND at < $6
            AND seq < (SELECT max(seq) FROM events) RETURNING 1""",
    postgres="""
        DELETE FROM events WHERE (xid, seq) > ($1, $2) AND (xid, seq) <= ($3, $4) AND class = $5 AND at < $6
        RETURNING 1""",
)


class Step(NamedTuple):
    """What one step did; `done` when the walk has come to what is too young."""

    removed: int
    place: Position
    done: bool


def cutoffs(settings: JournalSettings, now_us: int) -> dict[Retention, int]:
    """Return, for each class, the first instant that is kept."""
    days = {
        Retention.TASK: settings.task_days,
        Retention.FLEET: settings.fleet_days,
        Retention.AUDIT: settings.audit_days,
    }
    return {retention: now_us - int(kept * _DAY_US) for retention, kept in days.items()}


def remove_step(retention: Retention, before: int, after: Position) -> Unit[Step]:
    """Remove events of the class older than the instant from the next rows behind the place."""
    rows = yield Sql(_WALK, (*after, STEP))
    old = [Position(row[0], row[1]) for row in rows if row[2] < before]
    # Up to the first young row only: what is behind it may be of this class and not old enough yet.
    young = min((Position(row[0], row[1]) for row in rows if row[2] >= before), default=BEYOND)
    reached = max((place for place in old if place < young), default=after)
    removed = 0
    if reached > after:
        removed = len((yield Sql(_DELETE, (*after, *reached, retention.value, before))))
    return Step(removed, reached, young != BEYOND or len(rows) < STEP)
