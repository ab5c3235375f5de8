"""One operation, from its record to its end.

Theory of operation. Everything that a run needs is in the record: which services, what they were rendered
to, what was chosen. A run holds the named lock of its application instance and guards every write of its own
by it; one whose lock was lost stops. It reads the inventory and the objects, plans, and refuses if anything
stands in the way: until then nothing was changed. Then it notes in the inventory what it is going to apply,
applies wave after wave, each healthy before the next, removes what is no longer described, and records the
release. After each step it writes how far it is.

A process that dies leaves an open record. The next run begins from the start: it reads and plans afresh, and
what was applied already is unchanged then. The results that were recorded stand, so that the answer tells the
whole story; hooks that have run do not run again.

The inventory is two copies (see `inventory`). Ours is written with each step, the one in the cluster before
the first object and at the end: it may list an object that was never made, never lack one that was.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit
from stellwerk.journal.event import Event
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append_many
from stellwerk.release import inventory as inventories
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    NotSelected,
    Refused,
)
from stellwerk.release.inventory import Inventory
from stellwerk.release.objects import Body, Key, Manifest
from stellwerk.release.operations import events, store
from stellwerk.release.operations.contents import place_of
from stellwerk.release.operations.looking import AT_ONCE, look, try_out
from stellwerk.release.operations.record import (
    Failure,
    ObjectResult,
    ObjectStatus,
    Operation,
    OperationKind,
    OperationState,
    Release,
    Unreadable,
)
from stellwerk.release.operations.sealing import Sealer
from stellwerk.release.operations.settling import Settling, Standing
from stellwerk.release.order import flattened, in_order
from stellwerk.release.ownership import Identity
from stellwerk.release.plan import WRITES, Action, Known, Plan, Scope, Step, noted, plan, to_apply
from stellwerk.release.waves import Hook, hook_of

GONE_POLL_S = 0.25
"""Between looks whether something that was deleted is gone; the wait is seconds."""
_RECONCILIATION: Final = "reconciliation_error"


class Restoring(Protocol):
    """Sets parameters back to what they were in a release."""

    async def restore(
        self, identity: Identity, parameters: Mapping[str, Any], *, by: str, why: str
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What runs work with."""

    cluster: Cluster
    settling: Settling
    restoring: Restoring
    database: Database
    journal: Journal
    sealer: Sealer
    clock: Clock


class Stopped(Exception):
    """Ends a run before its end, with a failure; None if somebody cancelled it."""

    def __init__(self, failure: Failure | None) -> None:
        super().__init__(failure)
        self.failure = failure


class Run:
    """Carries one operation out, while its lock is held."""

    def __init__(
        self, tools: Tools, operation: Operation, lock: NamedLock, told: Callable[[Operation], None]
    ) -> None:
        self._tools = tools
        self._cluster = tools.cluster
        self._lock = lock
        self._told = told
        self.operation = operation
        self.cancelled = asyncio.Event()
        self._inventory = Inventory()
        self._stored: Inventory | None = None
        """Our copy as it is written; None while nobody looked, and nothing may be written over it."""
        self._in_cluster: int | None = None
        self._changed = False
        self._began_us = tools.clock.now_us()
        self._bodies: dict[Key, Body] = {}
        """What applying gave."""
        self._results = {one.key: one for one in operation.objects}

    async def carry_out(self) -> Operation:
        """Run to the end and record it. Raises LockLost, DatabaseUnavailable: then it is still open."""
        try:
            await self._begin()
            await self._act()
        except Stopped as stopped:
            state = OperationState.FAILED if stopped.failure else OperationState.CANCELLED
            await self._end(state, stopped.failure)
        except ClusterUnavailable as error:
            await self._end(OperationState.FAILED, _unavailable(error))
        except NotSelected as error:
            await self._end(OperationState.FAILED, Failure(code="kubernetes_error", error=str(error)))
        except ClusterError as error:
            await self._end(OperationState.FAILED, _failure(error, None))
        except (Unreadable, inventories.InventoryUnreadable) as error:
            await self._end(
                OperationState.INTERRUPTED,
                Failure(code=_RECONCILIATION, error="Unreadable", message=str(error)),
            )
        else:
            await self._end(OperationState.SUCCEEDED, None)
        return self.operation

    async def give_up(self, message: str) -> None:
        """End it as interrupted: it cannot go on."""
        failure = Failure(code=_RECONCILIATION, error="Interrupted", message=message, certain=False)
        await self._end(OperationState.INTERRUPTED, failure)

    async def _begin(self) -> None:
        now_us = self._tools.clock.now_us()
        self.operation = replace(
            self.operation,
            state=OperationState.RUNNING,
            started_at=self.operation.started_at or now_us,
            attempt=self.operation.attempt + 1,
        )
        await self._write([events.started(self.operation)])

    async def _act(self) -> None:
        self._check_cancelled()
        operation = self.operation
        wanted = await self._wanted()
        scope = scope_of(operation)
        await self._read_inventories()
        if operation.kind is OperationKind.DOWN:
            await self._before_removal([one for one in wanted if hook_of(one) is Hook.PRE_DOWN], scope)
            wanted = []
        known = await self._look(wanted, scope)
        made = plan(wanted, known, scope, operation.depends_on)
        if made.obstacles:
            self._note([_result(step, ObjectStatus.FAILED) for step in made.obstacles])
            raise Stopped(_obstructed(made.obstacles[0]))
        await self._intend(made, known)
        if operation.kind is OperationKind.ROLLBACK:
            await self._restore_parameters()
        for wave in made.waves:
            await self._apply(wave, known, scope)
            await self._settle(wave, known)
        for stage in made.removals:
            await self._remove(stage)
        self._inventory = self._inventory.without(made.forgotten)

    async def _wanted(self) -> list[Manifest]:
        """Open what was rendered. Raises Unreadable."""
        operation = self.operation
        sealed = await self._tools.database.read(
            lambda: store.read_contents(operation.identity, operation.contents)
        )
        if len(sealed) < len(operation.contents):
            raise Unreadable("what was rendered is no longer kept")
        return flattened(
            self._tools.sealer.open_manifests(place_of(operation.identity, service), text)
            for (service, _), text in sorted(sealed.items())
        )

    async def _read_inventories(self) -> None:
        operation = self.operation
        stored, namespace, in_cluster = await read_inventories(
            self._tools.database, self._cluster, operation.identity, operation.namespace
        )
        self.operation = replace(operation, namespace=namespace)
        self._in_cluster = None if in_cluster is None else in_cluster.serial
        self._stored = stored or Inventory()
        self._inventory = inventories.newest(filter(None, (stored, in_cluster)))

    async def _look(self, wanted: Sequence[Manifest], scope: Scope) -> Known:
        found = await look(self._cluster, wanted, self._inventory, scope)
        known = Known(
            found.live,
            found.inventory,
            missing_kinds=found.missing_kinds,
            elsewhere=frozenset(self.operation.elsewhere),
        )
        return await try_out(self._cluster, wanted, known, scope, new=False)

    async def _intend(self, made: Plan, known: Known) -> None:
        """Note what is going to be done, in both inventories, before any of it is."""
        results = [_result(step, _at_first(step)) for step in made.steps]
        self._note(one for one in results if not self._is_further(one))
        self._inventory = noted(made, known)
        await self._write()
        await self._write_to_cluster(may_lack_namespace=True)

    async def _restore_parameters(self) -> None:
        operation = self.operation
        sealed = await self._tools.database.read(lambda: store.read_operation_parameters(operation.id))
        if sealed is not None:
            document = self._tools.sealer.open_document(
                place_of(operation.identity, "parameters"), bytes(sealed)
            )
            why = f"rollback to release {operation.revision}"
            await self._tools.restoring.restore(operation.identity, document, by=operation.by, why=why)

    async def _before_removal(self, hooks: Sequence[Manifest], scope: Scope) -> None:
        """Run the jobs that come before a removal; they are removed with the rest."""
        hooks = [one for one in hooks if not self._is_done(one.key)]
        if not hooks:
            return
        steps = [Step(Action.CREATE, one.key, one.service, one) for one in hooks]
        known = await look(self._cluster, hooks, self._inventory, scope)
        await self._intend(Plan((tuple(steps),)), known)
        await self._apply(steps, known, scope)
        await self._settle(steps, known)

    async def _apply(self, wave: Sequence[Step], known: Known, scope: Scope) -> None:
        steps = {step.key: step for step in wave if step.action in WRITES and not self._has_run(step)}
        for stage in in_order(step.manifest for step in steps.values() if step.manifest):
            self._check_cancelled()
            await self._write_to_cluster(may_lack_namespace=True)
            await self._apply_stage([(steps[one.key], one) for one in stage], known, scope)

    async def _apply_stage(self, stage: Sequence[tuple[Step, Manifest]], known: Known, scope: Scope) -> None:
        limit = asyncio.Semaphore(AT_ONCE)
        failed: list[BaseException] = []

        async def one(step: Step, manifest: Manifest) -> tuple[Manifest, str] | None:
            async with limit:
                if failed:
                    return None
                try:
                    return manifest, await self._apply_one(step, manifest, known, scope)
                except ClusterError as error:
                    failed.append(error)
                    self._note([_failed(step, error)])
                    return None

        self._changed = True
        done = [one for one in await asyncio.gather(*(one(*each) for each in stage)) if one]
        self._inventory = self._inventory.applied(done)
        keys = {manifest.key for manifest, _ in done}
        applied = [_result(step, ObjectStatus.APPLIED) for step, _ in stage if step.key in keys]
        self._note(applied)
        told = [*applied, *(one for one in self._results.values() if one.status is ObjectStatus.FAILED)]
        await self._write([events.happened(self.operation, one) for one in told])
        if failed and isinstance(failed[0], ClusterUnavailable):
            raise failed[0]
        if failed:
            resource = next(one.key for one in self._results.values() if one.status is ObjectStatus.FAILED)
            raise Stopped(_failure(failed[0], resource))

    async def _apply_one(self, step: Step, manifest: Manifest, known: Known, scope: Scope) -> str:
        live = known.live.get(step.key)
        if hook_of(manifest) is not None and live is not None:
            await self._cluster.delete(step.key)
        if isinstance(live, dict) and (hook_of(manifest) or live["metadata"].get("deletionTimestamp")):
            await self._until_gone([step.key])
        body = to_apply(manifest, known, scope)
        applied = await self._cluster.apply(body, manager=scope.identity.manager, force=scope.force)
        self._bodies[step.key] = applied.object
        return str(applied.object["metadata"].get("uid", ""))

    async def _settle(self, wave: Sequence[Step], known: Known) -> None:
        """Wait until everything of a wave is healthy. Raises Stopped."""
        objects = {step.key: body for step in wave if (body := self._body(step, known)) is not None}
        if not objects:
            return
        try:
            async with (
                asyncio.timeout(self._left_s()),
                contextlib.aclosing(self._tools.settling.follow(objects)) as standings,
            ):
                async for found in standings:
                    self._check_cancelled()
                    if await self._weigh(found):
                        return
        except TimeoutError:
            raise Stopped(self._too_late()) from None

    async def _weigh(self, found: Mapping[Key, Standing]) -> bool:
        """Note how objects are; tell whether all are healthy. Raises Stopped where waiting is in vain."""
        news = [
            result
            for key, standing in found.items()
            if (result := _settled(self._results[key], standing)) != self._results[key]
        ]
        moved = [one for one in news if one.status is not self._results[one.key].status]
        self._note(news)
        healthy = all(standing.healthy for standing in found.values())
        if not healthy:
            self.operation = replace(self.operation, state=OperationState.WAITING)
        if news:
            told = [
                one for one in moved if one.action != Action.UNCHANGED or one.status is ObjectStatus.FAILED
            ]
            await self._write([events.happened(self.operation, one) for one in told])
        for key, standing in found.items():
            if standing.certain:
                raise Stopped(_unhealthy(key, standing))
        return healthy

    async def _remove(self, stage: Sequence[Step]) -> None:
        removed = [step for step in stage if step.action is Action.DELETE]
        if not removed:
            return
        self._check_cancelled()
        self._changed = True
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(step: Step) -> None:
            async with limit:
                await self._cluster.delete(step.key, propagation="foreground", uid=step.uid or None)

        failures = await asyncio.gather(*map(one, removed), return_exceptions=True)
        for step, failure in zip(removed, failures, strict=True):
            if isinstance(failure, ClusterError):
                self._note([_failed(step, failure)])
                raise Stopped(_failure(failure, step.key)) from failure
            if failure is not None:
                raise failure
        await self._until_gone([step.key for step in removed], {step.key: step.uid for step in removed})
        results = [_result(step, ObjectStatus.DELETED) for step in removed]
        self._note(results)
        self._inventory = self._inventory.without([step.key for step in removed])
        await self._write([events.happened(self.operation, one) for one in results])

    async def _until_gone(self, keys: Iterable[Key], uids: Mapping[Key, str] | None = None) -> None:
        """Wait for objects that were deleted; another one of the same name counts as gone."""
        left = set(keys)
        try:
            async with asyncio.timeout(self._left_s()):
                while left:
                    self._check_cancelled()
                    for key in sorted(left):
                        if await self._is_gone(key, (uids or {}).get(key, "")):
                            left.discard(key)
                    if left:
                        await asyncio.sleep(GONE_POLL_S)
        except TimeoutError:
            key = min(left)
            message = "it is still being deleted: something holds it by a finalizer, or its pods do not end"
            raise Stopped(
                Failure(code=_RECONCILIATION, error="Timeout", message=message, resource=key, certain=False)
            ) from None

    async def _is_gone(self, key: Key, uid: str) -> bool:
        try:
            body = await self._cluster.get(key)
        except Refused:
            return True  # not visible: nothing more can be known
        return body is None or bool(uid and body["metadata"].get("uid") != uid)

    def _body(self, step: Step, known: Known) -> Body | None:
        """Return an object as it is before anybody waits for it; None for what cannot be read, or has run."""
        live = known.live.get(step.key)
        return self._bodies.get(step.key) or (
            live if step.action is Action.UNCHANGED and isinstance(live, dict) else None
        )

    async def _end(self, state: OperationState, failure: Failure | None) -> None:
        """Record the end, and the release if anything may have changed."""
        operation, tools = self.operation, self._tools
        if self._stored is not None:
            with contextlib.suppress(ClusterError):  # the other copy holds, and the next run mends this one
                await self._write_to_cluster()
        now_us = tools.clock.now_us()
        self.operation = replace(
            operation, state=state, failure=failure, finished_at=now_us, objects=tuple(self._results.values())
        )
        records = self._changed or state is OperationState.SUCCEEDED
        records = records and operation.kind is not OperationKind.REPAIR

        def unit() -> Unit[Operation]:
            yield from self._lock.guard()
            ended = self.operation
            if records:
                ended = yield from self._release(ended, now_us)
            else:
                yield from store.forget_operations(ended.identity)
            if self._stored is not None:
                yield from store.put_inventory(ended.identity, self._inventory, ended.namespace)
            yield from store.update_operation(ended)
            yield from append_many([events.finished(ended)], now_us)
            return ended

        self.operation = await tools.database.write(unit)
        tools.journal.committed()
        self._told(self.operation)

    def _release(self, ended: Operation, now_us: int) -> Unit[Operation]:
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
        yield from store.put_release(ended.identity, release, parameters)
        return replace(ended, release=release.revision)

    async def _write(self, told: Iterable[Event | None] = ()) -> None:
        """Record how far it is, under the lock."""
        self.operation = replace(self.operation, objects=tuple(self._results.values()))
        operation, inventory = self.operation, self._inventory
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

    async def _write_to_cluster(self, *, may_lack_namespace: bool = False) -> None:
        if self._inventory.serial == self._in_cluster:
            return
        operation, inventory = self.operation, self._inventory
        if not inventory.entries and self._in_cluster is None:
            return  # nothing was ever owned
        body = inventories.to_object(inventory, operation.identity, operation.namespace)
        try:
            await self._cluster.apply(body, manager=operation.identity.manager, force=True)
        except Refused as refused:
            # It comes with the first wave, and this copy right after it.
            if may_lack_namespace and refused.reason == "namespace_missing":
                return
            raise
        self._in_cluster = inventory.serial

    def _check_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Stopped(None)

    def _left_s(self) -> float:
        since_us = self._tools.clock.now_us() - self._began_us
        return max(self.operation.options.deadline_s - since_us / MICROSECONDS, 0.0)

    def _too_late(self) -> Failure:
        for one in self._results.values():
            if one.status is ObjectStatus.APPLIED or (one.status is ObjectStatus.PENDING and one.message):
                message = f"not healthy within {self.operation.options.deadline_s:g} s: {one.message}"
                error = one.reason or "Timeout"
                return Failure(
                    code=_RECONCILIATION, error=error, message=message, resource=one.key, certain=False
                )
        return Failure(code=_RECONCILIATION, error="Timeout", message="not healthy in time", certain=False)

    def _note(self, results: Iterable[ObjectResult]) -> None:
        self._results |= {one.key: one for one in results}

    def _has_run(self, step: Step) -> bool:
        return step.manifest is not None and hook_of(step.manifest) is not None and self._is_done(step.key)

    def _is_done(self, key: Key) -> bool:
        known = self._results.get(key)
        return known is not None and known.status is ObjectStatus.HEALTHY

    def _is_further(self, fresh: ObjectResult) -> bool:
        """Tell whether an earlier run has done to an object what this one finds done."""
        known = self._results.get(fresh.key)
        return known is not None and known.action != fresh.action == Action.UNCHANGED


def scope_of(operation: Operation) -> Scope:
    """Return what a plan is allowed to touch."""
    options = operation.options
    down = operation.kind is OperationKind.DOWN
    return Scope(
        operation.identity,
        frozenset(operation.services),
        force=options.force,
        prune=options.prune or down,
        volumes=options.volumes,
        namespaces=options.namespaces,
        definitions=options.definitions,
    )


async def read_inventories(
    database: Database, cluster: Cluster, identity: Identity, namespace: str
) -> tuple[Inventory | None, str, Inventory | None]:
    """Return our copy, the namespace of the other, and the other. Raises InventoryUnreadable."""
    found = await database.read(lambda: store.read_inventory(identity))
    stored, namespace = found if found else (None, namespace)
    body = await cluster.get(Key(namespace, "ConfigMap", inventories.object_name(identity)))
    return stored, namespace, None if body is None else inventories.from_object(body)


def _at_first(step: Step) -> ObjectStatus:
    return ObjectStatus.KEPT if step.action is Action.KEEP else ObjectStatus.PENDING


def _result(step: Step, status: ObjectStatus) -> ObjectResult:
    return ObjectResult(
        key=step.key, service=step.service, action=step.action.value, status=status, message=step.message
    )


def _failed(step: Step, error: ClusterError) -> ObjectResult:
    return replace(_result(step, ObjectStatus.FAILED), message=str(error), reason=_word(error))


def _settled(known: ObjectResult, standing: Standing) -> ObjectResult:
    if standing.healthy:
        return replace(known, status=ObjectStatus.HEALTHY, message="", reason="")
    status = ObjectStatus.FAILED if standing.certain else known.status
    return replace(known, status=status, message=standing.message, reason=standing.reason)


def _word(error: BaseException) -> str:
    match error:
        case Refused():
            return error.reason
        case Conflict():
            return "conflict"
        case _:
            return type(error).__name__


def _failure(error: BaseException, resource: Key | None) -> Failure:
    return Failure(code=_RECONCILIATION, error=str(error), message=_word(error), resource=resource)


def _obstructed(step: Step) -> Failure:
    return Failure(code=_RECONCILIATION, error=step.message, message=step.action.value, resource=step.key)


def _unhealthy(key: Key, standing: Standing) -> Failure:
    return Failure(code=_RECONCILIATION, error=standing.reason, message=standing.message, resource=key)


def _unavailable(error: ClusterUnavailable) -> Failure:
    return Failure(
        code="kubernetes_error",
        error=error.detail,
        message="the cluster cannot be reached, or fails",
        certain=False,
        retry_after_s=error.retry_after_s,
    )
