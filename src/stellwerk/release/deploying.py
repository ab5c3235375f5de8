"""The use cases of deploying an application: what was asked for becomes an operation, or the plan of one.

Until an operation is recorded nothing is changed, and everything that can be refused is: names that are not
known, templates that cannot be rendered, a cluster that is not selected or does not answer.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stellwerk.release.callbacks import Callbacks
from stellwerk.release.choosing import deployed, described
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.inventory import Inventory
from stellwerk.release.operations.record import Operation, OperationKind, Options, Prepared, Request
from stellwerk.release.operations.service import Operations
from stellwerk.release.overriding import Overrides
from stellwerk.release.ownership import Identity
from stellwerk.release.parameters.model import DEFAULT_INSTANCE, UnknownInstance
from stellwerk.release.parameters.service import Parameters, checked_instance
from stellwerk.release.plan import Plan
from stellwerk.release.preparing import Basis, around, ask, prepare
from stellwerk.release.rendering.kinds import ClusterInfo
from stellwerk.release.rendering.renderer import Renderer
from stellwerk.release.requiring import assess
from stellwerk.release.source import Source

GLANCE_S = 2.0
"""How long a cluster is waited for by those who only want to show something."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for, in their own names."""

    kind: OperationKind
    by: str
    services: tuple[str, ...] = ()
    """Names of services and groups; empty means all."""
    instance: str = DEFAULT_INSTANCE
    options: Options = field(default_factory=Options)
    revision: int | None = None
    """For a rollback; None for the last release that succeeded before the present one."""
    note: str = ""


class Deployer:
    """Deploys one application. Methods may raise DatabaseUnavailable, and what a cluster raises."""

    def __init__(
        self,
        source: Source,
        parameters: Parameters,
        operations: Operations,
        cluster: Cluster,
        *,
        overrides: Overrides,
        secret_key: bytes,
        renderer: Renderer | None = None,
        callbacks: Callbacks | None = None,
        gate: bool = False,
    ) -> None:
        """`callbacks` are asked before anything is recorded; `gate`: refuse to deploy while the cluster lacks
        what the application requires."""
        self.source = source
        self.parameters = parameters
        self.operations = operations
        self.cluster = cluster
        self.overrides = overrides
        self._secret_key = secret_key
        self._renderer = renderer
        self._callbacks = callbacks or Callbacks()
        self._gate = gate
        self._known = ClusterInfo()

    def identity(self, instance: str = DEFAULT_INSTANCE) -> Identity:
        """Name an instance of the application. Raises InvalidInstance."""
        return Identity(self.source.name, checked_instance(instance))

    async def begin(self, wish: Wish, *, on_busy: Literal["wait", "refuse"] = "wait") -> Operation:
        """Record what is asked for as an operation.

        Raises UnknownServices, NothingDescribed, Faulty, UnknownInstance, InvalidInstance,
        RequirementsNotMet, Vetoed, and what `Operations.begin` raises.
        """
        if self._gate and wish.kind is OperationKind.UP:
            (await assess(await self.source.read(), self.cluster)).check()
        request, prepared = await self._prepare(wish)
        await self._callbacks.ask(request)
        return await self.operations.begin(request, prepared, on_busy=on_busy)

    async def preview(self, wish: Wish) -> Plan:
        """Return what it would do; nothing is changed. Raises as `begin` does, and InventoryUnreadable."""
        request, prepared = await self._prepare(wish)
        return await self.operations.preview(request, prepared)

    async def basis(self, instance: str = DEFAULT_INSTANCE, *, blind: bool = False) -> Basis:
        """Read what is rendered, and with what. Raises UnknownInstance, InvalidInstance, Unreadable.

        `blind`: where the cluster gives no answer soon, what it last said is enough.
        """
        identity = self.identity(instance)
        application = await self.source.read()
        info = await (self._glance() if blind else self._ask())
        spec = await self._spec(identity)
        return Basis(
            application,
            spec,
            instance,
            info,
            self._secret_key,
            tuple(await self.overrides.list(identity)),
            self._renderer,
        )

    async def _ask(self) -> ClusterInfo:
        self._known = await ask(self.cluster)
        return self._known

    async def _glance(self) -> ClusterInfo:
        try:
            async with asyncio.timeout(GLANCE_S):
                return await self._ask()
        except (ClusterError, TimeoutError):
            return self._known

    async def owned(self, instance: str = DEFAULT_INSTANCE) -> Inventory:
        """Return what an instance owns. Raises InventoryUnreadable, InvalidInstance."""
        identity = self.identity(instance)
        document = await self.parameters.get(instance)
        namespace = Basis(self.source.last(), document.spec if document.stored else {}, instance).namespace
        return await self.operations.inventory(identity, namespace)

    async def _prepare(self, wish: Wish) -> tuple[Request, Prepared]:
        basis = await self.basis(wish.instance)
        identity = self.identity(wish.instance)
        if wish.kind in (OperationKind.UP, OperationKind.UPDATE):
            services = described(basis.application, wish.services)
            prepared = await prepare(basis, services)
        else:
            services = await self._deployed(wish, basis, identity)
            # Those of a rollback that names none are the release's.
            prepared = await around(basis, services or tuple(basis.application.services))
        request = Request(wish.kind, identity, services, wish.by, wish.options, wish.revision, wish.note)
        return request, prepared

    async def _deployed(self, wish: Wish, basis: Basis, identity: Identity) -> tuple[str, ...]:
        if wish.kind is OperationKind.ROLLBACK and not wish.services:
            return ()
        owned = {
            one.service
            for one in (await self.operations.inventory(identity, basis.namespace)).entries.values()
        }
        for release in await self.operations.releases(identity):
            owned |= release.contents.keys()
        return deployed(basis.application, wish.services, owned)

    async def _spec(self, identity: Identity) -> Mapping[str, Any]:
        document = await self.parameters.get(identity.instance)
        if document.stored:
            return document.spec
        # A misspelt instance must not become a new one; one whose parameters were removed can still be.
        if identity.instance != DEFAULT_INSTANCE and not await self.operations.releases(identity):
            raise UnknownInstance(
                f"There is no instance {identity.instance}; make it with its parameters first"
            )
        return {}
