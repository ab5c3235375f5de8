"""The embedded engine: one SQLite file in the data directory, one writer, a few reading threads.

One process uses a data directory at a time; a lock on the file `stellwerk.lock` keeps it so. Other programs
may read the database meanwhile (`sqlite3 -readonly`); one that writes for long makes our writer wait, then
answer "unavailable".
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from stellwerk.database.counters import read_counters
from stellwerk.database.errors import DatabaseLocked, DatabaseUnavailable
from stellwerk.database.hints import Hints
from stellwerk.database.locks import NamedLock
from stellwerk.database.migrate import known_migrations, migrate
from stellwerk.database.sqlite_connection import connect_reader, connect_writer, unavailable
from stellwerk.database.sqlite_queue import UnitQueue
from stellwerk.database.sqlite_readers import Reader
from stellwerk.database.sqlite_writer import Bounds, Writer
from stellwerk.database.unit import Unit, UnitMaker
from stellwerk.settings import DatabaseSettings

T = TypeVar("T")


class SqliteDatabase:
    """See `Database`."""

    engine: Literal["sqlite"] = "sqlite"

    def __init__(self, data_dir: Path, settings: DatabaseSettings) -> None:
        self.path = data_dir / "stellwerk.db"
        self._settings = settings
        self._hints = Hints()
        self._lock_file: int | None = None
        self._reads: UnitQueue | None = None
        self._writer: Writer | None = None
        self._readers: list[Reader] = []

    async def open(self) -> None:
        self._lock_file = await asyncio.to_thread(_lock_directory, self.path.parent)
        try:
            await asyncio.to_thread(self._migrate)
        except BaseException:
            self._unlock()
            raise
        loop = asyncio.get_running_loop()
        self._reads = UnitQueue(loop, self._settings.waiting_limit)
        bounds = Bounds(self._settings.group_limit, self._settings.waiting_limit)
        self._writer = Writer(lambda: connect_writer(self.path, self._settings), loop, bounds)
        self._readers = [
            Reader(lambda: connect_reader(self.path, self._settings), self._reads)
            for _ in range(max(1, self._settings.readers))
        ]
        self._writer.start()
        for reader in self._readers:
            reader.start()

    async def close(self) -> None:
        if self._writer is None or self._reads is None:
            return
        # Readers first: the writer's close is then the last one, which leaves no WAL behind.
        self._reads.close()
        for reader in self._readers:
            await asyncio.to_thread(reader.join)
        await self._writer.close()
        self._writer = None
        self._unlock()

    async def write(
        self, unit: Unit[T] | UnitMaker[T], *, ran: Callable[[T], None] | None = None, aside: bool = False
    ) -> T:
        if self._writer is None:
            raise DatabaseUnavailable("the database is not open")
        answer: T = await self._writer.submit(unit() if callable(unit) else unit, ran, aside=aside)
        return answer

    async def read(self, unit: Unit[T] | UnitMaker[T]) -> T:
        if self._reads is None:
            raise DatabaseUnavailable("the database is not open")
        answer: T = await self._reads.submit(unit() if callable(unit) else unit)
        return answer

    async def counters(self, prefix: str = "") -> dict[str, int]:
        return await self.read(read_counters(prefix))

    def lock(self, name: str, holder: str) -> NamedLock:
        return NamedLock(self, name, holder)

    async def notify(self, channel: str, *, here: bool = True) -> None:
        if here:  # Nobody else can open the data directory.
            self._hints.wake(channel)

    def listen(self, channel: str, callback: Callable[[], None]) -> Callable[[], None]:
        return self._hints.listen(channel, callback)

    def _migrate(self) -> None:
        # Made by hand before SQLite does it, so that nobody else can ever read it.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            connection = connect_writer(self.path, self._settings)
            try:
                connection.begin("BEGIN IMMEDIATE")
                connection.run(migrate("sqlite", known_migrations(), time.time_ns() // 1_000), _no_counters)
                connection.execute("COMMIT")
            finally:
                connection.close()
        except Exception as error:
            if told := unavailable(error):
                raise told from error
            raise
        _sync_directory(self.path.parent)

    def _unlock(self) -> None:
        descriptor, self._lock_file = self._lock_file, None
        if descriptor is not None:
            os.close(descriptor)


def _lock_directory(directory: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / "stellwerk.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise DatabaseLocked(
            f"The data directory {directory} is used by another process ({owner or 'unknown'}). "
            "Stop it, or give this one a directory of its own with --data-dir."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"pid {os.getpid()}".encode(), 0)
    return descriptor


def _sync_directory(directory: Path) -> None:
    # The file's content is synced by SQLite, its name in the directory is not in every mode.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _no_counters(_: object) -> None:
    raise AssertionError("A migration changes no counters")
