"""How far an operation is: its record, the results of its objects and the inventory, and their writing.

Every write is guarded by the lock of the application instance. Our copy of the inventory is written with each
step, the one in the cluster where it differs from what was last written there (see `run`).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS
from stellwerk.database.database import Database
from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit
from stellwerk.journal.event import Event
from stellwerk.journal.store import append_many
from stellwerk.release import inventory as inventories
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError, Refused
from stellwerk.release.inventory import Inventory
from stellwerk.release.objects import Key, Manifest, key_of
from stellwerk.release.operations import events, store
from stellwerk.release.operations.outcomes import Stopped, failure_of
from stellwerk.release.operations.record import (
    Failure,
    ObjectResult,
    ObjectStatus,
    Operation,
    OperationKind,
    OperationState,
    Release,
)
from stellwerk.release.operations.tools import Tools
from stellwerk.release.ownership import Identity
from stellwerk.release.plan import Action, Step
from stellwerk.release.waves import hook_of


class Progress:
    """How far an operation is; see the module."""

    def __init__(
        self, tools: Tools, operation: Operation, lock: NamedLock, told: Callable[[Operation], None]
    ) -> None:
        """`told` is called with the operation after every write."""
        self._tools = tools
        self._cluster = tools.cluster
        self._lock = lock
        self._told = told
        self.operation = operation
        self.cancelled = asyncio.Event()
        self.inventory = Inventory()
        self._stored: Inventory | None = None
        """Our copy as it is written; None while nobody looked, and nothing may be written over it."""
        self._in_cluster: int | None = None
        self.changed = False
        """Whether anything in the cluster may have been changed."""
        self._began_us = tools.clock.now_us()
        self.results = {one.key: one for one in operation.objects}

    async def begin(self) -> None:
        """Record that it runs."""
        now_us = self._tools.clock.now_us()
        self.operation = replace(
            self.operation,
            state=OperationState.RUNNING,
            started_at=self.operation.started_at or now_us,
            attempt=self.operation.attempt + 1,
        )
        await self.write([events.started(self.operation)])

    async def read_inventories(self) -> None:
        """Take the newer copy of the inventory. Raises InventoryUnreadable, and what a cluster raises."""
        operation = self.operation
        stored, namespace, in_cluster = await read_inventories(
            self._tools.database, self._cluster, operation.identity, operation.namespace
        )
        self.operation = replace(operation, namespace=namespace)
        self._in_cluster = None if in_cluster is None else in_cluster.serial
        self._stored = stored or Inventory()
        self.inventory = inventories.newest(filter(None, (stored, in_cluster)))

    def note(self, results: Iterable[ObjectResult]) -> None:
        """Take results in, to be written next time."""
        self.results |= {one.key: one for one in results}

    def wait(self) -> None:
        """Note that not everything is healthy yet."""
        self.operation = replace(self.operation, state=OperationState.WAITING)

    async def write(self, told: Iterable[Event | None] = ()) -> None:
        """Record how far it is, under the lock."""
        self.operation = replace(self.operation, objects=tuple(self.results.values()))
        operation, inventory = self.operation, self.inventory
        news = [one for one in told if one is not None]
        now_us = self._tools.clock.now_us()

        def unit() -> Unit[None]:
            yield from self._lock.guard()
            yield from store.update_operation(operation)
            if self._stored is not None and inventory != self._stored:
                yield from store.put_inventory(operation.identity, inventory, operation.namespace)
            yield from append_many(news, now_us)

        await self._tools.database.write(unit)
        if self._stored is not None:
            self._stored = inventory
        if news:
            self._tools.journal.committed()
        self._told(operation)

    async def write_to_cluster(self, *, may_lack_namespace: bool = False) -> None:
        """Write the other copy of the inventory, where it is another."""
        if self.inventory.serial == self._in_cluster:
            return
        operation, inventory = self.operation, self.inventory
        if not inventory.entries and self._in_cluster is None:
            return  # nothing was ever owned
        body = inventories.to_object(inventory, operation.identity, operation.namespace)
        try:
            await self._cluster.apply(body, manager=operation.identity.manager, force=True)
        except Refused as refused:
            # It comes with the first wave, and this copy right after it.
            if may_lack_namespace and refused.reason == "namespace_missing":
                return
            raise Stopped(failure_of(refused, key_of(body))) from refused
        self._in_cluster = inventory.serial

    async def end(self, state: OperationState, failure: Failure | None) -> None:
        """Record the end, and the release if anything may have changed."""
        operation, tools = self.operation, self._tools
        if self._stored is not None:
            with contextlib.suppress(
                ClusterError, Stopped
            ):  # the other copy holds, and the next run mends this one
                await self.write_to_cluster()
        now_us = tools.clock.now_us()
        self.operation = replace(
            operation, state=state, failure=failure, finished_at=now_us, objects=tuple(self.results.values())
        )
        records = self.changed or state is OperationState.SUCCEEDED
        records = records and operation.kind is not OperationKind.REPAIR

        def unit() -> Unit[Operation]:
            yield from self._lock.guard()
            ended = self.operation
            if records:
                ended = yield from _release(ended, now_us, self._tools.kept)
            else:
                yield from store.forget_operations(ended.identity)
            if self._stored is not None:
                yield from store.put_inventory(ended.identity, self.inventory, ended.namespace)
            yield from store.update_operation(ended)
            yield from append_many([events.finished(ended)], now_us)
            return ended

        self.operation = await tools.database.write(unit)
        tools.journal.committed()
        self._told(self.operation)

    def check_cancelled(self) -> None:
        """Raise Stopped if somebody cancelled it."""
        if self.cancelled.is_set():
            raise Stopped(None)

    def left_s(self) -> float:
        """Return the time until its deadline."""
        since_us = self._tools.clock.now_us() - self._began_us
        return max(self.operation.options.deadline_s - since_us / MICROSECONDS, 0.0)

    def has_run(self, step: Step) -> bool:
        """Tell whether a hook has done its work, in this run or an earlier one."""
        return step.manifest is not None and hook_of(step.manifest) is not None and self.is_done(step.key)

    def is_done(self, key: Key) -> bool:
        """Tell whether an object was healthy."""
        known = self.results.get(key)
        return known is not None and known.status is ObjectStatus.HEALTHY

    def is_further(self, fresh: ObjectResult) -> bool:
        """Tell whether an earlier run has done to an object what this one finds done."""
        known = self.results.get(fresh.key)
        return known is not None and known.action != fresh.action == Action.UNCHANGED

    def applied(self, done: Iterable[tuple[Manifest, str]]) -> None:
        """Note objects, with their uids, in the inventory."""
        self.inventory = self.inventory.applied(done)

    def forget(self, keys: Iterable[Key]) -> None:
        """Take objects out of the inventory that are gone, or no longer ours."""
        self.inventory = self.inventory.without(list(keys))


async def read_inventories(
    database: Database, cluster: Cluster, identity: Identity, namespace: str
) -> tuple[Inventory | None, str, Inventory | None]:
    """Return our copy, the namespace of the other, and the other. Raises InventoryUnreadable."""
    found = await database.read(lambda: store.read_inventory(identity))
    stored, namespace = found if found else (None, namespace)
    body = await cluster.get(Key(namespace, "ConfigMap", inventories.object_name(identity)))
    return stored, namespace, None if body is None else inventories.from_object(body)


def _release(ended: Operation, now_us: int, kept: int) -> Unit[Operation]:
    """Record the whole application instance: what this operation did, and what it left alone."""
    releases = yield from store.list_releases(ended.identity)
    contents = dict(releases[0].contents) if releases else {}
    if ended.kind is OperationKind.ROLLBACK or ended.kind is OperationKind.DOWN:
        contents = {service: one for service, one in contents.items() if service not in ended.services}
    if ended.kind is not OperationKind.DOWN:
        contents |= ended.contents
    release = Release(
        revision=releases[0].revision + 1 if releases else 1,
        operation=ended.id,
        kind=ended.kind,
        result=ended.state,
        at=now_us,
        by=ended.by,
        note=ended.note,
        contents=contents,
    )
    parameters = yield from store.read_operation_parameters(ended.id)
    yield from store.put_release(ended.identity, release, parameters, kept=kept)
    return replace(ended, release=release.revision)
