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
from collections.abc import Callable, Sequence

from stellwerk.database.locks import NamedLock
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.inventory import InventoryUnreadable
from stellwerk.release.objects import Manifest
from stellwerk.release.operations import events, store
from stellwerk.release.operations.applying import Applier
from stellwerk.release.operations.contents import place_of
from stellwerk.release.operations.looking import look, try_out
from stellwerk.release.operations.outcomes import (
    Stopped,
    end_of,
    first_result_of,
    interrupted,
    obstructed,
    result_of,
)
from stellwerk.release.operations.progress import Progress
from stellwerk.release.operations.record import (
    ObjectStatus,
    Operation,
    OperationKind,
    OperationState,
    Unreadable,
)
from stellwerk.release.operations.removing import Remover
from stellwerk.release.operations.tools import Tools
from stellwerk.release.order import flattened
from stellwerk.release.plan import Action, Known, Plan, Scope, Step, noted, plan
from stellwerk.release.waves import Hook, hook_of


class Run:
    """Carries one operation out, while its lock is held."""

    def __init__(
        self, tools: Tools, operation: Operation, lock: NamedLock, told: Callable[[Operation], None]
    ) -> None:
        self._tools = tools
        self._cluster = tools.cluster
        self._progress = Progress(tools, operation, lock, told)
        self._remover = Remover(tools.cluster, self._progress)
        self._applier = Applier(tools, self._progress, self._remover)

    @property
    def operation(self) -> Operation:
        """Return the operation as it is now."""
        return self._progress.operation

    @property
    def cancelled(self) -> asyncio.Event:
        """Return what is set to cancel it."""
        return self._progress.cancelled

    async def carry_out(self) -> Operation:
        """Run to the end and record it. Raises LockLost, DatabaseUnavailable: then it is still open."""
        try:
            await self._progress.begin()
            await self._act()
        except (Stopped, ClusterError, Unreadable, InventoryUnreadable) as error:
            await self._progress.end(*end_of(error))
        else:
            await self._progress.end(OperationState.SUCCEEDED, None)
        return self.operation

    async def give_up(self, message: str) -> None:
        """End it as interrupted: it cannot go on."""
        await self._progress.end(OperationState.INTERRUPTED, interrupted(message))

    async def _act(self) -> None:
        progress, operation = self._progress, self.operation
        progress.check_cancelled()
        wanted = await self._wanted()
        scope = scope_of(operation)
        await progress.read_inventories()
        if operation.kind is OperationKind.DOWN:
            await self._before_removal([one for one in wanted if hook_of(one) is Hook.PRE_DOWN], scope)
            wanted = []
        known = await self._look(wanted, scope)
        made = plan(wanted, known, scope, operation.depends_on)
        if made.obstacles:
            results = [result_of(step, ObjectStatus.FAILED) for step in made.obstacles]
            progress.note(results)
            await progress.write([events.happened(self.operation, one) for one in results])
            raise Stopped(obstructed(made.obstacles[0]))
        await self._intend(made, known)
        if operation.kind is OperationKind.ROLLBACK:
            await self._restore_parameters()
        for wave in made.waves:
            await self._applier.apply(wave, known, scope)
            await self._applier.settle(wave, known)
        for stage in made.removals:
            await self._remover.remove(stage)
        progress.forget(made.forgotten)

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

    async def _look(self, wanted: Sequence[Manifest], scope: Scope) -> Known:
        found = await look(self._cluster, wanted, self._progress.inventory, scope)
        known = Known(
            found.live,
            found.inventory,
            missing_kinds=found.missing_kinds,
            elsewhere=frozenset(self.operation.elsewhere),
        )
        return await try_out(self._cluster, wanted, known, scope, new=False)

    async def _intend(self, made: Plan, known: Known) -> None:
        """Note what is going to be done, in both inventories, before any of it is."""
        progress = self._progress
        progress.note(one for one in map(first_result_of, made.steps) if not progress.is_further(one))
        progress.inventory = noted(made, known)
        await progress.write()
        await progress.write_to_cluster(may_lack_namespace=True)

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
        hooks = [one for one in hooks if not self._progress.is_done(one.key)]
        if not hooks:
            return
        steps = [Step(Action.CREATE, one.key, one.service, one) for one in hooks]
        known = await look(self._cluster, hooks, self._progress.inventory, scope)
        await self._intend(Plan((tuple(steps),)), known)
        await self._applier.apply(steps, known, scope)
        await self._applier.settle(steps, known)


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
