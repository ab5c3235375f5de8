"""The background pass that removes sessions that have outlived their time.

It takes no input: each round takes the named lock, so that one replica does the work, and removes in small
transactions. With a session go its evidence, its remedies and its lock.
"""

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.locks import forget
from stellwerk.database.unit import Unit
from stellwerk.inquiry.remedies.store import remove_of
from stellwerk.inquiry.sessions import store
from stellwerk.inquiry.sessions.service import lock_of
from stellwerk.loop import Loop

EVERY_S = 300.0
"""Retention is counted in days; minutes do not matter."""
HELD_S = 600
STEP = 50
"""Sessions in one transaction: each may have megabytes of evidence."""
_DAY_US = 86_400 * MICROSECONDS

log = structlog.get_logger(__name__)


class Retention:
    """Runs the pass until it is stopped."""

    def __init__(self, database: Database, clock: Clock, *, days: float, holder: str) -> None:
        self._database = database
        self._clock = clock
        self._kept_us = int(days * _DAY_US)
        self._lock = database.lock("inquiry.retention", holder)
        self.loop = Loop("inquiry.retention", self._run, turn_s=HELD_S)

    async def start(self) -> None:
        """Begin; again is no error."""
        self.loop.start()

    async def stop(self) -> None:
        """End; again is no error."""
        await self.loop.stop()

    async def _run(self) -> None:
        while await self.loop.rest(EVERY_S):
            try:
                await self.remove_old()
            except DatabaseUnavailable as error:
                log.warning("old investigations are not removed", detail=error.detail)

    async def remove_old(self) -> int:
        """Remove what is too old; return how many sessions."""
        now_us = self._clock.now_us()
        if await self._lock.take(now_us, HELD_S * MICROSECONDS) is None:
            return 0
        removed = 0
        try:
            while found := await self._database.write(lambda: _step(now_us - self._kept_us)):
                removed += found
        finally:
            await self._lock.release()
        return removed


def _step(before_us: int) -> Unit[int]:
    gone = yield from store.remove_older(before_us, STEP)
    yield from remove_of(gone)
    yield from forget(lock_of(one) for one in gone)
    return len(gone)
