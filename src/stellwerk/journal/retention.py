"""Removing events whose class has outlived its time."""

from stellwerk.database.unit import PerEngine, Sql, Unit
from stellwerk.journal.event import Retention
from stellwerk.settings import JournalSettings

STEP = 500
"""Events removed in one transaction: some milliseconds, so that nobody waits long behind it."""

_DAY_US = 86_400_000_000

_DELETE = PerEngine(
    # The newest row stays: SQLite would give its number out again, and a cursor would skip what comes then.
    sqlite="""
        DELETE FROM events WHERE seq IN (
            SELECT seq FROM events WHERE class = $1 AND at < $2 AND seq < (SELECT max(seq) FROM events)
            ORDER BY at LIMIT $3
        ) RETURNING 1""",
    postgres="""
        DELETE FROM events WHERE (xid, seq) IN (
            SELECT xid, seq FROM events WHERE class = $1 AND at < $2 ORDER BY at LIMIT $3
            FOR UPDATE SKIP LOCKED
        ) RETURNING 1""",
)


def cutoffs(settings: JournalSettings, now_us: int) -> dict[Retention, int]:
    """Return, for each class, the first instant that is kept."""
    days = {
        Retention.TASK: settings.task_days,
        Retention.FLEET: settings.fleet_days,
        Retention.AUDIT: settings.audit_days,
    }
    return {retention: now_us - int(kept * _DAY_US) for retention, kept in days.items()}


def remove_step(retention: Retention, before: int) -> Unit[int]:
    """Remove the oldest events of the class, at most a step's worth; return how many."""
    return len((yield Sql(_DELETE, (retention.value, before, STEP))))
