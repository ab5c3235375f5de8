"""The database as the subjects see it, and the choice of its engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit, UnitMaker
from stellwerk.settings import DatabaseSettings

T = TypeVar("T")

Unlisten = Callable[[], None]
"""Ends the listening; may be called more than once."""


class Database(Protocol):
    """Runs units of work durably; what awaits raises DatabaseUnavailable while the store cannot answer."""

    @property
    def engine(self) -> Literal["sqlite", "postgres"]: ...

    async def write(
        self, unit: Unit[T] | UnitMaker[T], *, ran: Callable[[T], None] | None = None, aside: bool = False
    ) -> T:
        """Run the unit in a transaction and return its answer after the commit has reached the disk.

        Whatever the unit raises comes out here, and nothing of it stays. Hand in a callable that makes the
        unit (`lambda: submit(…)`): it is tried again, at most three times, where the engine reports a
        serialisation failure; a generator that has been started cannot be. A cancelled caller's unit may
        still be committed.

        `ran` is called once with the answer, on the event loop, as soon as units handed in from then on see
        what this one wrote. That may be before its commit, which can still fail: a hint for those who follow
        up in units of their own, who may then share the commit. It must not raise.

        `aside` says that the unit may take more than some milliseconds, and must not hold up the event loop.
        """
        ...

    async def read(self, unit: Unit[T] | UnitMaker[T]) -> T:
        """Run a unit that only reads, in one snapshot; a writing statement is refused."""
        ...

    async def counters(self, prefix: str = "") -> dict[str, int]:
        """Return the counters whose names start with the prefix."""
        ...

    def lock(self, name: str, holder: str) -> NamedLock:
        """Return the named lock as seen by this holder; nothing is taken yet."""
        ...

    async def notify(self, channel: str, *, here: bool = True) -> None:
        """Wake a channel's listeners in every replica; without `here` only in the others.

        A hint: coalesced, may be lost, carries nothing.
        """
        ...

    def listen(self, channel: str, callback: Callable[[], None]) -> Unlisten:
        """Call back on the event loop after notifications, and when some may have been lost."""
        ...

    async def open(self) -> None:
        """Connect and migrate. Raises DatabaseTooNew, DatabaseLocked, MigrationChanged."""
        ...

    async def close(self) -> None:
        """Finish what is running and disconnect; may be called more than once."""
        ...


async def open_database(url: str, *, data_dir: Path, settings: DatabaseSettings) -> Database:
    """Open the engine that the URL names: `sqlite` (a file in the data directory) or `postgresql://…`."""
    database: Database
    if url == "sqlite":
        from stellwerk.database.sqlite import SqliteDatabase

        database = SqliteDatabase(data_dir, settings)
    elif url.startswith(("postgresql://", "postgres://")):
        try:
            from stellwerk.database.postgres import PostgresDatabase
        except ImportError as error:
            raise ValueError(
                "PostgreSQL needs the package asyncpg: pip install 'stellwerk[postgres]'"
            ) from error

        database = PostgresDatabase(url, settings)
    else:
        raise ValueError("The database is 'sqlite' or a URL that starts with 'postgresql://'")
    await database.open()
    return database
