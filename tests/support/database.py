"""Opened databases for tests that need one of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stellwerk.database.sqlite import SqliteDatabase
from stellwerk.settings import DatabaseSettings


@asynccontextmanager
async def sqlite_database(
    data_dir: Path, settings: DatabaseSettings | None = None
) -> AsyncIterator[SqliteDatabase]:
    """Open a SQLite database in the folder (`tmp_path`, say) and close it at the end."""
    database = SqliteDatabase(data_dir, settings or DatabaseSettings())
    await database.open()
    try:
        yield database
    finally:
        await database.close()
