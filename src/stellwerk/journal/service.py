"""The journal's use cases."""

import asyncio
from collections.abc import Sequence
from functools import partial

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.journal.event import Event, EventFilter, Page, Recorded, Retention
from stellwerk.journal.newest import STEP, Look, read_newest, remove_older
from stellwerk.journal.position import BEGINNING, Position, from_cursor, to_cursor
from stellwerk.journal.reading import read_end, read_slice, recorded
from stellwerk.journal.retention import cutoffs, remove_step
from stellwerk.journal.store import append
from stellwerk.journal.tail import Subscription, Tail
from stellwerk.loop import Loop
from stellwerk.settings import JournalSettings

EVERYTHING = EventFilter()


class Journal:
    """Reads, streams and prunes events; subjects append them inside their own units of work."""

    def __init__(self, database: Database, settings: JournalSettings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._tail = Tail(database, queue_limit=settings.subscriber_queue, poll_s=settings.poll_s)
        self._announcement: asyncio.Task[None] | None = None
        self._pruned: dict[Retention, Position] = {}

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return (self._tail.loop,)

    async def stop(self) -> None:
        """End all streams; may be called more than once."""
        await self._tail.stop()

    async def page(
        self, wanted: EventFilter = EVERYTHING, after: str | None = None, limit: int = 100
    ) -> Page:
        """Return events in order behind the cursor (None: from the oldest); raises UnknownCursor.

        A page whose filter is selective may be empty and still say `more`: go on with `next`.
        """
        start = from_cursor(after) if after is not None else None
        found = await self._database.read(lambda: read_slice(wanted, start, limit))
        return Page(tuple(recorded(row) for row in found.rows), to_cursor(found.next), found.more)

    async def newest(self, look: Look, limit: int = 100, offset: int = 0) -> tuple[list[Recorded], int]:
        """Return what happened to an application, newest first, and how many such events there are."""
        return await self._database.read(lambda: read_newest(look, limit, offset))

    async def clear(self, application: str, before: int) -> int:
        """Remove what happened to an application before an instant, but for audits; return how many."""
        removed, step = 0, STEP
        while step == STEP:
            step = await self._database.write(lambda: remove_older(application, before), aside=True)
            removed += step
        return removed

    async def end(self) -> str:
        """Return the cursor behind the newest event."""
        return to_cursor((await self._database.read(read_end))[0])

    def subscribe(self, wanted: EventFilter = EVERYTHING, after: str | None = None) -> Subscription:
        """Stream events behind the cursor (None: from now on), then those to come; raises UnknownCursor.

        Iterate it, and `close` it at the end. `Dropped` is the last thing that a too slow reader gets.
        """
        return Subscription(self._tail, wanted, from_cursor(after) if after is not None else None)

    async def record(self, event: Event) -> None:
        """Append one event in a unit of its own."""
        now_us = self._clock.now_us()
        await self._database.write(lambda: append(event, now_us))
        self.committed()

    def committed(self) -> None:
        """Wake the streams of all replicas, after a write that appended. Cheap, and only a hint."""
        self._tail.wake()
        if self._database.engine == "postgres" and self._announcement is None:
            self._announcement = asyncio.create_task(self._announce())

    async def prune(self, now_us: int) -> int:
        """Remove what has outlived its class, in small transactions; return how many events."""
        removed = 0
        for retention, before in cutoffs(self._settings, now_us).items():
            done = False
            while not done:
                after = self._pruned.get(retention, BEGINNING)
                step = await self._database.write(partial(remove_step, retention, before, after), aside=True)
                self._pruned[retention], done = step.place, step.done
                removed += step.removed
        return removed

    async def _announce(self) -> None:
        self._announcement = None
        await self._database.notify("journal")
