"""Writing down what watching finds: troubles, warnings and drift, each once over restarts and replicas.

Theory of operation. Every replica watches, to answer from memory; one of them, which holds the named lock,
writes. What was told is in the database, so whoever holds the lock next goes on from there. While an
operation is open on a service it alone tells how that service is: nothing is told of it here, and no drift
is looked for, until it has ended.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import structlog

from stellwerk.clock import MICROSECONDS
from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit
from stellwerk.journal.event import Event
from stellwerk.journal.store import append_many
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.inventory import Inventory
from stellwerk.release.objects import Body, Key
from stellwerk.release.operations.record import ObjectStatus, Operation, Unreadable
from stellwerk.release.operations.service import Operations
from stellwerk.release.operations.tools import Tools
from stellwerk.release.watching import events, store, telling
from stellwerk.release.watching.drift import Drift
from stellwerk.release.watching.examining import examine
from stellwerk.release.watching.record import HealthChange, Told
from stellwerk.release.watching.warnings import Warned, is_due, warned
from stellwerk.release.watching.watched import Watched

REMEMBERED_US = 2 * 86_400 * MICROSECONDS
"""How long a warning is known to be recorded: clusters forget theirs after hours."""
EXAMINE_AGAIN_S = 30.0
"""Until objects are compared again after the cluster would not let us."""

log = structlog.get_logger(__name__)


class Recorder:
    """Writes for one application instance while the lock is held; see the module."""

    def __init__(
        self,
        tools: Tools,
        operations: Operations,
        watched: Watched,
        *,
        told: Callable[[HealthChange], None],
    ) -> None:
        self._tools = tools
        self._operations = operations
        self._watched = watched
        self._told = told
        self._troubles: dict[Key, Told] | None = None
        """As they are in the database; None while nobody read them."""
        self._drifts: dict[Key, Drift] = {}
        self._examine_at = 0.0

    def let_go(self) -> None:
        """Forget what was read: another replica writes now."""
        self._troubles = None

    async def record(self, lock: NamedLock) -> None:
        """Write what is new. Raises LockLost, DatabaseUnavailable."""
        identity = self._watched.identity
        if self._troubles is None:
            self._troubles = await self._tools.database.read(lambda: store.read_troubles(identity))
            drifts = await self._tools.database.read(lambda: store.read_drifts(identity))
            self._drifts = {key: seen.drift for key, seen in drifts.items()}
        under_way = await self._operations.open(identity)
        busy = {service for operation in under_way for service in operation.services}
        await self._record_warnings(lock)
        await self._record_troubles(lock, self._troubles, busy)
        await self._record_drift(lock, busy)

    async def _record_warnings(self, lock: NamedLock) -> None:
        waiting = self._watched.holdings.warnings
        found: dict[str, Warned] = {}
        while waiting:
            one = warned(*waiting.popleft())
            if one is not None:
                found[one.uid] = one
        if found:
            await self._write(lock, lambda now_us: self._warnings(found, now_us))

    def _warnings(self, found: Mapping[str, Warned], now_us: int) -> Unit[list[Event]]:
        identity = self._watched.identity
        known = yield from store.recorded_warnings(identity, [*found])
        due = [one for uid, one in found.items() if is_due(known.get(uid), now_us)]
        if due:
            uids = [one.uid for one in due]
            yield from store.put_warnings(identity, uids, now_us, forget_before=now_us - REMEMBERED_US)
        return [events.warning(identity, one) for one in due]

    async def _record_troubles(self, lock: NamedLock, told: dict[Key, Told], busy: Collection[str]) -> None:
        now_us = self._tools.clock.now_us()
        begun = {key: one for key, one in self._begun(told, now_us) if one.service not in busy}
        over = {key: one for key, one in self._over(told, now_us) if one.service not in busy}
        if not begun and not over:
            return
        last = await self._last_words(begun)
        await self._write(lock, lambda _: self._troubles_unit(begun, over, last))
        for key, one in begun.items():
            told[key] = one
            self._tell(key, one, well=False)
        for key, one in over.items():
            del told[key]
            self._tell(key, one, well=not any(other.service == one.service for other in told.values()))

    def _troubles_unit(
        self, begun: Mapping[Key, Told], over: Mapping[Key, Told], known: Collection[tuple[Key, str]]
    ) -> Unit[list[Event]]:
        identity = self._watched.identity
        for key, one in begun.items():
            yield from store.put_trouble(identity, key, one)
        for key in over:
            yield from store.drop_trouble(identity, key)
        return [
            *(
                events.unhealthy(identity, key, one)
                for key, one in begun.items()
                if (key, one.code) not in known
            ),
            *(
                events.recovered(identity, key, one)
                for key, one in over.items()
                if key in self._watched.inventory.entries
            ),
        ]

    def _begun(self, told: Mapping[Key, Told], now_us: int) -> Iterable[tuple[Key, Told]]:
        if self._watched.away() is not None:
            return
        for key, judged in self._watched.judged.items():
            trouble = telling.trouble_of(judged.health, unwell_us=judged.unwell_us, now_us=now_us)
            known, entry = told.get(key), self._watched.inventory.entries[key]
            if trouble is None or (known is not None and known.code == trouble.code):
                continue
            if judged.health.status == "missing" and not entry.hash:
                continue  # an operation that failed did not get as far as this one
            yield key, Told(entry.service, trouble.code, trouble.message, now_us)

    def _over(self, told: Mapping[Key, Told], now_us: int) -> Iterable[tuple[Key, Told]]:
        entries = self._watched.inventory.entries
        for key, one in told.items():
            judged = self._watched.judged.get(key)
            if key not in entries or (
                judged is not None and telling.is_over(judged.health, since_us=judged.since_us, now_us=now_us)
            ):
                yield key, one

    async def _last_words(self, begun: Mapping[Key, Told]) -> set[tuple[Key, str]]:
        """Return the troubles that the last operation has told already."""
        if not begun:
            return set()
        last: Sequence[Operation] = await self._operations.list(self._watched.identity, 1)
        return {
            (one.key, one.reason)
            for operation in last
            for one in operation.objects
            if one.status is ObjectStatus.FAILED
        }

    def _tell(self, key: Key, one: Told, *, well: bool) -> None:
        now_us = self._tools.clock.now_us()
        self._told(
            HealthChange(self._watched.identity, one.service, well, key, one.code, one.message, now_us)
        )

    async def _record_drift(self, lock: NamedLock, busy: Collection[str]) -> None:
        watched = self._watched
        suspects = {
            key
            for key in watched.holdings.suspects
            if watched.inventory.entries[key].service not in busy and watched.judged.get(key) is not None
        }
        if suspects and asyncio.get_running_loop().time() >= self._examine_at:
            await self.examine(lock, suspects)

    async def examine(self, lock: NamedLock, keys: Collection[Key]) -> None:
        """Compare objects with what was applied, and write what differs. Raises as `record` does."""
        watched = self._watched
        entries = {key: watched.inventory.entries[key] for key in keys if key in watched.inventory.entries}
        for key in entries:
            # What changes while we look makes a suspect again.
            watched.holdings.examined(key)
        try:
            wanted = await self._operations.present(
                watched.identity, {entry.service for entry in entries.values()}
            )
            found = await examine(
                self._tools.cluster,
                watched.identity,
                wanted,
                Inventory(entries, watched.inventory.serial),
                scalers=self._scalers(),
            )
        except (ClusterError, Unreadable) as error:
            log.warning("what is deployed cannot be compared now", instance=watched.identity, why=str(error))
            watched.holdings.suspects |= entries.keys()
            self._examine_at = asyncio.get_running_loop().time() + EXAMINE_AGAIN_S
            return
        # What an operation did meanwhile is no drift.
        if await self._operations.open(watched.identity):
            watched.holdings.suspects |= entries.keys()
            return
        await self._note_drift(lock, dict.fromkeys(entries) | dict(found))

    async def _note_drift(self, lock: NamedLock, found: Mapping[Key, Drift | None]) -> None:
        gone = {key: None for key in self._drifts if key not in self._watched.inventory.entries}
        news = {key: one for key, one in {**found, **gone}.items() if one != self._drifts.get(key)}
        if not news:
            return
        before = {key: self._drifts[key] for key in news if key in self._drifts}
        await self._write(lock, lambda now_us: self._drift_unit(news, before, now_us))
        for key, one in news.items():
            if one is None:
                self._drifts.pop(key, None)
            else:
                self._drifts[key] = one

    def _drift_unit(
        self, news: Mapping[Key, Drift | None], before: Mapping[Key, Drift], now_us: int
    ) -> Unit[list[Event]]:
        identity = self._watched.identity
        yield from store.put_drifts(identity, news, now_us)
        seen = [events.drifted(identity, one) for one in news.values() if one is not None]
        over = [key for key, one in news.items() if one is None]
        kept = [key for key in over if key in self._watched.inventory.entries]
        return seen + [events.restored(identity, before[key]) for key in kept]

    def _scalers(self) -> list[Body]:
        table = self._watched.holdings.table
        keys = [key for key in self._watched.inventory.entries if key.kind == "HorizontalPodAutoscaler"]
        return [body for key in keys if (body := table.get(key)) is not None]

    async def _write(self, lock: NamedLock, unit: Callable[[int], Unit[list[Event]]]) -> None:
        now_us = self._tools.clock.now_us()

        def guarded() -> Unit[bool]:
            yield from lock.guard()
            told = yield from unit(now_us)
            yield from append_many(told, now_us)
            return bool(told)

        if await self._tools.database.write(partial(guarded)):
            self._tools.journal.committed()
