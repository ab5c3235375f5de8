"""One transaction of the SQLite engine with the units of work that share it.

Each unit has a savepoint, so that what one raises undoes only that one. The counters that the units changed
are summed and written last. A failure of the world (disk full or failing, a foreign lock) undoes the whole
transaction, and everybody in it is told.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from stellwerk.database.sqlite_connection import Connection, unavailable
from stellwerk.database.unit import Add, Unit

_COUNT = """
INSERT INTO counters (name, slot, n) VALUES (?1, 0, ?2)
ON CONFLICT (name, slot) DO UPDATE SET n = n + excluded.n"""

_log = structlog.get_logger(__name__)


class Handed(NamedTuple):
    """A unit of work with whom to tell: after the commit, and before it when the statements have run."""

    unit: Unit[Any]
    future: asyncio.Future[Any]
    ran: Callable[[Any], None] | None
    aside: bool
    """Whether it takes long, and so is one for the thread."""


class Outcome(NamedTuple):
    """What a unit's caller is told after the commit: an answer, or else an error."""

    handed: Handed
    answer: Any
    error: BaseException | None


class Group:
    """Runs units in the order in which they are given, in a transaction that was begun already."""

    __slots__ = ("_connection", "_counts", "_handed", "outcomes")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._counts: dict[str, int] = {}
        self._handed: list[Handed] = []
        self.outcomes: list[Outcome] = []

    def run(self, handed: Handed) -> Outcome | None:
        """Run one unit; None if its caller has gone. Raises what undoes the transaction; then `fail`."""
        self._handed.append(handed)
        if handed.future.cancelled():
            handed.unit.close()
            return None
        connection, added = self._connection, list[Add]()
        try:
            connection.execute("SAVEPOINT unit")
            answer = connection.run(handed.unit, added.append)
            connection.execute("RELEASE unit")
        except BaseException as error:
            # SQLite ends the transaction itself after some failures; then nothing of the group can be saved.
            if unavailable(error) or not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO unit")
            connection.execute("RELEASE unit")
            outcome = Outcome(handed, None, error)
        else:
            for counter, amount in added:
                self._counts[counter] = self._counts.get(counter, 0) + amount
            outcome = Outcome(handed, answer, None)
        self.outcomes.append(outcome)
        return outcome

    def __len__(self) -> int:
        return len(self._handed)

    def complete(self) -> None:
        """Write the counters."""
        if self._counts:
            self._connection.cursor.executemany(_COUNT, list(self._counts.items()))

    def commit(self) -> list[Outcome]:
        """Make it durable."""
        self._connection.execute("COMMIT")
        return self.outcomes

    def fail(self, error: BaseException) -> list[Outcome]:
        """Return what callers are told of a transaction that was undone."""
        return give_up(self._handed, error)


def give_up(group: list[Handed], error: BaseException) -> list[Outcome]:
    """Return what callers are told whose transaction did not come about."""
    _log.error("transaction failed", units=len(group), error=str(error))
    for handed in group:
        handed.unit.close()
    # One exception each: raising the same one in many places lets its traceback grow.
    return [Outcome(handed, None, unavailable(error) or error) for handed in group]
