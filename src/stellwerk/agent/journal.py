"""The agent's memory of its tasks, on disk: what was received, begun and finished, until the server knows.

Theory of operation. One row a task; the newest attempt counts. A row is *received* before the task is
accepted, *started* before anything is done, *finished* with its (masked) outcome before the server is told,
and *settled* when the server has acknowledged it or refused it for good. Each change is on disk (SQLite,
synchronous=FULL) before the step that depends on it. Whoever restarts therefore knows: a received task was
never begun, a started one may have been, a finished one must be told and never be done again. Credentials are
never written: only whether there were any.

The methods block for one fsync; they run in a thread, one at a time.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from stellwerk.agent.clock import SECOND

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
  task_id TEXT PRIMARY KEY, attempt INTEGER NOT NULL, lease INTEGER NOT NULL, state TEXT NOT NULL,
  task_type TEXT NOT NULL, payload TEXT NOT NULL, credentialed INTEGER NOT NULL, idempotent INTEGER NOT NULL,
  timeout_s REAL NOT NULL, received_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER,
  outcome TEXT, restarts INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_COLUMNS = (
    "task_id, attempt, lease, state, task_type, payload, credentialed, idempotent, timeout_s, started_at, "
    "outcome, restarts"
)
_VERSION = 1


class State(StrEnum):
    """How far a task has come."""

    RECEIVED = "received"
    STARTED = "started"
    FINISHED = "finished"
    SETTLED = "settled"


class JournalUnusable(Exception):
    """The journal cannot be opened. Says what would help."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One task as the journal knows it."""

    task_id: str
    attempt: int
    lease: int
    state: State
    task_type: str
    payload: dict[str, Any]
    credentialed: bool
    """Whether it came with credentials, which a restart has lost."""
    idempotent: bool
    timeout_s: float
    started_at: int | None
    outcome: dict[str, Any] | None
    """What is told to the server, without lease and attempt."""
    restarts: int
    """How many processes of the agent have carried it on."""


class Journal:
    """Keeps the rows. Raises sqlite3.Error when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or make the file. Raises JournalUnusable."""
        try:
            connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            self._path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise JournalUnusable(f"{self._path} was written by a newer agent; start that one")
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version={_VERSION}")
        except (sqlite3.Error, OSError) as error:
            raise JournalUnusable(
                f"the task journal {self._path} cannot be opened: {error}. Look at the disk; if the file is "
                "beyond repair, move it away: the agent then no longer knows what it had begun"
            ) from error
        self._connection = connection

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    async def received(self, entry: Entry, now_us: int) -> None:
        """Record a delivery; it replaces what was known of an older attempt."""
        row = (
            *(entry.task_id, entry.attempt, entry.lease, entry.task_type, _json(entry.payload)),
            *(int(entry.credentialed), int(entry.idempotent), entry.timeout_s, now_us),
        )
        await self._run(
            "INSERT OR REPLACE INTO tasks (task_id, attempt, lease, state, task_type, payload, credentialed, "
            "idempotent, timeout_s, received_at) VALUES (?, ?, ?, 'received', ?, ?, ?, ?, ?, ?)",
            row,
        )

    async def started(self, task_id: str, now_us: int) -> None:
        """Record that the work begins now."""
        await self._run(
            "UPDATE tasks SET state = 'started', started_at = ? WHERE task_id = ?", (now_us, task_id)
        )

    async def unbegun(self, task_id: str) -> None:
        """Record that what had been started had done nothing."""
        await self._run(
            "UPDATE tasks SET state = 'received', started_at = NULL WHERE task_id = ?", (task_id,)
        )

    async def resumed(self, task_id: str) -> None:
        """Record that another process carries it on."""
        await self._run("UPDATE tasks SET restarts = restarts + 1 WHERE task_id = ?", (task_id,))

    async def leased(self, task_id: str, attempt: int, lease: int) -> None:
        """Record that the same work goes on under another delivery."""
        await self._run(
            "UPDATE tasks SET attempt = ?, lease = ? WHERE task_id = ?", (attempt, lease, task_id)
        )

    async def finished(self, task_id: str, outcome: dict[str, Any], now_us: int) -> None:
        """Record how it ended, before anybody is told."""
        await self._run(
            "UPDATE tasks SET state = 'finished', finished_at = ?, outcome = ? WHERE task_id = ?",
            (now_us, _json(outcome), task_id),
        )

    async def settled(self, task_id: str) -> None:
        """Record that the server knows. The outcome stays, for a late redelivery."""
        await self._run("UPDATE tasks SET state = 'settled' WHERE task_id = ?", (task_id,))

    async def forget(self, task_id: str) -> None:
        """Remove a task that was given back."""
        await self._run("DELETE FROM tasks WHERE task_id = ?", (task_id,))

    async def find(self, task_id: str) -> Entry | None:
        """Return what is known of a task."""
        rows = await self._run(f"SELECT {_COLUMNS} FROM tasks WHERE task_id = ?", (task_id,))
        return _entry(rows[0]) if rows else None

    async def unsettled(self) -> list[Entry]:
        """List what an earlier process left, the oldest first."""
        rows = await self._run(
            f"SELECT {_COLUMNS} FROM tasks WHERE state != 'settled' ORDER BY received_at, task_id"
        )
        return [_entry(row) for row in rows]

    async def prune(self, now_us: int, keep_days: float) -> None:
        """Remove settled tasks that ended longer ago."""
        await self._run(
            "DELETE FROM tasks WHERE state = 'settled' AND finished_at < ?",
            (now_us - int(keep_days * 86_400 * SECOND),),
        )

    async def _run(self, text: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        # Shielded by the thread itself: a cancelled caller does not stop a statement half-way.
        return await asyncio.to_thread(self._statement, text, parameters)

    def _statement(self, text: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            if self._connection is None:
                raise sqlite3.OperationalError("the journal is closed")
            return self._connection.execute(text, parameters).fetchall()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _entry(row: tuple[Any, ...]) -> Entry:
    (
        task_id,
        attempt,
        lease,
        state,
        task_type,
        payload,
        credentialed,
        idempotent,
        timeout_s,
        started,
        out,
        n,
    ) = row
    return Entry(
        task_id=task_id,
        attempt=attempt,
        lease=lease,
        state=State(state),
        task_type=task_type,
        payload=msgspec.json.decode(payload),
        credentialed=bool(credentialed),
        idempotent=bool(idempotent),
        timeout_s=timeout_s,
        started_at=started,
        outcome=msgspec.json.decode(out) if out else None,
        restarts=n,
    )
