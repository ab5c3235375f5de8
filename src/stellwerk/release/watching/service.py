"""The use cases of watching: health of services, trees of objects, drift, state, pauses.

Theory of operation. One loop turns when a watch brought news, when something may have become certain with
time, and every two seconds to learn from the database what operations have changed. A turn looks what is
owned, judges what may have changed, and, in the one replica that holds the named lock, writes down what is
new (`recording`). Nothing moves, nothing is done: a turn is then one small read.

While the database is away watching goes on, and what would have been written is written when it is
back. While the cluster is away the watches try again with growing pauses, what was known last
holds for ten seconds, and then every health is unknown.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import structlog

from stellwerk.clock import MICROSECONDS
from stellwerk.database.errors import DatabaseUnavailable, LockLost
from stellwerk.database.unit import Unit
from stellwerk.journal.store import append
from stellwerk.loop import Loop
from stellwerk.release.inventory import InventoryUnreadable
from stellwerk.release.objects import Key
from stellwerk.release.operations.record import ENDS, Operation, OperationKind, OperationState
from stellwerk.release.operations.service import CHANNEL, Operations
from stellwerk.release.operations.tools import Tools
from stellwerk.release.ownership import Identity
from stellwerk.release.watching import events, store, viewing
from stellwerk.release.watching.record import (
    DeploymentState,
    Error,
    HealthChange,
    Node,
    Pause,
    Reconciliation,
    Repairs,
    Seen,
    ServiceHealth,
    ServiceState,
)
from stellwerk.release.watching.recording import Recorder
from stellwerk.release.watching.watched import UNSEEN, Watched

LOOK_S = 2.0
"""Between looks for what operations changed that no watch tells."""
GATHER_S = 0.05
"""Changes come in bursts: what comes within this is judged together."""
LOCK_S, RENEW_S = 15.0, 5.0
FIRST_LOOK_S = 5.0
"""How long an answer waits, after a start, for what the watches tell first."""
LISTED_ERRORS = 20
LISTED_OPERATIONS = 200

log = structlog.get_logger(__name__)

Unlisten = Callable[[], None]


class Watching:
    """Watches all instances of one application; see the module."""

    def __init__(self, tools: Tools, operations: Operations, application: str, *, holder: str) -> None:
        """`holder`: names this process, as for `Operations`."""
        self._tools = tools
        self._operations = operations
        self._application = application
        self._lock = tools.database.lock(f"release.watching:{application}", holder)
        self._held_until_us = 0
        self._renew_at_us = 0
        self._watched: dict[str, Watched] = {}
        self._recorders: dict[str, Recorder] = {}
        self._listeners: dict[int, Callable[[HealthChange], None]] = {}
        self._unlisten: Unlisten | None = None
        self._turned = asyncio.Event()
        self._turns = 0
        self.loop = Loop("release.watching", self._run, turn_s=60.0)

    async def start(self) -> None:
        """Begin to watch; may be called more than once."""
        if self._unlisten is None:
            self._unlisten = self._tools.database.listen(CHANNEL, self.loop.wake)
        self.loop.start()
        self.loop.wake()

    async def stop(self) -> None:
        """End watching; may be called more than once."""
        await self.loop.stop()
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        for watched in self._watched.values():
            await watched.stop()
        self._watched.clear()
        self._recorders.clear()
        with contextlib.suppress(DatabaseUnavailable):
            await self._lock.release()

    def listen(self, callback: Callable[[HealthChange], None]) -> Unlisten:
        """Call back on the event loop when a service gets a trouble or is well again; once over replicas.

        It is called after the change was recorded, in the process that recorded it, and must not raise or
        wait. What happened while nobody ran is told after the next start.
        """
        number = max(self._listeners, default=0) + 1
        self._listeners[number] = callback
        return lambda: self._listeners.pop(number, None) and None

    def away(self) -> str | None:
        """Say for how long the cluster cannot be watched; None if it can, or nothing is to be watched."""
        for watched in self._watched.values():
            if (found := watched.away()) is not None:
                return found.message
        return None

    async def services(self, identity: Identity, names: Sequence[str]) -> list[ServiceHealth]:
        """Return how services are: those named, in this order, and whatever else is deployed."""
        watched = await self._known(identity)
        drifts = await self.drift(identity) if watched is not None else {}
        return viewing.services_of(watched, names, drifts, self._tools.clock.now_us())

    async def tree(self, identity: Identity, service: str) -> Sequence[Node]:
        """Return the objects of a service, with health; empty if nothing of it is deployed."""
        watched = await self._known(identity)
        if watched is None:
            return ()
        return viewing.tree_of(watched, service, await self.drift(identity))

    async def drift(self, identity: Identity) -> Mapping[Key, Seen]:
        """Return the objects that are not as they were applied."""
        return await self._tools.database.read(lambda: store.read_drifts(identity))

    async def state(self, identity: Identity, service: str) -> ServiceState:
        """Return what is known of a service over time."""
        database = self._tools.database
        (health,) = [one for one in await self.services(identity, [service]) if one.service == service]
        drifts = await self.drift(identity)
        operations = await self._operations.list(identity, LISTED_OPERATIONS)
        own = [one for one in operations if service in one.services]
        seen = await database.read(lambda: store.read_errors(identity, service, LISTED_ERRORS))
        repairs = (await database.read(lambda: store.read_reconciling(identity))).get(service, Repairs())
        return ServiceState(
            service,
            state_of(own),
            own[0].id if own else "",
            health.health,
            tuple(seen for seen in drifts.values() if seen.drift.service == service),
            repairs.paused,
            _last(own, repairs),
            _errors(own, seen)[:LISTED_ERRORS],
        )

    async def pause(self, identity: Identity, service: str, *, by: str, why: str = "") -> Pause:
        """Let the reconciler leave a service alone until it is resumed; idempotent, the first one holds."""
        known = await self._tools.database.read(lambda: store.read_reconciling(identity))
        if service in known and (already := known[service].paused) is not None:
            return already
        pause = Pause(by, self._tools.clock.now_us(), why)

        def unit() -> Unit[None]:
            yield from store.put_pause(identity, service, pause)
            yield from append(events.paused(identity, service, pause), pause.at)

        await self._tools.database.write(unit)
        self._tools.journal.committed()
        return pause

    async def resume(self, identity: Identity, service: str, *, by: str) -> bool:
        """Let the reconciler see to a service again; False if it was not paused."""
        known = await self._tools.database.read(lambda: store.read_reconciling(identity))
        if service not in known or known[service].paused is None:
            return False
        now_us = self._tools.clock.now_us()

        def unit() -> Unit[None]:
            yield from store.put_pause(identity, service, None)
            yield from append(events.resumed(identity, service, by), now_us)

        await self._tools.database.write(unit)
        self._tools.journal.committed()
        await self._tools.database.notify(CHANNEL)
        return True

    async def examine(self, identity: Identity, services: Collection[str]) -> bool:
        """Compare everything of some services with what was applied; False if another replica has to.

        For the reconciler. Raises LockLost, DatabaseUnavailable.
        """
        watched, recorder = self._watched.get(identity.instance), self._recorders.get(identity.instance)
        if watched is None or recorder is None or not self._holds():
            return False
        await recorder.examine(self._lock, watched.inventory.of(services).keys())
        return True

    @property
    def records(self) -> bool:
        """Whether this is the replica that writes down what is watched."""
        return self._holds()

    def instances(self) -> Sequence[Identity]:
        """List the instances that own something."""
        return [watched.identity for watched in self._watched.values()]

    def deployed(self, identity: Identity) -> set[str]:
        """Return the services of which something is deployed."""
        watched = self._watched.get(identity.instance)
        return set() if watched is None else {one.service for one in watched.inventory.entries.values()}

    def namespace_of(self, identity: Identity) -> str:
        """Return where the inventory of an instance is; empty if nothing is known of it."""
        watched = self._watched.get(identity.instance)
        return "" if watched is None else watched.namespace

    async def _known(self, identity: Identity) -> Watched | None:
        """Return an instance as operations left it, when its watches have told what is there.

        After some seconds it is returned as it is.
        """
        if identity.application != self._application:
            return None
        stored = await self._tools.database.read(lambda: store.watched_instances(self._application))
        serial = stored[identity.instance][0] if identity.instance in stored else None
        # The turn under way may have begun before what was told by now; the next one has it all.
        enough = self._turns + 2
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S):
                while not self._has_looked(identity.instance, serial, enough):
                    self._turned.clear()
                    self.loop.wake()
                    await self._turned.wait()
        return self._watched.get(identity.instance)

    def _has_looked(self, instance: str, serial: int | None, enough: int) -> bool:
        watched = self._watched.get(instance)
        if watched is None or serial is None:
            return serial is None
        if watched.inventory.serial < serial:
            return False
        if watched.away() is not None:
            return True
        if watched.holdings.dirty and self._turns < enough:
            return False
        return all(watched.health_of(key) is not UNSEEN for key in watched.inventory.entries)

    async def _run(self) -> None:
        while await self.loop.rest(self._rest_s()):
            await self.loop.pause(GATHER_S if self.loop.hinted else 0.0)
            try:
                await self._follow()
                for watched in list(self._watched.values()):
                    await watched.judge()
                if self._watched and await self._hold():
                    await self._record()
            except LockLost:
                self._let_go()
            except DatabaseUnavailable as error:
                log.warning("what is watched cannot be recorded now", detail=error.detail)
                for watched in list(self._watched.values()):
                    await watched.judge()
            finally:
                self._turns += 1
                self._turned.set()

    def _rest_s(self) -> float:
        due = [one for watched in self._watched.values() if (one := watched.due_in_s()) is not None]
        return min([LOOK_S, *due])

    async def _follow(self) -> None:
        """Watch the instances that own something, each with what it owns now."""
        found = await self._tools.database.read(lambda: store.watched_instances(self._application))
        for instance in self._watched.keys() - found.keys():
            await self._watched.pop(instance).stop()
            self._recorders.pop(instance, None)
        for instance, (serial, namespace) in found.items():
            watched = self._watched.get(instance)
            if watched is None or watched.inventory.serial != serial:
                await self._own(Identity(self._application, instance), namespace)

    async def _own(self, identity: Identity, namespace: str) -> None:
        try:
            inventory = await self._operations.owned(identity)
        except InventoryUnreadable as error:
            log.warning("what is deployed cannot be watched", instance=identity, why=str(error))
            return
        watched = self._watched.get(identity.instance)
        if watched is None:
            watched = Watched(self._tools.cluster, self._tools.clock, identity, self.loop.wake)
            self._watched[identity.instance] = watched
            self._recorders[identity.instance] = Recorder(
                self._tools, self._operations, watched, told=self._tell
            )
        watched.own(inventory, namespace)

    async def _record(self) -> None:
        for recorder in list(self._recorders.values()):
            await recorder.record(self._lock)

    def _holds(self) -> bool:
        return self._lock.fence is not None and self._tools.clock.now_us() < self._held_until_us

    async def _hold(self) -> bool:
        """Take or keep the lock; tell whether we have it."""
        now_us, duration_us = self._tools.clock.now_us(), int(LOCK_S * MICROSECONDS)
        if self._holds() and now_us < self._renew_at_us:
            return True
        held = await self._lock.renew(now_us, duration_us) if self._holds() else False
        if not held:
            self._let_go()
            held = await self._lock.take(now_us, duration_us) is not None
        if held:
            self._held_until_us = now_us + duration_us
            self._renew_at_us = now_us + int(RENEW_S * MICROSECONDS)
        return held

    def _let_go(self) -> None:
        self._held_until_us = 0
        for recorder in self._recorders.values():
            recorder.let_go()

    def _tell(self, change: HealthChange) -> None:
        for callback in tuple(self._listeners.values()):
            callback(change)


def state_of(operations: Sequence[Operation]) -> DeploymentState:
    """Return where a service is by the operations that name it, newest first; repairs change nothing."""
    told = [one for one in operations if one.kind is not OperationKind.REPAIR]
    if not told:
        return DeploymentState.ABSENT
    last = told[0]
    if last.state not in ENDS:
        return DeploymentState.UPDATING
    if last.state is not OperationState.SUCCEEDED:
        return DeploymentState.FAILED
    return DeploymentState.REMOVED if last.kind is OperationKind.DOWN else DeploymentState.DEPLOYED


def _last(operations: Sequence[Operation], repairs: Repairs) -> Reconciliation | None:
    found = [
        Reconciliation(one.finished_at, one.state, one.kind, one.id)
        for one in operations
        if one.finished_at is not None
    ]
    if repairs.looked_at is not None:
        found.append(Reconciliation(repairs.looked_at, OperationState.SUCCEEDED))
    return max(found, key=lambda one: one.at, default=None)


def _errors(operations: Sequence[Operation], seen: Sequence[Error]) -> tuple[Error, ...]:
    """Return what operations ended by and what watching saw; the same seen by both is one."""
    found = {(one.key, one.code): one for one in seen}
    counted = frozenset(found)
    for operation in reversed(operations):
        failure, at = operation.failure, operation.finished_at
        if failure is None or at is None:
            continue
        place = (failure.resource, failure.error)
        one = found.get(place, Error(*place, failure.message, at, at, 0))
        found[place] = replace(
            one,
            first_at=min(one.first_at, at),
            last_at=max(one.last_at, at),
            times=one.times if place in counted else one.times + 1,
            operation=operation.id,
        )
    return tuple(sorted(found.values(), key=lambda one: one.last_at, reverse=True))
