"""One task at a time may change a target: the others wait for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

from stellwerk.agent.executors.executor import Job, within


class Turns:
    """Locks by the name of a target, kept only while somebody holds or awaits them."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, target: str, job: Job, cancelled: asyncio.Event) -> AsyncIterator[Job]:
        """Wait for the turn and hold it; yields the job with the time that is left.

        Raises Cancelled and TimedOut while waiting.
        """
        lock = self._locks.setdefault(target, asyncio.Lock())
        began = asyncio.get_running_loop().time()
        if lock.locked():
            await within(job, cancelled, lock.acquire())
        else:
            await lock.acquire()
        try:
            waited = asyncio.get_running_loop().time() - began
            yield replace(job, timeout_s=max(0.0, job.timeout_s - waited))
        finally:
            lock.release()
