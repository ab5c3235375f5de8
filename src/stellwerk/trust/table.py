"""A table of credentials held in memory: keys, connector tokens.

Theory of operation. Authenticating costs microseconds and works while the database does not, because all
records are in memory. Who changes one commits it first and then calls `changed`; other replicas are woken by
`notify` and read the table again, and do so every second as well, because a hint may be lost. Last uses are
collected in memory and written by the same loop, at most every `written_every_s`. One loop owns both; `start`
and `stop` may be called again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database, Unlisten
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Unit
from stellwerk.loop import Loop
from stellwerk.trust.principal import Principal

REFRESH_S = 1.0

R = TypeVar("R")
P = TypeVar("P", bound=Principal)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kind(Generic[R, P]):
    """What one kind of credential is called, and how it is read and written."""

    channel: str
    read: Callable[[], Unit[list[R]]]
    touch: Callable[[dict[str, int]], Unit[None]]
    """Writes last uses, microseconds by id; never moves back."""
    id_of: Callable[[R], str]
    with_use: Callable[[R, int], R]
    principal_of: Callable[[R], P]


class CredentialTable(Generic[R, P]):
    """Every record of one kind, by id."""

    def __init__(self, kind: Kind[R, P], database: Database, clock: Clock, *, written_every_s: float) -> None:
        self._kind = kind
        self._database = database
        self._clock = clock
        self._written_every_us = written_every_s * MICROSECONDS
        self._records: dict[str, R] = {}
        self._principals: dict[str, P] = {}
        self._used_at: dict[str, int] = {}
        self._written_at = 0
        self._changes = 0
        self.loop = Loop(f"trust.{kind.channel}", self._follow)
        self._unlisten: Unlisten | None = None
        self._refreshed = asyncio.Event()

    def __iter__(self) -> Iterator[R]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def get(self, record_id: str) -> R | None:
        """Look a record up."""
        return self._records.get(record_id)

    async def load(self) -> None:
        """Read the table. Raises DatabaseUnavailable."""
        changes = self._changes
        records = await self._database.read(self._kind.read)
        if changes == self._changes:  # Else the snapshot may be older than what was just committed here.
            self._records = {self._kind.id_of(one): one for one in records}
            self._principals = {self._kind.id_of(one): self._kind.principal_of(one) for one in records}

    async def start(self) -> None:
        """Load, then follow other replicas and write last uses until `stop`."""
        if self._unlisten is None:
            await self.load()
            self._unlisten = self._database.listen(self._kind.channel, self.loop.wake)
            self.loop.start()

    async def refreshed(self) -> None:
        """Wait until the loop has looked at the table once more."""
        await self._refreshed.wait()

    async def stop(self) -> None:
        """End the loop and write what it still has."""
        if self._unlisten is None:
            return
        self._unlisten()
        self._unlisten = None
        await self.loop.stop()
        with contextlib.suppress(DatabaseUnavailable):
            await self.flush()

    def use(self, record_id: str, now_us: int) -> P:
        """Note that a record of the table was used, and return whom it stands for."""
        self._used_at[record_id] = now_us
        return self._principals[record_id]

    async def changed(self, record: R) -> None:
        """Take over what was just committed, and wake other replicas."""
        self._changes += 1
        self._records[self._kind.id_of(record)] = record
        self._principals[self._kind.id_of(record)] = self._kind.principal_of(record)
        await self._database.notify(self._kind.channel)

    async def flush(self) -> None:
        """Write the last uses collected so far."""
        used, self._used_at = self._used_at, {}
        self._written_at = self._clock.now_us()
        if not used:
            return
        try:
            await self._database.write(lambda: self._kind.touch(used))
        except DatabaseUnavailable:
            self._used_at = {**used, **self._used_at}
            raise
        for record_id, at in used.items():
            record = self._records.get(record_id)
            if record is not None:
                self._records[record_id] = self._kind.with_use(record, at)

    async def _follow(self) -> None:
        shared = self._database.engine == "postgres"
        while await self.loop.rest(REFRESH_S):
            try:
                if shared:
                    await self.load()
                self._refreshed.set()
                self._refreshed.clear()
                if self._clock.now_us() - self._written_at >= self._written_every_us:
                    await self.flush()
            except DatabaseUnavailable as error:
                log.warning("credentials are not refreshed", of=self._kind.channel, detail=error.detail)
