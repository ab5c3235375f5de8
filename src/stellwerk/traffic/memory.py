"""What agents remember: durable values by scope and key.

Scopes are siblings: one workflow (a run), one session, one actor, and everybody's. A place is never mixed
with another of its kind; only a read that names no scope looks through several, the narrowest first. Nothing
expires: what is set stays until it is deleted. Every change is an event without the value, because whoever
may read events need not be allowed to read memory.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.traffic import memory_store as store
from stellwerk.traffic.memory_store import MemoryFull, Place, Remembered
from stellwerk.trust.principal import Principal

__all__ = ["GLOBAL", "Memory", "MemoryFull", "MemoryScope", "Place", "Remembered"]

KEYS_PER_PLACE = 10_000
"""So that a list of keys is one answer: 2 MB."""


class MemoryScope(StrEnum):
    """Who shares a value; in the order in which a read without a scope looks."""

    WORKFLOW = "workflow"
    SESSION = "session"
    ACTOR = "actor"
    GLOBAL = "global"


GLOBAL = Place(MemoryScope.GLOBAL, "global")


class Memory:
    """Sets, gets, forgets, lists. Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    async def put(
        self, principal: Principal, place: Place, key: str, value: str, *, by_agent: str | None = None
    ) -> Remembered:
        """Set a value (JSON text), durably. `by_agent` is for the journal. Raises MemoryFull."""
        now_us = self._clock.now_us()

        def unit() -> Unit[Remembered]:
            kept = yield from store.put(
                place, key, value, by=principal.id, now_us=now_us, limit=KEYS_PER_PLACE
            )
            yield from append(_event("memory.set", place, key, principal, by_agent), now_us)
            return kept

        kept = await self._database.write(unit)
        self._journal.committed()
        return kept

    async def get(self, places: Sequence[Place], key: str) -> Remembered | None:
        """Read a value from the first place that has the key; None if none has."""
        return await self._database.read(lambda: store.find(places, key))

    async def delete(
        self, principal: Principal, place: Place, key: str, *, by_agent: str | None = None
    ) -> bool:
        """Forget a value; False if there was none, which is no event."""
        now_us = self._clock.now_us()

        def unit() -> Unit[bool]:
            found = yield from store.delete(place, key)
            if found:
                yield from append(_event("memory.deleted", place, key, principal, by_agent), now_us)
            return found

        found = await self._database.write(unit)
        if found:
            self._journal.committed()
        return found

    async def list(self, place: Place, after: str = "", limit: int = KEYS_PER_PLACE) -> list[Remembered]:
        """List keys behind `after` in order, without values."""
        return await self._database.read(lambda: store.list_keys(place, after, limit))


def _event(kind: str, place: Place, key: str, principal: Principal, by_agent: str | None) -> Event:
    data = {"scope": place.scope, "scope_id": place.scope_id, "key": key}
    text = msgspec.json.encode(data).decode()
    return Event(kind, Retention.TASK, group=by_agent, principal=principal.id, data=text)
