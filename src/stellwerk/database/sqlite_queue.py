"""Between the event loop and the readers of the SQLite engine: a bounded queue in, one call back out."""

import asyncio
import queue
from typing import Any

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Unit

Waiting = tuple[Unit[Any], asyncio.Future[Any]]
"""A unit of work and whom to tell."""

Outcome = tuple[asyncio.Future[Any], Any, BaseException | None]
"""Whom to tell what: an answer, or else an error."""


class UnitQueue:
    """Units that wait for a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._closed = False

    def submit(self, unit: Unit[Any]) -> asyncio.Future[Any]:
        """Queue the unit (on the event loop); raises DatabaseUnavailable when too many wait already."""
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        if self._waiting.qsize() >= self._limit:
            raise DatabaseUnavailable(f"{self._limit} units of work wait for the disk already")
        future = self._loop.create_future()
        self._waiting.put((unit, future))
        return future

    def take(self, most: int) -> list[Waiting]:
        """Wait for a unit; return it with those that stand behind it. Empty when closed and done."""
        taken: list[Waiting] = []
        waiting = self._waiting.get()
        try:
            while waiting is not None:
                taken.append(waiting)
                if len(taken) >= most:
                    return taken
                waiting = self._waiting.get_nowait()
        except queue.Empty:
            return taken
        # The mark of the end goes back, for this thread's next turn and for the other threads.
        self._waiting.put(None)
        return taken

    def tell(self, outcomes: list[Outcome]) -> None:
        """Resolve the futures, with a single call into the event loop."""
        self._loop.call_soon_threadsafe(resolve, outcomes)

    def close(self) -> None:
        """Refuse further units and let the threads end after those that wait. May be called again."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)


def resolve(outcomes: list[Outcome]) -> None:
    """Tell everybody, on the event loop."""
    for future, answer, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
