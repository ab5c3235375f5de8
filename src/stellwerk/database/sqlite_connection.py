"""One SQLite connection: how it is opened, how it runs a unit of work, and what its failures mean."""

import re
import sqlite3
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import structlog

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Add, Many, PerEngine, Sql, Statement, Unit
from stellwerk.settings import DatabaseSettings

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # FULL: the commit record of every group is on the disk before anybody is answered.
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -16000",
    "PRAGMA temp_store = MEMORY",
    # After a burst the WAL is cut back to this when it is reused.
    "PRAGMA journal_size_limit = 67108864",
)
_READER_PRAGMAS = ("PRAGMA query_only = 1", "PRAGMA cache_size = -4000", "PRAGMA temp_store = MEMORY")

_TEMPORARY = {
    sqlite3.SQLITE_BUSY: "the database is locked by another program",
    sqlite3.SQLITE_LOCKED: "the database is locked by another program",
    sqlite3.SQLITE_NOMEM: "the database is out of memory",
    sqlite3.SQLITE_READONLY: "the database cannot be written to",
    sqlite3.SQLITE_INTERRUPT: "the statement took too long",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_PROTOCOL: "the database is locked by another program",
}
"""Failures of the world, not of a statement: they hit every unit of the transaction, and they pass."""

_DISK_RETRY_S = 10
"""A full or failing disk is not well again after a second."""

_STEPS_PER_LOOK = 200_000
"""Steps of SQLite's machine between two looks at the clock: some milliseconds, so looking costs nothing."""


class Connection:
    """A connection with its one cursor and the time until which its transaction may run."""

    def __init__(self, raw: sqlite3.Connection, settings: DatabaseSettings) -> None:
        self._raw = raw
        self._timeout_s = settings.statement_timeout_s
        self._busy_ms = int(settings.busy_timeout_s * 1_000)
        self._end = 0.0
        self.cursor = raw.cursor()
        self.execute = self.cursor.execute
        raw.set_progress_handler(lambda: time.monotonic() > self._end, _STEPS_PER_LOOK)

    @property
    def in_transaction(self) -> bool:
        return self._raw.in_transaction

    def begin(self, text: str) -> None:
        """Begin a transaction; a statement in it that runs past the time limit is interrupted."""
        self._end = time.monotonic() + self._timeout_s
        self.execute(text)

    def wait_for_locks(self, wait: bool) -> None:
        """Wait for the locks of other programs, or be refused at once."""
        self.execute(f"PRAGMA busy_timeout = {self._busy_ms if wait else 0}").fetchall()

    def run(self, unit: Unit[T], add: Callable[[Add], None]) -> T:
        """Drive the unit to its end inside the transaction."""
        execute, fetchall = self.execute, self.cursor.fetchall
        try:
            statement: Statement = next(unit)
            while True:
                if isinstance(statement, Sql):
                    execute(translate(statement.text), statement.parameters)
                    statement = unit.send(fetchall())
                elif isinstance(statement, Many):
                    self.cursor.executemany(translate(statement.text), statement.rows)
                    statement = unit.send([])
                else:
                    add(statement)
                    statement = unit.send([])
        except StopIteration as end:
            answer: T = end.value
            return answer
        except BaseException:
            unit.close()
            raise

    def close(self) -> None:
        """Undo what is unfinished and disconnect."""
        self._raw.set_progress_handler(None, 0)
        try:
            # SQLite keeps a connection, with its locks, alive behind our back while a statement is
            # unfinished, and a statement lives as long as its cursor, which a traceback may still hold.
            self.cursor.close()
            self._raw.rollback()
            self._raw.close()
        except sqlite3.Error as error:
            _log.warning("connection did not close", error=str(error))


def connect_writer(path: Path, settings: DatabaseSettings) -> Connection:
    """Open the connection that writes; the file is made if it is missing."""
    return _connect(path, "rwc", _WRITER_PRAGMAS, settings)


def connect_reader(path: Path, settings: DatabaseSettings) -> Connection:
    """Open a connection that refuses to write."""
    return _connect(path, "ro", _READER_PRAGMAS, settings)


def _connect(path: Path, mode: str, pragmas: tuple[str, ...], settings: DatabaseSettings) -> Connection:
    escaped = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    raw = sqlite3.connect(
        f"file:{escaped}?mode={mode}",
        uri=True,
        # Transactions are begun and ended here, never by the library behind our back.
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        timeout=settings.busy_timeout_s,
    )
    try:
        for pragma in pragmas:
            raw.execute(pragma).fetchall()
    except BaseException:
        raw.close()
        raise
    return Connection(raw, settings)


@lru_cache(maxsize=4096)
def translate(text: str | PerEngine) -> str:
    """Turn `$1` into SQLite's `?1`, which takes its parameters from a tuple."""
    sql = text.sqlite if isinstance(text, PerEngine) else text
    return re.sub(r"\$(\d+)", r"?\1", sql)


def unavailable(error: BaseException) -> DatabaseUnavailable | None:
    """Return what callers are told of a temporary failure of the world; None for the statement's own."""
    code = _code(error)
    if code not in _TEMPORARY:
        return None
    disk = code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    told = DatabaseUnavailable(f"{_TEMPORARY[code]} ({error})", _DISK_RETRY_S if disk else 1)
    told.__cause__ = error
    return told


def is_refused_write(error: BaseException) -> bool:
    """Whether a reading connection was asked to write."""
    return _code(error) == sqlite3.SQLITE_READONLY


def _code(error: BaseException) -> int:
    # Errors that the library raises by itself (a closed cursor, say) carry no code; the low byte is the
    # primary one.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF if isinstance(error, sqlite3.Error) else 0
