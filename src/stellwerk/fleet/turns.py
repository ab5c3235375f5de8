"""Turns: one change of a group at a time, within this process.

On PostgreSQL two changes of one group run on two connections, and their callers may resume in another order
than they committed in; the older one would then overwrite the newer in memory. Whoever changes a group or
reads it back waits for the group's turn around commit and application. Locks exist only while somebody holds
or awaits them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager


class Turns:
    """Gives out turns by group."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, group: str) -> AsyncIterator[None]:
        """Hold the turn of one group."""
        lock, users = self._locks.get(group) or (asyncio.Lock(), 0)
        self._locks[group] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            users = self._locks[group][1] - 1
            if users:
                self._locks[group] = (lock, users)
            else:
                del self._locks[group]

    @asynccontextmanager
    async def of_all(self, groups: Iterable[str]) -> AsyncIterator[None]:
        """Hold the turns of several groups; taken in one global order, so that nobody waits in a circle."""
        async with AsyncExitStack() as held:
            for group in sorted(set(groups)):
                await held.enter_async_context(self.of(group))
            yield
