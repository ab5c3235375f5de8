"""The readers of the SQLite engine.

Theory of operation. A few threads, each with a read-only connection, take waiting units from one queue;
those taken together share one snapshot, which is begun after the last of them was handed in, so everybody
sees what was committed before. A snapshot lives only inside one such turn: a long-lived one would keep the
WAL from being reused. WAL lets readers and the writer go on beside each other. After a failure of the world
the connection is thrown away, as the writer does it; the units that had their answers keep them.
"""

import threading
from collections.abc import Callable
from typing import Any

from stellwerk.database.errors import WriteRefused
from stellwerk.database.sqlite_connection import Connection, is_refused_write, unavailable
from stellwerk.database.sqlite_queue import Outcome, UnitQueue, Waiting
from stellwerk.database.unit import Add, Unit

_TURN = 16
"""Units that share a snapshot: enough to spare most wake-ups, few enough to spread over the threads."""


class Reader(threading.Thread):
    """A thread with its connection, one of several on the same queue."""

    def __init__(self, connect: Callable[[], Connection], waiting: UnitQueue) -> None:
        super().__init__(name="sqlite-reader", daemon=True)
        self._connect = connect
        self._waiting = waiting
        self._connection: Connection | None = None

    def run(self) -> None:
        while turn := self._waiting.take(_TURN):
            self._waiting.tell(self._answer(turn))
        self._disconnect()

    def _answer(self, turn: list[Waiting]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.begin("BEGIN")
            for unit, future in turn:
                outcomes.append((future, *_read(self._connection, unit)))
            self._connection.execute("COMMIT")
        # This is the thread's outermost loop, and whatever happened, the callers must be told.
        except BaseException as error:
            self._disconnect()
            rest = turn[len(outcomes) :]
            for unit, _ in rest:
                unit.close()
            # One exception each: raising the same one in many places lets its traceback grow.
            outcomes += [(future, None, unavailable(error) or error) for _, future in rest]
        return outcomes

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _read(connection: Connection, unit: Unit[Any]) -> tuple[Any, BaseException | None]:
    try:
        return connection.run(unit, _refuse), None
    except BaseException as error:
        if is_refused_write(error):
            return None, WriteRefused("A unit that was handed to `read` tried to write")
        if unavailable(error) or not connection.in_transaction:
            raise
        return None, error


def _refuse(add: Add) -> None:
    raise WriteRefused(f"A unit that was handed to `read` tried to count {add.counter!r}")
