"""Routes about releases: the history, what is in one, and how two differ."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.conductor import rendering
from stellwerk.interfaces.conductor.errors import not_found
from stellwerk.interfaces.conductor.wire import releases as wire
from stellwerk.interfaces.conductor.wire.form import InstanceQuery
from stellwerk.release.comparing import changes
from stellwerk.release.deploying import Deployer
from stellwerk.release.objects import Key, Manifest
from stellwerk.release.operations.record import Release
from stellwerk.release.ownership import Identity
from stellwerk.release.parameters.differing import differences
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

TAG = "releases"
Contents = tuple[Mapping[Key, Manifest], Mapping[str, Any]]


class ReleaseRoutes:
    """See the module."""

    def __init__(self, deployer: Deployer) -> None:
        self._deployer = deployer

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/api/releases",
                handle=self.list,
                scope=Scope.SERVICES_READ,
                summary="List the releases that are kept, newest first",
                tag=TAG,
                query=wire.ReleasesQuery,
                gives=wire.ShownReleases,
            ),
            Operation(
                method="GET",
                path="/api/releases/{revision}",
                handle=self.show,
                scope=Scope.SERVICES_READ,
                summary="Show the objects of a release, and its parameters to those who may read them",
                tag=TAG,
                query=InstanceQuery,
                gives=wire.ReleaseContents,
            ),
            Operation(
                method="GET",
                path="/api/releases/{revision}/diff",
                handle=self.diff,
                scope=Scope.SERVICES_READ,
                summary="Show how a release differs from another, or from the one before",
                tag=TAG,
                query=wire.DiffQuery,
                gives=wire.ReleaseDifference,
            ),
        ]

    async def list(self, call: Call[None, wire.ReleasesQuery]) -> Answer:
        found = await self._deployer.operations.releases(self._deployer.identity(call.query.instance))
        return wire.ShownReleases(releases=[rendering.release(one) for one in found[: call.query.limit]])

    async def show(self, call: Call[None, InstanceQuery]) -> Answer:
        identity = self._deployer.identity(call.query.instance)
        release = await self._release(identity, call.path["revision"])
        objects, parameters = await self._contents(identity, release.revision)
        shown = rendering.release_with(release, [_object(one) for one in objects.values()])
        if _may_read_parameters(call.principal):
            shown.parameters = dict(parameters)
        return shown

    async def diff(self, call: Call[None, wire.DiffQuery]) -> Answer:
        identity = self._deployer.identity(call.query.instance)
        release = await self._release(identity, call.path["revision"])
        against = await self._against(identity, release, call.query)
        old: Contents = ({}, {}) if against is None else await self._contents(identity, against.revision)
        new = await self._contents(identity, release.revision)
        shown = wire.ReleaseDifference(
            revision=release.revision,
            against=None if against is None else against.revision,
            objects=[_difference(key, old[0], new[0]) for key in _differing(old[0], new[0])],
        )
        if _may_read_parameters(call.principal):
            shown.parameters = rendering.differences(differences(old[1], new[1]))
        return shown

    async def _release(self, identity: Identity, revision: str) -> Release:
        for one in await self._deployer.operations.releases(identity):
            if str(one.revision) == revision:
                return one
        raise not_found(f"Release {revision} is not kept")

    async def _against(self, identity: Identity, release: Release, query: wire.DiffQuery) -> Release | None:
        if query.against is not UNSET:
            return await self._release(identity, str(query.against))
        found = await self._deployer.operations.releases(identity)
        return next((one for one in found if one.revision < release.revision), None)

    async def _contents(self, identity: Identity, revision: int) -> Contents:
        manifests, parameters = await self._deployer.operations.contents(identity, revision)
        return {one.key: one for one in manifests}, parameters


def _may_read_parameters(principal: Principal) -> bool:
    return principal.may(Scope.PARAMETERS_READ)


def _object(one: Manifest) -> wire.ReleasedObject:
    return wire.ReleasedObject(
        resource=str(one.key),
        service=one.service,
        file=one.file,
        manifest=rendering.without_secrets(one.body),
    )


def _differing(old: Mapping[Key, Manifest], new: Mapping[Key, Manifest]) -> list[Key]:
    return sorted(
        key for key in {*old, *new} if key not in old or key not in new or old[key].hash != new[key].hash
    )


def _difference(key: Key, old: Mapping[Key, Manifest], new: Mapping[Key, Manifest]) -> wire.ObjectDifference:
    if key not in old:
        return wire.ObjectDifference(resource=str(key), service=new[key].service, action="added")
    if key not in new:
        return wire.ObjectDifference(resource=str(key), service=old[key].service, action="removed")
    return wire.ObjectDifference(
        resource=str(key),
        service=new[key].service,
        action="changed",
        changes=rendering.changes(changes(old[key].body, new[key].body)),
    )
