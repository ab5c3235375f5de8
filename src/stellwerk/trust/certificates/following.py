"""Keeping the table of live certificates the same as the database.

Theory of operation. What this process commits it takes into the table itself and hints at the others. Each
replica reads what changed every half second, or at once after a hint, so a revocation holds everywhere within
a second. "What changed" goes by the writers' clocks, so every reading reaches back a minute: longer than
clocks of replicas differ and than a transaction lasts. While the database is away the table goes on as it is:
agents that were good stay good until their certificates end.
"""

import contextlib
from collections.abc import Callable, Iterable

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database, Unlisten
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.loop import Loop
from stellwerk.trust.certificates import store
from stellwerk.trust.certificates.record import Record
from stellwerk.trust.certificates.table import CertificateTable

CHANNEL = "certificates"
REFRESH_S = 0.5
REACH_BACK_US = 60 * MICROSECONDS

log = structlog.get_logger(__name__)


class Following:
    """Reads changes into the table until it is stopped, and tells who was revoked."""

    def __init__(self, database: Database, table: CertificateTable, clock: Clock, kept_us: int) -> None:
        """`kept_us` is how long a record is kept after its certificate's end."""
        self._database = database
        self.table = table
        self._clock = clock
        self._kept_us = kept_us
        self._read_at = 0
        self._callbacks: list[Callable[[str], None]] = []
        self._unlisten: Unlisten | None = None
        self.loop = Loop("trust.certificates", self._follow)

    async def start(self) -> None:
        """Load, then follow; again is no error. Raises DatabaseUnavailable."""
        if self._unlisten is not None:
            return
        self._read_at = self._clock.now_us()
        self.take(await self._database.read(lambda: store.read_live(self._read_at - self._kept_us)))
        self._unlisten = self._database.listen(CHANNEL, self.loop.wake)
        self.loop.start()

    async def stop(self) -> None:
        """Stop following; again is no error."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        await self.loop.stop()

    def on_revoked(self, callback: Callable[[str], None]) -> Unlisten:
        """Call back with each agent that is revoked."""
        self._callbacks.append(callback)

        def unlisten() -> None:
            with contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return unlisten

    def take(self, records: Iterable[Record]) -> None:
        """Take in what was read or committed."""
        ends_after = self._clock.now_us() - self._kept_us
        for agent_id in self.table.take(record for record in records if record.not_after > ends_after):
            for callback in list(self._callbacks):
                callback(agent_id)

    async def committed(self, records: Iterable[Record]) -> None:
        """Take in what was just committed here, and wake the other replicas."""
        self.take(records)
        await self._database.notify(CHANNEL)

    async def refresh(self) -> None:
        """Read what changed since the last time. Raises DatabaseUnavailable."""
        now_us = self._clock.now_us()
        since = self._read_at - REACH_BACK_US
        self.take(await self._database.read(lambda: store.read_changed(since)))
        self._read_at = now_us

    async def _follow(self) -> None:
        # The embedded engine has one process: what it commits it has taken in.
        shared = self._database.engine == "postgres"
        while await self.loop.rest(REFRESH_S):
            if not shared:
                continue
            try:
                await self.refresh()
            except DatabaseUnavailable as error:
                log.warning("certificates are not refreshed", detail=error.detail)
