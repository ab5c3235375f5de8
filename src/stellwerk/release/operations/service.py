"""The use cases of operations and releases.

Theory of operation. An operation is recorded with everything that it needs, rendered and sealed, before
anything acts. The loop reads what is open, takes the oldest of each application instance whose named lock it
gets, and runs it in a task of its own; so there is one at a time for each, over all replicas. While a run
goes on its lock is renewed. When the process ends, runs are cut off and their records stay open: whoever gets
the lock next goes on from them. A cancellation is a mark on the record, which the holder of the lock sees.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import structlog
from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS
from stellwerk.database.errors import DatabaseUnavailable, LockLost
from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit
from stellwerk.journal.store import append_many
from stellwerk.loop import Loop
from stellwerk.release import inventory as inventories
from stellwerk.release.callbacks import Callbacks
from stellwerk.release.inventory import Inventory
from stellwerk.release.objects import Manifest
from stellwerk.release.operations import events, store
from stellwerk.release.operations.contents import hashes_of, place_of, sealed_of
from stellwerk.release.operations.looking import look, try_out
from stellwerk.release.operations.progress import read_inventories
from stellwerk.release.operations.record import (
    Busy,
    Operation,
    OperationKind,
    OperationState,
    Prepared,
    Release,
    Request,
    UnknownOperation,
    UnknownRevision,
    Unreadable,
)
from stellwerk.release.operations.run import Run, scope_of
from stellwerk.release.operations.tools import Tools
from stellwerk.release.ownership import Identity
from stellwerk.release.plan import Known, Plan, plan

LOCK_S = 15.0
"""Until another replica may go on with an operation whose holder is silent."""
RENEW_S = 4.0
LOOK_S = 2.0
"""Between looks for what other replicas recorded, or left behind."""
MOST_ATTEMPTS = 5
"""Runs of one operation; one that ends its process each time must not be begun for ever."""
CHANNEL = "release"

log = structlog.get_logger(__name__)


class Operations:
    """Starts operations, carries them out, and tells of them. Methods may raise DatabaseUnavailable."""

    def __init__(self, tools: Tools, *, holder: str, callbacks: Callbacks | None = None) -> None:
        """`holder`: names this process; the same after a restart, if no other can have it meanwhile.
        `callbacks` are told of operations that have ended.
        """
        self._tools = tools
        self._callbacks = callbacks or Callbacks()
        self._telling: set[asyncio.Task[None]] = set()
        self._holder = holder
        self._runs: dict[Identity, asyncio.Task[None]] = {}
        self._running: dict[str, Run] = {}
        self._latest: dict[str, Operation] = {}
        self._moved = asyncio.Condition()
        self._unlisten: Any = None
        self.loop = Loop("release.operations", self._give_out, turn_s=60.0)

    async def start_loop(self) -> None:
        """Begin to carry operations out, also those that were cut off; may be called more than once."""
        if self._unlisten is None:
            self._unlisten = self._tools.database.listen(CHANNEL, self.loop.wake)
        self.loop.start()
        self.loop.wake()

    async def stop(self) -> None:
        """Cut off what is running; it goes on after the next start. May be called more than once."""
        await self.loop.stop()
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        tasks = [*self._runs.values(), *self._telling]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def begin(
        self, request: Request, prepared: Prepared, *, on_busy: Literal["wait", "refuse"] = "wait"
    ) -> Operation:
        """Record an operation, durably; it is carried out as soon as those before it have ended.

        For a removal, a rollback and a repair `prepared` says only where the inventory is kept and what
        other services describe: the objects are those of a release. Raises Busy, UnknownRevision, Unreadable.
        """
        request, prepared = await self._of_release(request, prepared)
        operation = _operation(request, prepared, self._tools.clock.now_us())
        place = place_of(operation.identity, "parameters")
        parameters = self._tools.sealer.seal_document(place, prepared.parameters)
        sealed = sealed_of(self._tools.sealer, operation.identity, prepared.manifests)

        def unit() -> Unit[None]:
            if on_busy == "refuse" and (others := (yield from store.open_operations(operation.identity))):
                raise Busy(others[0].id)
            yield from store.put_contents(operation.identity, sealed)
            yield from store.insert_operation(operation, parameters)
            yield from append_many([events.requested(operation)], operation.requested_at)

        await self._tools.database.write(unit)
        self._tools.journal.committed()
        self.loop.wake()
        await self._tools.database.notify(CHANNEL)
        return operation

    async def preview(self, request: Request, prepared: Prepared) -> Plan:
        """Return what an operation would do, tried by the cluster itself; nothing is changed or recorded.

        Raises UnknownRevision, Unreadable, InventoryUnreadable, and what a cluster raises.
        """
        request, prepared = await self._of_release(request, prepared)
        operation = _operation(request, prepared, self._tools.clock.now_us())
        wanted = () if request.kind is OperationKind.DOWN else prepared.manifests
        scope = scope_of(operation)
        inventory = await self.inventory(request.identity, prepared.namespace)
        found = await look(self._tools.cluster, wanted, inventory, scope)
        known = Known(found.live, inventory, {}, found.missing_kinds, prepared.elsewhere)
        known = await try_out(self._tools.cluster, wanted, known, scope, new=True)
        return plan(wanted, known, scope, prepared.depends_on)

    async def get(self, operation_id: str) -> Operation:
        """Return an operation as it is. Raises UnknownOperation."""
        known = self._latest.get(operation_id)
        if known is None:
            known = await self._tools.database.read(lambda: store.read_operation(operation_id))
        if known is None:
            raise UnknownOperation(operation_id)
        return known

    async def wait(self, operation_id: str, timeout_s: float) -> Operation:
        """Return an operation when it has ended, or as it is after that time. Raises UnknownOperation."""
        operation = await self.get(operation_id)
        try:
            async with asyncio.timeout(timeout_s):
                async for one in self.follow(operation_id):
                    operation = one
        except TimeoutError:
            return await self.get(operation_id)
        return operation

    async def follow(self, operation_id: str) -> AsyncGenerator[Operation, None]:
        """Tell how an operation is, at once and after every change, until it has ended."""
        told: Operation | None = None
        while told is None or not told.ended:
            operation = await self.get(operation_id)
            if operation != told:
                told = operation
                yield operation
                continue
            await self._change()

    async def cancel(self, operation_id: str, by: str) -> Operation:
        """Ask for the end of an operation; what it did until then stands. Raises UnknownOperation."""
        await self._tools.database.write(lambda: store.request_cancel(operation_id, by))
        run = self._running.get(operation_id)
        if run is not None:
            run.cancelled.set()
        self.loop.wake()
        await self._tools.database.notify(CHANNEL)
        return await self.get(operation_id)

    async def list(self, identity: Identity, limit: int = 50) -> Sequence[Operation]:
        """List the operations of an application instance, newest first."""
        return await self._tools.database.read(lambda: store.list_operations(identity, limit))

    async def releases(self, identity: Identity) -> Sequence[Release]:
        """List the releases that are kept, newest first."""
        return await self._tools.database.read(lambda: store.list_releases(identity))

    async def contents(
        self, identity: Identity, revision: int
    ) -> tuple[Sequence[Manifest], Mapping[str, Any]]:
        """Return the objects and the parameters of a release. Raises UnknownRevision, Unreadable."""
        release = await self._release(identity, revision)
        return await self._manifests(identity, release.contents), await self._parameters(identity, revision)

    async def present(self, identity: Identity, services: Collection[str]) -> tuple[Manifest, ...]:
        """Return what the newest release says about some services. Raises Unreadable."""
        releases = await self.releases(identity)
        contents = releases[0].contents if releases else {}
        named = {service: one for service, one in contents.items() if service in services}
        return await self._manifests(identity, named)

    async def open(self, identity: Identity) -> Sequence[Operation]:
        """List the operations that have not ended, oldest first."""
        return await self._tools.database.read(lambda: store.open_operations(identity))

    async def owned(self, identity: Identity) -> Inventory:
        """Return what an instance owns by our own copy. Raises InventoryUnreadable."""
        found = await self._tools.database.read(lambda: store.read_inventory(identity))
        return found[0] if found else Inventory()

    async def inventory(self, identity: Identity, namespace: str) -> Inventory:
        """Return what an application instance owns. Raises InventoryUnreadable, and what a cluster raises."""
        stored, _, in_cluster = await read_inventories(
            self._tools.database, self._tools.cluster, identity, namespace
        )
        return inventories.newest(one for one in (stored, in_cluster) if one is not None)

    async def _of_release(self, request: Request, prepared: Prepared) -> tuple[Request, Prepared]:
        """Fill in what a rollback goes back to, or what a removal may have to run before."""
        if request.kind is OperationKind.ROLLBACK:
            return await self._of_rollback(request, prepared)
        if request.kind not in (OperationKind.DOWN, OperationKind.REPAIR):
            return request, prepared
        manifests = await self.present(request.identity, request.services)
        return request, _with(prepared, manifests, prepared.parameters)

    async def _of_rollback(self, request: Request, prepared: Prepared) -> tuple[Request, Prepared]:
        identity = request.identity
        releases = await self.releases(identity)
        if request.revision is None:
            good = [one for one in releases[1:] if one.result is OperationState.SUCCEEDED]
            if not good:
                raise UnknownRevision("there is no earlier release that succeeded")
            release = good[0]
        else:
            release = await self._release(identity, request.revision)
        services = request.services or tuple(sorted({*release.contents, *releases[0].contents}))
        named = {service: one for service, one in release.contents.items() if service in services}
        manifests = await self._manifests(identity, named)
        parameters = await self._parameters(identity, release.revision)
        wanted = Request(
            request.kind,
            identity,
            services,
            request.by,
            request.options,
            release.revision,
            request.note,
        )
        return wanted, _with(prepared, manifests, parameters)

    async def _release(self, identity: Identity, revision: int) -> Release:
        for release in await self.releases(identity):
            if release.revision == revision:
                return release
        raise UnknownRevision(f"release {revision} is not kept")

    async def _manifests(self, identity: Identity, contents: Mapping[str, str]) -> tuple[Manifest, ...]:
        sealed = await self._tools.database.read(lambda: store.read_contents(identity, contents))
        if len(sealed) < len(contents):
            raise Unreadable("what was rendered is no longer kept")
        return tuple(
            one
            for (service, _), text in sorted(sealed.items())
            for one in self._tools.sealer.open_manifests(place_of(identity, service), text)
        )

    async def _parameters(self, identity: Identity, revision: int) -> Mapping[str, Any]:
        sealed = await self._tools.database.read(lambda: store.read_release_parameters(identity, revision))
        if sealed is None:
            return {}
        return self._tools.sealer.open_document(place_of(identity, "parameters"), bytes(sealed))

    async def _give_out(self) -> None:
        """Begin what is open and can begin; the body of the loop."""
        while await self.loop.rest(LOOK_S):
            try:
                await self._turn()
            except DatabaseUnavailable as error:
                log.warning("operations cannot be read now", detail=error.detail)

    async def _turn(self) -> None:
        seen = set(self._runs)
        for operation in await self._tools.database.read(store.open_operations):
            identity = operation.identity
            if identity in seen:
                continue
            seen.add(identity)
            lock = self._tools.database.lock(
                f"release:{identity.application}:{identity.instance}", self._holder
            )
            if await lock.take(self._tools.clock.now_us(), int(LOCK_S * MICROSECONDS)) is None:
                continue
            # It may have ended between our look and the taking of the lock.
            fresh = await self._tools.database.read(partial(store.read_operation, operation.id))
            if fresh is None or fresh.ended:
                await lock.release()
                self.loop.wake()
                continue
            task = asyncio.create_task(self._carry_out(fresh, lock), name=f"operation {fresh.id}")
            self._runs[identity] = task
        await self._read_cancels()

    async def _read_cancels(self) -> None:
        for operation_id, run in list(self._running.items()):
            if await self._tools.database.read(partial(store.is_cancelled, operation_id)):
                run.cancelled.set()

    async def _carry_out(self, operation: Operation, lock: NamedLock) -> None:
        run = Run(self._tools, operation, lock, self._told)
        self._running[operation.id] = run
        keeping = asyncio.create_task(self._keep(lock, asyncio.current_task()))
        ended: Operation | None = None
        try:
            if operation.attempt >= MOST_ATTEMPTS:
                await run.give_up(f"it was cut off {operation.attempt} times")
            else:
                if await self._tools.database.read(lambda: store.is_cancelled(operation.id)):
                    run.cancelled.set()
                ended = await run.carry_out()
        except (LockLost, DatabaseUnavailable) as error:
            log.warning(
                "an operation was cut off; it goes on later", operation=operation.id, error=str(error)
            )
        except Exception as error:
            log.exception("an operation ended by a fault", operation=operation.id)
            with contextlib.suppress(LockLost, DatabaseUnavailable):
                await run.give_up(f"{type(error).__name__}: {error}")
        finally:
            keeping.cancel()
            self._running.pop(operation.id, None)
            self._runs.pop(operation.identity, None)
            await asyncio.shield(_released(lock))
            if ended is not None:
                await self._after(ended)
            self._tell_callbacks(run.operation)
            self._latest.pop(operation.id, None)
            await self._tell()
            self.loop.wake()

    def _tell_callbacks(self, operation: Operation) -> None:
        """Tell them in a task of its own: the next operation does not wait for other people's functions."""
        if operation.ended:
            task = asyncio.create_task(self._callbacks.tell(operation), name=f"told of {operation.id}")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _after(self, ended: Operation) -> None:
        """Go back to the last release that succeeded, where that was asked for and waiting is in vain."""
        failure = ended.failure
        if not ended.options.auto_rollback or failure is None or not failure.certain or ended.release is None:
            return
        if ended.kind not in (OperationKind.UP, OperationKind.UPDATE):
            return
        note = f"automatic, because {ended.id} failed: {failure.error}"
        options = replace(ended.options, auto_rollback=False)
        request = Request(
            OperationKind.ROLLBACK, ended.identity, ended.services, ended.by, options, note=note
        )
        try:
            undoing = await self.begin(request, Prepared((), namespace=ended.namespace))
        except (UnknownRevision, Unreadable) as error:
            log.warning("a failed operation cannot be rolled back", operation=ended.id, error=str(error))
            return
        noted = replace(ended, rolled_back_by=undoing.id)
        await self._tools.database.write(lambda: store.update_operation(noted))

    async def _keep(self, lock: NamedLock, task: "asyncio.Task[Any] | None") -> None:
        """Renew the lock while its run goes on; end the run if the lock is lost."""
        turn = asyncio.get_running_loop()
        until, lost = turn.time() + LOCK_S, False
        while not lost:
            await asyncio.sleep(RENEW_S)
            renewed_at = turn.time()
            try:
                lost = not await lock.renew(self._tools.clock.now_us(), int(LOCK_S * MICROSECONDS))
                until = renewed_at + LOCK_S
            except DatabaseUnavailable:
                lost = turn.time() > until
        if task is not None:
            task.cancel()

    def _told(self, operation: Operation) -> None:
        if operation.ended:
            return  # told when it is known whether it is rolled back
        self._latest[operation.id] = operation
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _change(self) -> None:
        """Wait for a change of an operation of this process, or a second for one of another."""
        async with self._moved:
            try:
                async with asyncio.timeout(1.0):
                    await self._moved.wait()
            except TimeoutError:
                return


async def _released(lock: NamedLock) -> None:
    try:
        await lock.release()
    except DatabaseUnavailable:
        log.warning("a lock is held until its time is over", lock=lock.name)


def _operation(request: Request, prepared: Prepared, now_us: int) -> Operation:
    return Operation(
        id=f"op_{secrets.token_hex(8)}",
        kind=request.kind,
        application=request.identity.application,
        instance=request.identity.instance,
        services=request.services,
        options=request.options,
        by=request.by,
        requested_at=now_us,
        note=request.note,
        revision=request.revision,
        namespace=prepared.namespace,
        depends_on={service: tuple(others) for service, others in prepared.depends_on.items()},
        elsewhere=tuple(sorted(prepared.elsewhere)),
        contents=hashes_of(prepared.manifests),
    )


def _with(prepared: Prepared, manifests: Sequence[Manifest], parameters: Mapping[str, Any]) -> Prepared:
    return Prepared(tuple(manifests), parameters, prepared.depends_on, prepared.elsewhere, prepared.namespace)
