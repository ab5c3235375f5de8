"""How many tasks wait, near enough to refuse more: the counters as last read, and what was let in since."""

import asyncio

from stellwerk.database.database import Database
from stellwerk.work.refusals import QueueFull


class QueueGauge:
    """Admits tasks up to a limit.

    Between readings it only counts up, so it may refuse late ones but never too many.
    """

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit
        self._known = 0
        self._since = 0
        self._entering = 0
        self._reading: asyncio.Task[None] | None = None

    async def admit(self) -> None:
        """Let one task in: `entered` must follow. Raises QueueFull."""
        if not self._has_room():
            await self.read()
            if not self._has_room():
                raise QueueFull(self._limit)
        self._entering += 1

    def entered(self, *, queued: bool) -> None:
        """Note whether an admitted task was queued."""
        self._entering -= 1
        self._since += queued

    async def read(self) -> None:
        """Read the counters; callers of the same moment share one reading."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            since = self._since
            counters = await self._database.counters("queued.")
            self._known = sum(counters.values())
            self._since -= since
        finally:
            self._reading = None

    def _has_room(self) -> bool:
        return self._known + self._since + self._entering < self._limit
