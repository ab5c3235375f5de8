"""The one writer of the SQLite engine: statements on the event loop, commits in a thread.

Theory of operation. Statements are short and want the interpreter; a commit waits for the disk and does not.
So units of work run on the event loop, and only the COMMIT with its fdatasync runs in the thread. One
transaction is under way at a time, and whoever has it (the loop, then the thread) has the connection alone.

A transaction begins when a unit is handed in, runs what waits, and stays open for another turn of the loop
as long as that brings more: who follows up on what has just run (the dispatcher, on a task that was queued)
joins the same commit. It is bounded in number and in time. Units that are handed in during the commit gather
for the next one: the more callers there are, the fewer syncs each costs, and nobody waits artificially.
Callers are told after the sync.

The thread runs whole transactions where the loop must not wait: the first one, which connects; where a
foreign program holds the lock on the file; and units that were handed in to run `aside`, because they take
long.

After a failure of the world the connection is thrown away, and the next transaction opens a new one. Nothing
is tried again here: the callers' callers decide. A unit whose caller has gone before its turn is not run;
after that it is committed like any other.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.sqlite_connection import Connection
from stellwerk.database.sqlite_group import Group, Handed, Outcome, give_up
from stellwerk.database.sqlite_thread import Worker
from stellwerk.database.unit import Unit

TURN_S = 0.003
"""In one turn of the event loop no further unit is begun after so long."""
OPEN_S = 0.02
"""A transaction on the event loop takes no further unit after so long. Under load only, because without it a
turn brings nothing; half of it costs a tenth of the throughput, and 3 ms a fifth (measured)."""


class Bounds(NamedTuple):
    """How much may gather."""

    group: int
    """Units of one transaction."""
    waiting: int
    """Units that wait for their turn."""


class Writer:
    """See the module. Methods belong to the event loop, but for those that run in the thread, at the end."""

    def __init__(
        self, connect: Callable[[], Connection], loop: asyncio.AbstractEventLoop, bounds: Bounds
    ) -> None:
        self._connect = connect
        self._loop = loop
        self._bounds = bounds
        self._waiting: deque[Handed] = deque()
        self._connection: Connection | None = None
        self._thread = Worker("sqlite-writer", loop)
        self._busy = False
        """Whether a transaction is under way or about to begin."""
        self._closed = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(
        self, unit: Unit[Any], ran: Callable[[Any], None] | None, *, aside: bool
    ) -> asyncio.Future[Any]:
        """Hand a unit in; raises DatabaseUnavailable when too many wait already."""
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        if len(self._waiting) >= self._bounds.waiting:
            raise DatabaseUnavailable(f"{self._bounds.waiting} units of work wait for the disk already")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(Handed(unit, future, ran, aside))
        if not self._busy:
            self._busy = True
            self._quiet.clear()
            self._loop.call_soon(self._begin)
        return future

    async def close(self) -> None:
        """Refuse further units, finish those that wait, and disconnect."""
        self._closed = True
        await self._quiet.wait()
        self._thread.do(self._disconnect, _nothing)
        self._thread.finish()
        await asyncio.to_thread(self._thread.join)

    def _begin(self) -> None:
        waiting, connection = self._waiting, self._connection
        if connection is None or waiting[0].aside or not _begins_at_once(connection):
            some = [waiting.popleft() for _ in range(min(self._bounds.group, len(waiting)))]
            self._thread.do(partial(self._run_aside, some), self._ran_aside)
        else:
            self._run_here(Group(connection), time.monotonic() + OPEN_S)

    def _run_here(self, group: Group, until: float) -> None:
        """Run what waits; come again, unless there was nothing or it is enough."""
        waiting, before, most = self._waiting, len(group), self._bounds.group
        now = time.monotonic()
        turn_ends = now + TURN_S
        try:
            while waiting and not waiting[0].aside and len(group) < most and now < turn_ends:
                handed = waiting.popleft()
                outcome = group.run(handed)
                if handed.ran is not None and outcome is not None and outcome.error is None:
                    handed.ran(outcome.answer)
                now = time.monotonic()
            if before < len(group) < most and now < until:
                self._loop.call_soon(self._run_here, group, until)
                return
            group.complete()
        # Whatever happened, the callers must be told.
        except BaseException as error:
            self._thread.do(partial(self._disconnect, group.fail(error)), self._ended)
        else:
            self._thread.do(partial(self._commit, group), self._ended)

    def _ran_aside(self, outcomes: list[Outcome]) -> None:
        for handed, answer, error in outcomes:
            if handed.ran is not None and error is None:
                handed.ran(answer)
        self._ended(outcomes)

    def _ended(self, outcomes: list[Outcome]) -> None:
        """Tell the callers, and go on behind whatever they do next."""
        for handed, answer, error in outcomes:
            if handed.future.done():
                continue
            if error is None:
                handed.future.set_result(answer)
            else:
                handed.future.set_exception(error)
        if self._waiting:
            self._loop.call_soon(self._begin)
        else:
            self._busy = False
            self._quiet.set()

    # In the thread

    def _commit(self, group: Group) -> list[Outcome]:
        try:
            return group.commit()
        except BaseException as error:
            return self._disconnect(group.fail(error))

    def _run_aside(self, some: list[Handed]) -> list[Outcome]:
        try:
            connection = self._connection = self._connection or self._connect()
            connection.wait_for_locks(True)
            connection.begin("BEGIN IMMEDIATE")
            group = Group(connection)
            for handed in some:
                group.run(handed)
            group.complete()
            outcomes = group.commit()
            connection.wait_for_locks(False)
        except BaseException as error:
            return self._disconnect(give_up(some, error))
        return outcomes

    def _disconnect(self, outcomes: list[Outcome] | None = None) -> list[Outcome]:
        """Throw the connection away: whatever state it is in, a new one is in none."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        return outcomes or []


def _begins_at_once(connection: Connection) -> bool:
    """Begin unless somebody else holds the lock; what else is wrong the thread will meet again, and tell."""
    try:
        connection.begin("BEGIN IMMEDIATE")
    except sqlite3.Error:
        return False
    return True


def _nothing(_: list[Outcome]) -> None:
    return
