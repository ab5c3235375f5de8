"""Routes about what is watched: how services are, what became of them, what drifted."""

from collections.abc import Mapping

from msgspec import UNSET

from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.conductor import picturing
from stellwerk.interfaces.conductor.errors import not_found
from stellwerk.interfaces.conductor.wire import watching as wire
from stellwerk.interfaces.conductor.wire.form import InstanceQuery
from stellwerk.release.deploying import Deployer
from stellwerk.release.listing import Listed, list_services
from stellwerk.release.ownership import Identity
from stellwerk.release.parameters.tracing import traced
from stellwerk.release.spelling import did_you_mean
from stellwerk.release.watching.record import ServiceHealth
from stellwerk.release.watching.service import Watching
from stellwerk.trust.scopes import Scope

TAG = "services"
PARAMETER_VERSIONS = 50
"""Versions of parameters that are looked at for one service."""
Found = tuple[list[ServiceHealth], Mapping[str, Listed]]


class WatchRoutes:
    """See the module."""

    def __init__(self, deployer: Deployer, watching: Watching) -> None:
        self._deployer = deployer
        self._watching = watching

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/api/services/health",
                handle=self.health,
                scope=Scope.SERVICES_READ,
                summary="Show how all services are",
                tag=TAG,
                query=InstanceQuery,
                gives=wire.HealthOfServices,
                refuses=(404,),
            ),
            Operation(
                method="GET",
                path="/api/services/{name}",
                handle=self.show,
                scope=Scope.SERVICES_READ,
                summary="Show a service with its objects and what was made for them",
                tag=TAG,
                query=InstanceQuery,
                gives=wire.ServiceTree,
            ),
            Operation(
                method="GET",
                path="/api/services/{name}/state",
                handle=self.state,
                scope=Scope.SERVICES_READ,
                summary="Show what became of a service: deployment, errors, drift, parameters",
                tag=TAG,
                query=InstanceQuery,
                gives=wire.ShownState,
            ),
            Operation(
                method="POST",
                path="/api/services/{name}/pause",
                handle=self.pause,
                scope=Scope.SERVICES_DEPLOY,
                summary="Let the reconciler leave a service alone",
                tag=TAG,
                takes=wire.PauseRequest,
                body_required=False,
                query=InstanceQuery,
                gives=wire.Paused,
            ),
            Operation(
                method="POST",
                path="/api/services/{name}/resume",
                handle=self.resume,
                scope=Scope.SERVICES_DEPLOY,
                summary="Let the reconciler see to a service again",
                tag=TAG,
                query=InstanceQuery,
                gives=wire.Paused,
            ),
            Operation(
                method="GET",
                path="/api/drift",
                handle=self.drift,
                scope=Scope.SERVICES_READ,
                summary="Show what is not as it was applied",
                tag=TAG,
                query=wire.DriftQuery,
                refuses=(404,),
                gives=wire.ShownDrifts,
            ),
        ]

    async def health(self, call: Call[None, InstanceQuery]) -> Answer:
        found, described = await self._all(call.query.instance)
        return wire.HealthOfServices(
            services=[picturing.health(one, described.get(one.service)) for one in found]
        )

    async def show(self, call: Call[None, InstanceQuery]) -> Answer:
        name, instance = call.path["name"], call.query.instance
        found, described = await self._all(instance)
        one = _named(found, name)
        nodes = await self._watching.tree(self._deployer.identity(instance), name)
        return picturing.tree(one, described.get(name), nodes)

    async def state(self, call: Call[None, InstanceQuery]) -> Answer:
        name, instance = call.path["name"], call.query.instance
        identity = await self._checked(instance, name)
        shown = picturing.state(await self._watching.state(identity, name), instance)
        if call.principal.may(Scope.PARAMETERS_READ):
            versions = await self._deployer.parameters.history(instance, PARAMETER_VERSIONS)
            application = self._deployer.source.last()
            shown.parameters = picturing.parameters(traced(application, name, versions))
        return shown

    async def pause(self, call: Call[wire.PauseRequest | None, InstanceQuery]) -> Answer:
        name = call.path["name"]
        identity = await self._checked(call.query.instance, name)
        why = call.body.why if call.body else ""
        paused = await self._watching.pause(identity, name, by=call.principal.id, why=why)
        return wire.Paused(message=f"The reconciler leaves {name} alone", paused=picturing.pause(paused))

    async def resume(self, call: Call[None, InstanceQuery]) -> Answer:
        name = call.path["name"]
        identity = await self._checked(call.query.instance, name)
        was = await self._watching.resume(identity, name, by=call.principal.id)
        message = f"The reconciler sees to {name} again" if was else f"{name} was not paused"
        return wire.Paused(message=message, paused=None)

    async def drift(self, call: Call[None, wire.DriftQuery]) -> Answer:
        wanted = call.query.service
        if wanted is UNSET:
            identity = self._deployer.identity(call.query.instance)
        else:
            identity = await self._checked(call.query.instance, wanted)
        found = (await self._watching.drift(identity)).values()
        return wire.ShownDrifts(
            drift=[picturing.drift(seen) for seen in found if wanted in (UNSET, seen.drift.service)]
        )

    async def _all(self, instance: str) -> Found:
        """Return all services, and what is known of those that are not deployed."""
        identity = self._deployer.identity(instance)
        application = await self._deployer.source.read()
        found = await self._watching.services(identity, [*application.services])
        if all(one.installed for one in found):
            return found, {}
        return found, {one.name: one for one in await list_services(self._deployer, instance)}

    async def _checked(self, instance: str, name: str) -> Identity:
        """Return the instance if it has such a service. Raises Problem."""
        identity = self._deployer.identity(instance)
        application = await self._deployer.source.read()
        _named(await self._watching.services(identity, [*application.services]), name)
        return identity


def _named(found: list[ServiceHealth], name: str) -> ServiceHealth:
    for one in found:
        if one.service == name:
            return one
    advice = did_you_mean(name, [one.service for one in found])
    raise not_found(f"There is no service {name}: {advice}")
