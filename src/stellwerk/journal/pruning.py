"""The background pass that removes what has outlived its class.

It takes no input: each round takes the named lock (so that one replica does the work), reads the clock, and
removes in small transactions. A replica that dies in the middle loses the lock by time; the next one goes on.
"""

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop

LOCK = "journal.prune"
EVERY_S = 60.0
"""Retention is counted in days; a minute more does not matter."""
HELD_S = 600

log = structlog.get_logger(__name__)


class Pruner:
    """Runs the pass until it is stopped."""

    def __init__(self, database: Database, journal: Journal, clock: Clock, holder: str) -> None:
        self._lock = database.lock(LOCK, holder)
        self._journal = journal
        self._clock = clock
        self.loop = Loop("journal.prune", self._run, turn_s=HELD_S)

    async def start(self) -> None:
        """Begin; again is no error."""
        self.loop.start()

    async def stop(self) -> None:
        """End; again is no error."""
        await self.loop.stop()

    async def _run(self) -> None:
        while await self.loop.rest(EVERY_S):
            try:
                await self._pass()
            except DatabaseUnavailable as error:
                log.warning("events are not pruned", detail=error.detail)

    async def _pass(self) -> None:
        now_us = self._clock.now_us()
        if await self._lock.take(now_us, HELD_S * MICROSECONDS) is None:
            return
        try:
            removed = await self._journal.prune(now_us)
        finally:
            await self._lock.release()
        if removed:
            log.info("events pruned", removed=removed)
