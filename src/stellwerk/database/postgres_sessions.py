"""The connections of the PostgreSQL engine.

Theory of operation. A session is a connection with a slot: the number under which it keeps its counters, so
that no two connections write the same counter row. The slot is held by a session-level advisory lock and is
free again when the connection ends, however it ends. At most `pool_size` sessions exist; who finds none
waits for a limited time.

A session that does not let itself be rolled back is thrown away, never repaired. When a server was
restarted, its idle connections are dead without knowing it; that shows at BEGIN, where nothing has been
done yet, so it is tried once more with a new connection.
"""

import asyncio
from typing import Any

import asyncpg
import structlog

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.postgres_failures import LOST, unavailable
from stellwerk.settings import DatabaseSettings

_log = structlog.get_logger(__name__)

_SLOT_LOCKS = 0x53770001
"""First key of the advisory locks that stand for counter slots; the second is the slot."""

_TAKE_SLOT = f"SELECT n FROM generate_series(1, 4096) n WHERE pg_try_advisory_lock({_SLOT_LOCKS}, n) LIMIT 1"

_CONNECT_TIMEOUT_S = 5.0
_ROLLBACK_TIMEOUT_S = 5.0


class Session:
    """A connection and its counter slot."""

    def __init__(self, connection: Any, slot: int) -> None:
        self.connection = connection
        self.slot = slot


class Sessions:
    """Hands sessions out and takes them back."""

    def __init__(self, url: str, settings: DatabaseSettings) -> None:
        self._url = url
        self._settings = settings
        self._idle: list[Session] = []
        self._free = asyncio.Semaphore(settings.pool_size)
        self._waiting = 0
        self._closed = False
        self._undoing: set[asyncio.Task[None]] = set()

    async def begin(self, text: str) -> Session:
        """Take a session and begin a transaction with this statement; raises DatabaseUnavailable."""
        await self._wait_for_turn()
        try:
            return await self._begin(text)
        except BaseException as error:
            self._free.release()
            if told := unavailable(error):
                raise told from error
            raise

    def release(self, session: Session) -> None:
        """Take back a session whose transaction has ended."""
        self._free.release()
        if self._closed:
            session.connection.terminate()
        elif not session.connection.is_closed():
            self._idle.append(session)

    async def undo(self, session: Session, error: BaseException) -> None:
        """Take back a session in whose transaction this error was raised."""
        if isinstance(error, Exception):
            await self._roll_back(session)
            return
        # The caller was cancelled and must not wait; the server is still busy with the statement.
        task = asyncio.create_task(self._roll_back(session))
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)

    async def close(self) -> None:
        """Disconnect what is idle now; what is in use, when it comes back."""
        self._closed = True
        await asyncio.gather(*self._undoing, return_exceptions=True)
        idle, self._idle = self._idle, []
        for session in idle:
            try:
                await session.connection.close(timeout=_ROLLBACK_TIMEOUT_S)
            except (*LOST, asyncpg.PostgresError) as error:
                _log.debug("connection did not close in order", error=str(error))

    async def _wait_for_turn(self) -> None:
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        if not self._free.locked():
            # Never blocks; spares the timer.
            await self._free.acquire()
            return
        if self._waiting >= self._settings.waiting_limit:
            raise DatabaseUnavailable(f"{self._waiting} units of work wait for a connection already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.busy_timeout_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable("all connections are busy") from error
        finally:
            self._waiting -= 1

    async def _begin(self, text: str) -> Session:
        while self._idle:
            session = self._idle.pop()
            if session.connection.is_closed():
                continue
            try:
                await session.connection.execute(text)
            except LOST as error:
                _log.info("connection was lost while idle", error=str(error))
                session.connection.terminate()
                # The others were connected to the same server; do not try them one by one.
                self._drop_idle()
            except BaseException:
                session.connection.terminate()
                raise
            else:
                return session
        return await self._connect(text)

    async def _connect(self, text: str) -> Session:
        connection = await connect(self._url, self._settings)
        try:
            slot = await connection.fetchval(_TAKE_SLOT)
            await connection.execute(text)
        except BaseException:
            connection.terminate()
            raise
        return Session(connection, slot)

    async def _roll_back(self, session: Session) -> None:
        connection = session.connection
        try:
            if not connection.is_closed():
                # Waits for the statement that was given up; asyncpg has asked the server to end it.
                await connection.execute("ROLLBACK", timeout=_ROLLBACK_TIMEOUT_S)
        except (*LOST, asyncpg.PostgresError) as error:
            _log.info("connection is given up", error=str(error))
            connection.terminate()
        except BaseException:
            connection.terminate()
            raise
        finally:
            # Terminated ones are not kept.
            self.release(session)

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for session in idle:
            session.connection.terminate()


async def connect(url: str, settings: DatabaseSettings) -> Any:
    """Open one connection with this program's session settings."""
    timeout_ms = str(int(settings.statement_timeout_s * 1000))
    return await asyncpg.connect(
        url,
        timeout=_CONNECT_TIMEOUT_S,
        # The server's own limit comes first; this one is for a server that no longer answers at all.
        command_timeout=settings.statement_timeout_s + _ROLLBACK_TIMEOUT_S,
        statement_cache_size=512,
        max_cached_statement_lifetime=0,
        server_settings={
            "application_name": "stellwerk",
            "statement_timeout": timeout_ms,
            # A transaction that hangs holds rows, and the journal's readers, back.
            "idle_in_transaction_session_timeout": timeout_ms,
            # Acknowledged means on the disk, whatever the role's default is.
            "synchronous_commit": "on",
            # Short statements on few rows: compiling them costs more than running them.
            "jit": "off",
        },
    )
