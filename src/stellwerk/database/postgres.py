"""The engine for several replicas: every unit of work is a transaction of its own on a PostgreSQL connection.

Theory of operation. Writing units run at READ COMMITTED and lock what they decide on; reading ones in one
REPEATABLE READ snapshot. A unit that was handed in as a callable is begun afresh after a serialisation
failure or a deadlock; a started generator cannot be. When the connection is lost during COMMIT nobody knows
whether it took place: callers are told "unavailable", like before, and find out by asking again under the
same idempotency key.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from stellwerk.database.counters import read_counters
from stellwerk.database.errors import DatabaseUnavailable, WriteRefused
from stellwerk.database.locks import NamedLock
from stellwerk.database.migrate import known_migrations, migrate
from stellwerk.database.postgres_failures import is_refused_write, unavailable, worth_another_try
from stellwerk.database.postgres_hints import PostgresHints
from stellwerk.database.postgres_sessions import Session, Sessions, connect
from stellwerk.database.unit import Add, Many, PerEngine, Row, Sql, Statement, Unit, UnitMaker
from stellwerk.settings import DatabaseSettings

T = TypeVar("T")

_BEGIN_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_TRIES = 3

_MIGRATION_LOCK = 0x53770000
"""Advisory lock under which starters migrate, one after the other."""

_SETTLE_RESTORED = """
UPDATE events SET xid = 0
WHERE EXISTS (SELECT 1 FROM events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"""
"""A dump that is restored into another server brings transaction numbers that this one has not reached.
Without this the journal would show its old events late and its new ones before them."""

_COUNT = """
INSERT INTO counters (name, slot, n)
SELECT name, $1, n FROM unnest($2::text[], $3::bigint[]) AS added (name, n)
ON CONFLICT (name, slot) DO UPDATE SET n = counters.n + excluded.n"""


class PostgresDatabase:
    """See `Database`."""

    engine: Literal["postgres"] = "postgres"

    def __init__(self, url: str, settings: DatabaseSettings) -> None:
        self._url = url
        self._settings = settings
        self._sessions: Sessions | None = None
        self._hints = PostgresHints(lambda: connect(url, settings))

    async def open(self) -> None:
        self._sessions = Sessions(self._url, self._settings)
        try:
            await self.write(_migrate_alone)
        except BaseException:
            await self.close()
            raise
        self._hints.start()

    async def close(self) -> None:
        await self._hints.stop()
        sessions, self._sessions = self._sessions, None
        if sessions is not None:
            await sessions.close()

    async def write(
        self, unit: Unit[T] | UnitMaker[T], *, ran: Callable[[T], None] | None = None, aside: bool = False
    ) -> T:
        answer = await self._write(unit)
        if ran is not None:
            ran(answer)
        return answer

    async def _write(self, unit: Unit[T] | UnitMaker[T]) -> T:
        if not callable(unit):
            return await self._transact(unit, _BEGIN_WRITE)
        for tries in range(1, _TRIES + 1):
            try:
                return await self._transact(unit(), _BEGIN_WRITE)
            except DatabaseUnavailable as error:
                if tries == _TRIES or not worth_another_try(error.__cause__ or error):
                    raise
            # Those who got into each other's way should not meet again at once.
            await asyncio.sleep(random.uniform(0, 0.01 * tries))  # noqa: S311
        raise AssertionError("unreachable")

    async def read(self, unit: Unit[T] | UnitMaker[T]) -> T:
        return await self._transact(unit() if callable(unit) else unit, _BEGIN_READ)

    async def counters(self, prefix: str = "") -> dict[str, int]:
        return await self.read(read_counters(prefix))

    def lock(self, name: str, holder: str) -> NamedLock:
        return NamedLock(self, name, holder)

    async def notify(self, channel: str, *, here: bool = True) -> None:
        self._hints.wake(channel, here=here)

    def listen(self, channel: str, callback: Callable[[], None]) -> Callable[[], None]:
        return self._hints.listen(channel, callback)

    async def _transact(self, unit: Unit[T], begin: str) -> T:
        sessions = self._sessions
        if sessions is None:
            raise DatabaseUnavailable("the database is not open")
        session = await sessions.begin(begin)
        try:
            answer = await _run(session, unit, begin is _BEGIN_WRITE)
            await session.connection.execute("COMMIT")
        except BaseException as error:
            unit.close()
            await sessions.undo(session, error)
            if begin is _BEGIN_READ and is_refused_write(error):
                raise WriteRefused("A unit that was handed to `read` tried to write") from error
            if told := unavailable(error):
                raise told from error
            raise
        sessions.release(session)
        return answer


async def _run(session: Session, unit: Unit[T], may_write: bool) -> T:
    connection = session.connection
    counts: dict[str, int] = {}
    try:
        statement: Statement = next(unit)
        while True:
            if isinstance(statement, Add):
                if not may_write:
                    raise WriteRefused(
                        f"A unit that was handed to `read` tried to count {statement.counter!r}"
                    )
                counts[statement.counter] = counts.get(statement.counter, 0) + statement.amount
                statement = unit.send([])
            else:
                statement = unit.send(await _execute(connection, statement))
    except StopIteration as end:
        answer: T = end.value
        if counts:
            await connection.execute(_COUNT, session.slot, list(counts), list(counts.values()))
        return answer


async def _execute(connection: Any, statement: Sql | Many) -> list[Row]:
    text = statement.text.postgres if isinstance(statement.text, PerEngine) else statement.text
    if isinstance(statement, Many):
        await connection.executemany(text, statement.rows)
        return []
    # Tuples, as from SQLite: asyncpg's own records take strings for keys.
    return [tuple(row) for row in await connection.fetch(text, *statement.parameters)]


def _migrate_alone() -> Unit[int]:
    yield Sql("SELECT pg_advisory_xact_lock($1)", (_MIGRATION_LOCK,))
    applied = yield from migrate("postgres", known_migrations(), time.time_ns() // 1_000)
    yield Sql(_SETTLE_RESTORED)
    return applied
