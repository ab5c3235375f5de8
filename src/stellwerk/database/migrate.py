"""Migrations: numbered texts, forward only, one text for both engines.

A database remembers in `schema_migrations` what was applied and the checksum of each text. One that knows
more than this release is refused (a downgrade is not supported), as is one whose texts differ: both would
otherwise fail later and worse.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from stellwerk.database.errors import DatabaseTooNew, MigrationChanged
from stellwerk.database.unit import Row, Sql, Unit

Engine = Literal["sqlite", "postgres"]

TOKENS: dict[Engine, dict[str, str]] = {
    "sqlite": {
        "event_position": "seq INTEGER PRIMARY KEY",
        "then_position": "",
        "without_rowid": "WITHOUT ROWID",
        "bytes": "BLOB",
    },
    "postgres": {
        # Sequences commit out of order, transaction numbers below the oldest running one do not: hence the
        # pair.
        "event_position": (
            "xid BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),"
            " seq BIGINT GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (xid, seq)"
        ),
        "then_position": ", xid, seq",
        "without_rowid": "",
        "bytes": "BYTEA",
    },
}
"""What a token in a migration's text becomes."""

CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at BIGINT NOT NULL
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered text."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, engine: Engine) -> list[str]:
        """Return its statements as the engine takes them."""
        text = re.sub(r"--[^\n]*", "", self.text)
        for token, meaning in TOKENS[engine].items():
            text = text.replace("{" + token + "}", meaning)
        return [statement.strip() for statement in text.split(";") if statement.strip()]


def known_migrations() -> list[Migration]:
    """Return the migrations of this release, in order."""
    folder = resources.files("stellwerk.database") / "migrations"
    found = []
    for entry in folder.iterdir():
        number, _, name = entry.name.removesuffix(".sql").partition("_")
        if entry.name.endswith(".sql"):
            found.append(Migration(int(number), name, entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def migrate(engine: Engine, known: Sequence[Migration], now_us: int) -> Unit[int]:
    """Apply what is missing and return how many were; raises DatabaseTooNew, MigrationChanged."""
    yield Sql(CREATE_TABLE)
    rows = yield Sql("SELECT number, name, checksum FROM schema_migrations ORDER BY number")
    applied = check(rows, known)
    missing = [migration for migration in known if migration.number not in applied]
    for migration in missing:
        for statement in migration.statements(engine):
            yield Sql(statement)
        yield Sql(
            "INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
            (migration.number, migration.name, migration.checksum, now_us),
        )
    return len(missing)


def check(rows: Sequence[Row], known: Sequence[Migration]) -> set[int]:
    """Return the applied numbers, or refuse a database that is newer or was migrated by other texts."""
    by_number = {migration.number: migration for migration in known}
    for number, name, checksum in rows:
        migration = by_number.get(number)
        if migration is None:
            raise DatabaseTooNew(
                f"The database has migration {number} ({name}), this release knows none beyond "
                f"{max(by_number, default=0)}. Start a release that is at least as new as the last one used, "
                "or restore a backup from before the upgrade."
            )
        if migration.checksum != checksum:
            raise MigrationChanged(
                f"Migration {number} ({name}) of the database differs from the one of this release. "
                "Start the release that wrote it; released migrations are never edited."
            )
    return {row[0] for row in rows}
