"""What opening a database promises on both engines."""

import asyncio
from pathlib import Path

import pytest

from stellwerk.database.database import Database, open_database
from stellwerk.database.errors import DatabaseTooNew, MigrationChanged
from stellwerk.database.migrate import known_migrations
from stellwerk.database.unit import Row, Sql, Unit
from stellwerk.settings import DatabaseSettings


@pytest.fixture(scope="module")
def postgres_template() -> str:
    """Nothing is migrated beforehand here."""
    return "template1"


async def opened(url: str, folder: Path) -> Database:
    return await open_database(url, data_dir=folder, settings=DatabaseSettings())


def applied() -> Unit[list[Row]]:
    return (yield Sql("SELECT number, name, checksum, applied_at FROM schema_migrations ORDER BY number"))


def execute(text: str) -> Unit[None]:
    yield Sql(text)


async def test_all_migrations_are_applied_once(database_url: str, tmp_path: Path) -> None:
    first = await opened(database_url, tmp_path)
    before = await first.read(applied)
    await first.close()
    again = await opened(database_url, tmp_path)
    assert await again.read(applied) == before
    assert [(row[0], row[1], row[2]) for row in before] == [
        (migration.number, migration.name, migration.checksum) for migration in known_migrations()
    ]
    await again.close()


async def test_a_newer_database_is_refused_in_words_that_help(database_url: str, tmp_path: Path) -> None:
    database = await opened(database_url, tmp_path)
    await database.write(execute("INSERT INTO schema_migrations VALUES (9999, 'from_the_future', 'x', 1)"))
    await database.close()
    with pytest.raises(DatabaseTooNew, match=r"9999 \(from_the_future\).*at least as new"):
        await opened(database_url, tmp_path)


async def test_an_edited_migration_is_refused(database_url: str, tmp_path: Path) -> None:
    database = await opened(database_url, tmp_path)
    await database.write(execute("UPDATE schema_migrations SET checksum = 'other' WHERE number = 1"))
    await database.close()
    with pytest.raises(MigrationChanged, match="Migration 1"):
        await opened(database_url, tmp_path)


async def test_a_refused_database_can_be_opened_once_it_is_put_right(
    database_url: str, tmp_path: Path
) -> None:
    database = await opened(database_url, tmp_path)
    await database.write(execute("UPDATE schema_migrations SET number = -1 WHERE number = 1"))
    await database.close()
    with pytest.raises(DatabaseTooNew):
        await opened(database_url, tmp_path)
    # Nothing is left locked behind the refusal: the second try is refused for the same reason.
    with pytest.raises(DatabaseTooNew):
        await opened(database_url, tmp_path)


@pytest.mark.postgres
async def test_replicas_that_start_together_migrate_once(postgres_url: str, tmp_path: Path) -> None:
    replicas = await asyncio.gather(*(opened(postgres_url, tmp_path) for _ in range(5)))
    assert len(await replicas[0].read(applied)) == len(known_migrations())
    await asyncio.gather(*(replica.close() for replica in replicas))
