"""The one writer of the SQLite engine.

Theory of operation. Callers put units of work into a queue; one thread takes all that wait (at most a
group's limit) and runs them in one transaction, each in a savepoint, so that what one raises undoes only
that one. The counters that they changed are summed and written last. One COMMIT with its fdatasync makes
the whole group durable, and only then is the event loop told, once for the group. So the more callers there
are, the fewer syncs each costs; nobody waits artificially, because the next group gathers while the last
one syncs.

A failure of the world (disk full or failing, a foreign lock) undoes the whole transaction: everybody in the
group is told DatabaseUnavailable, the connection is thrown away, and the next group opens a new one.
Nothing is tried again here: the callers' callers decide. The thread ends when its queue is closed, after
what was queued before.

A unit whose caller has gone before its turn is not run; after that it is committed like any other.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog

from stellwerk.database.sqlite_connection import Connection, unavailable
from stellwerk.database.sqlite_queue import Outcome, UnitQueue, Waiting
from stellwerk.database.unit import Add

_log = structlog.get_logger(__name__)

_COUNT = """
INSERT INTO counters (name, slot, n) VALUES (?1, 0, ?2)
ON CONFLICT (name, slot) DO UPDATE SET n = n + excluded.n"""


class Writer(threading.Thread):
    """The thread with its connection; opens a new one after failures."""

    def __init__(self, connect: Callable[[], Connection], waiting: UnitQueue, group_limit: int) -> None:
        super().__init__(name="sqlite-writer", daemon=True)
        self._connect = connect
        self._waiting = waiting
        self._group_limit = group_limit
        self._connection: Connection | None = None
        self.groups = 0
        """Transactions so far; with the number of units it tells how well they gather."""

    def run(self) -> None:
        while group := self._waiting.take(self._group_limit):
            self._waiting.tell(self._commit(group))
        self._disconnect()

    def _commit(self, group: list[Waiting]) -> list[Outcome]:
        self.groups += 1
        try:
            if self._connection is None:
                self._connection = self._connect()
            connection = self._connection
            connection.begin("BEGIN IMMEDIATE")
            outcomes = _run_group(connection, group)
            # A unit alone has no savepoint: its failure undoes the transaction. A cancelled one has no
            # outcome.
            failed = len(group) == 1 and outcomes and outcomes[0][2]
            connection.execute("ROLLBACK" if failed else "COMMIT")
        # This is the thread's outermost loop, and whatever happened, the callers must be told.
        except BaseException as error:
            return self._give_up(group, error)
        return outcomes

    def _give_up(self, group: list[Waiting], error: BaseException) -> list[Outcome]:
        _log.error("transaction failed", units=len(group), error=str(error))
        for unit, _ in group:
            unit.close()
        # Whatever state the connection is in, a new one is in none.
        self._disconnect()
        # One exception each: raising the same one in many places lets its traceback grow.
        return [(future, None, unavailable(error) or error) for _, future in group]

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _run_group(connection: Connection, group: list[Waiting]) -> list[Outcome]:
    counts: dict[str, int] = {}
    outcomes: list[Outcome] = []
    alone = len(group) == 1
    for waiting in group:
        if waiting[1].cancelled():
            waiting[0].close()
        else:
            outcomes.append(_run_one(connection, waiting, counts, alone))
    if counts:
        connection.cursor.executemany(_COUNT, list(counts.items()))
    return outcomes


def _run_one(connection: Connection, waiting: Waiting, counts: dict[str, int], alone: bool) -> Outcome:
    unit, future = waiting
    added: list[Add] = []
    answer: Any = None
    try:
        if alone:
            answer = connection.run(unit, added.append)
        else:
            connection.execute("SAVEPOINT unit")
            answer = connection.run(unit, added.append)
            connection.execute("RELEASE unit")
    except BaseException as error:
        # SQLite ends the transaction itself after some failures; then nothing of the group can be saved.
        if unavailable(error) or not connection.in_transaction:
            raise
        if not alone:
            connection.execute("ROLLBACK TO unit")
            connection.execute("RELEASE unit")
        return future, None, error
    for counter, amount in added:
        counts[counter] = counts.get(counter, 0) + amount
    return future, answer, None
