"""The live end of the journal: read once, handed to every stream.

Theory of operation. While there are subscriptions, one loop reads what is new and offers each row to each
of them; without any it rests. It is woken by commits of this process and by hints of others, and looks by
itself now and then. Reading is spaced by some milliseconds, so that a burst of commits costs a few reads and
not one each.

A subscription first reads the past page by page. Near the end it attaches to the tail, which from then on
queues what is new; it reads on up to the place that the tail had reached at that moment, and then takes
from the queue. Both may bring the same event, which is seen by its place and passed on once. The queue is
bounded: a reader that lets it fill is detached; it still gets what was queued, then one notice with a
cursor, and its stream ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Row
from stellwerk.journal.event import Dropped, EventFilter, Recorded
from stellwerk.journal.filtering import matches
from stellwerk.journal.position import Position, to_cursor
from stellwerk.journal.reading import place, read_end, read_new, read_slice, recorded
from stellwerk.loop import Loop

_log = structlog.get_logger(__name__)

_SPACING_S = 0.005
_UNDECIDED_S = 0.02
_BATCH = 500


class Subscription:
    """One reader's stream: an iterator that ends when it is closed, dropped, or the tail stops."""

    def __init__(self, tail: "Tail", wanted: EventFilter, after: Position | None) -> None:
        self._tail = tail
        self._wanted = wanted
        self._position = after
        self._past: deque[Row] = deque()
        self._queue: deque[Row] = deque()
        self._arrived = asyncio.Event()
        self._attached = False
        self._ended = False
        self._dropped = False

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Recorded | Dropped:
        while not self._past:
            if not self._attached:
                await self._read_past()
            elif self._queue:
                row = self._queue.popleft()
                if self._position is None or place(row) > self._position:
                    self._past.append(row)
            elif self._dropped:
                self._dropped, self._ended = False, True
                return Dropped(to_cursor(self._position or Position(0, 0)))
            elif self._ended:
                raise StopAsyncIteration
            else:
                self._arrived.clear()
                await self._arrived.wait()
        row = self._past.popleft()
        if self._attached:
            self._position = max(self._position or place(row), place(row))
        return recorded(row)

    async def start(self) -> Position:
        """Fix the place from which the stream goes on; the first step of the iteration does it otherwise."""
        if self._position is None:
            self._position = (await self._tail.database.read(read_end))[0]
        return self._position

    def close(self) -> None:
        """End the stream; may be called more than once."""
        self._ended = True
        self._tail.detach(self)
        self._arrived.set()

    def offer(self, row: Row, limit: int) -> None:
        """Queue the row if it is wanted; mark this reader as dropped when its queue is full."""
        if not matches(self._wanted, row):
            return
        if len(self._queue) >= limit:
            self._dropped = True
            self._tail.detach(self)
        else:
            self._queue.append(row)
        self._arrived.set()

    async def _read_past(self) -> None:
        position, more = await self._read_slice(await self.start())
        if more:
            return
        reached = self._tail.attach(self, position)
        try:
            while position < reached:
                position, _ = await self._read_slice(position)
        except BaseException:
            # What is queued by now would leave a gap behind the place where reading stopped.
            self._tail.detach(self)
            self._queue.clear()
            self._dropped = False
            raise
        self._attached = True

    async def _read_slice(self, after: Position) -> tuple[Position, bool]:
        found = await self._tail.database.read(lambda: read_slice(self._wanted, after, _BATCH))
        self._past.extend(found.rows)
        self._position = found.next
        return found.next, found.more


class Tail:
    """The task that reads what is new, and those to whom it is offered."""

    def __init__(self, database: Database, *, queue_limit: int, poll_s: float) -> None:
        self.database = database
        self._queue_limit = queue_limit
        self._poll_s = poll_s
        self._subscriptions: set[Subscription] = set()
        self._position = Position(0, 0)
        self.loop = Loop("journal.tail", self._run)
        """Begins with the first subscription."""
        self._reading = False
        self._unlisten: Callable[[], None] | None = None
        self._stopped = False

    def wake(self) -> None:
        """Say that something was committed."""
        if self._subscriptions:
            self.loop.wake()

    def attach(self, subscription: Subscription, position: Position) -> Position:
        """Offer everything from now on; return the place behind which that begins."""
        if self._stopped:
            subscription.close()
            return position
        if self._unlisten is None:
            self._unlisten = self.database.listen("journal", self.wake)
            self.loop.start()
        if not self._subscriptions and not self._reading:
            # Nobody is offered what happened while nobody listened.
            self._position = max(self._position, position)
        self._subscriptions.add(subscription)
        self.loop.wake()
        return self._position

    def detach(self, subscription: Subscription) -> None:
        """Offer nothing more."""
        self._subscriptions.discard(subscription)

    async def stop(self) -> None:
        """End all streams and the loop."""
        self._stopped = True
        for subscription in list(self._subscriptions):
            subscription.close()
        if self._unlisten is not None:
            self._unlisten()
        await self.loop.stop()

    async def _run(self) -> None:
        wait_s = 0.0
        while await self.loop.rest(wait_s if self._subscriptions else None):
            self._reading = True
            try:
                wait_s = await self._read()
            except DatabaseUnavailable as error:
                _log.warning("journal cannot be read now", error=str(error))
                wait_s = self._poll_s
            finally:
                self._reading = False
            await asyncio.sleep(_SPACING_S)

    async def _read(self) -> float:
        """Offer what is new; return how long to wait for news before looking again."""
        after = self._position
        rows, undecided = await self.database.read(lambda: read_new(after, _BATCH))
        for row in rows:
            for subscription in tuple(self._subscriptions):
                subscription.offer(row, self._queue_limit)
        if rows:
            self._position = place(rows[-1])
        if len(rows) == _BATCH:
            return 0.0
        return _UNDECIDED_S if undecided else self._poll_s
