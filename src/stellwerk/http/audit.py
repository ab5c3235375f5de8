"""Refusals in the journal, at a bounded rate, so that a flood of them fills neither the disk nor the memory.

Theory of operation. `note` runs on the event loop and only appends to a bounded queue; one loop writes the
queue to the journal. What is beyond the rate (per peer and in total) is counted, and the count goes out
with the next refusal that is written. While the database cannot answer, refusals are counted as suppressed
too: a refusal never waits for it.
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Protocol

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.http.limits import Rate
from stellwerk.journal.event import Event, Retention
from stellwerk.loop import Loop

QUEUED = 1_000
PATH_LIMIT = 200


class Recorder(Protocol):
    """What is needed of the journal."""

    async def record(self, event: Event) -> object: ...


@dataclass(frozen=True, slots=True)
class Refused:
    """One request that was refused."""

    listener: str
    status: int
    code: str
    method: str
    path: str
    peer: str
    principal: str | None
    request_id: str
    interface: str = ""
    """Whose path it was; empty for nobody's."""


class RefusalAudit:
    """Writes `access.refused` events."""

    def __init__(self, journal: Recorder, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._per_peer = Rate(1.0, 20.0)
        self._in_total = Rate(20.0, 200.0)
        self._queue: deque[Refused] = deque()
        self._suppressed = 0
        self.counts: Counter[tuple[str, int, str]] = Counter()
        """All refusals by interface, status and code, written or not. Each of them is a word of ours."""
        self.loop = Loop("access.audit", self._run)

    def note(self, refused: Refused) -> None:
        """Take a refusal for writing, or only count it."""
        self.counts[refused.interface, refused.status, refused.code] += 1
        now = self._clock.now_us()
        busy = len(self._queue) >= QUEUED
        if busy or self._per_peer.take(refused.peer, now) or self._in_total.take("", now):
            self._suppressed += 1
            return
        self._queue.append(refused)
        self.loop.wake()

    async def start(self) -> None:
        """Begin to write; again is no error."""
        self.loop.start()

    async def stop(self) -> None:
        """Write what is waiting and end; again is no error."""
        await self.loop.stop()
        await self._write()

    async def _run(self) -> None:
        while await self.loop.rest():
            await self._write()

    async def _write(self) -> None:
        while self._queue:
            refused = self._queue.popleft()
            suppressed, self._suppressed = self._suppressed, 0
            try:
                await self._journal.record(_event(refused, suppressed))
            except DatabaseUnavailable:
                self._suppressed += suppressed + 1


def _event(refused: Refused, suppressed: int) -> Event:
    data = {
        "listener": refused.listener,
        "status": refused.status,
        "code": refused.code,
        "method": refused.method,
        "path": refused.path[:PATH_LIMIT],
        "peer": refused.peer,
        "request_id": refused.request_id,
        "suppressed": suppressed,
    }
    text = msgspec.json.encode(data).decode()
    return Event("access.refused", Retention.AUDIT, principal=refused.principal, data=text)
