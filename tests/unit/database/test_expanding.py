"""Migrations may only add: the release before must go on serving on what this one migrated.

What neighbouring releases promise each other is in docs/upgrading.md; here every migration is held to it.
"""

import re

import pytest

from stellwerk.database.migrate import Migration, known_migrations

ADDED_COLUMN = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+) (.*)", re.DOTALL)
NEW_TABLE = re.compile(r"CREATE TABLE (\w+) \(")
INDEX = re.compile(r"CREATE (UNIQUE )?INDEX (\w+) ON (\w+) ")
FILLED = re.compile(r"UPDATE (\w+) SET (\w+) = ")


def faults(migration: Migration) -> list[str]:
    """Say what the release before could not live with."""
    made: set[str] = set()
    added: set[tuple[str, str]] = set()
    found = []
    for statement in migration.statements("sqlite"):
        if table := NEW_TABLE.match(statement):
            made.add(table[1])
        elif index := INDEX.match(statement):
            # What is unique from now on would refuse rows that the release before writes.
            if index[1] and index[3] not in made:
                found.append(f"unique index on {index[3]}")
        elif column := ADDED_COLUMN.match(statement):
            added.add((column[1], column[2]))
            if "NOT NULL" in column[3] and "DEFAULT" not in column[3]:
                found.append(f"{column[1]}.{column[2]} must be given by who does not know it")
        elif (filled := FILLED.match(statement)) and (filled[1], filled[2]) in added:
            pass
        else:
            found.append(statement.split("\n")[0])
    return found


@pytest.mark.parametrize("migration", known_migrations(), ids=lambda one: f"{one.number:04}")
def test_every_migration_leaves_the_release_before_what_it_reads_and_writes(migration: Migration) -> None:
    assert faults(migration) == []


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE tasks",
        "ALTER TABLE tasks DROP COLUMN state",
        "ALTER TABLE tasks RENAME COLUMN state TO phase",
        "ALTER TABLE tasks ADD COLUMN colour TEXT NOT NULL",
        "CREATE UNIQUE INDEX one ON tasks (application)",
        "UPDATE tasks SET state = 'done'",
        "DELETE FROM tasks",
    ],
)
def test_what_takes_away_or_forbids_is_seen(text: str) -> None:
    assert len(faults(Migration(99, "x", text))) == 1
