"""The objects that an application describes now, and single ones that are replaced."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stellwerk.release.deploying import Deployer
from stellwerk.release.objects import Manifest
from stellwerk.release.preparing import Basis, Faulty, rendered
from stellwerk.release.rendering.rendering import Override, named_after
from stellwerk.release.spelling import did_you_mean


class UnknownManifest(LookupError):
    """The application describes no such object, and there is no override of it."""


class UnfitOverride(ValueError):
    """What would stand in the place of an object is another one, none, or belongs to no service."""


@dataclass(frozen=True, slots=True)
class Described:
    """An object as it is described, and whether an override does."""

    manifest: Manifest
    overridden: bool


class Manifests:
    """Shows and replaces what is described. Methods may raise as `Deployer.basis` does."""

    def __init__(self, deployer: Deployer) -> None:
        self._deployer = deployer

    async def list(self, instance: str) -> Sequence[Described]:
        """List what can be rendered, in the order of services and files."""
        basis = await self._deployer.basis(instance, blind=True)
        return await _described(basis)

    async def get(self, instance: str, key: str) -> Described:
        """Return one object. Raises UnknownManifest."""
        return _one(await self.list(instance), key)

    async def put(
        self, instance: str, key: str, text: str, *, by: str, service: str | None = None, known: bool = False
    ) -> None:
        """Put a template in the place of an object, or beside those of a service.

        `known`: only if the object is described already. Raises Faulty, UnfitOverride, UnknownManifest.
        """
        basis = await self._deployer.basis(instance, blind=True)
        there = {str(one.manifest.key): one for one in await _described(basis)}
        if known:
            _one(list(there.values()), key)
        belongs = there[key].manifest.service if key in there else _service(basis, service)
        override = Override(key, text, belongs)
        await _check(basis, override)
        await self._deployer.overrides.put(self._deployer.identity(instance), override, by=by)

    async def remove(self, instance: str, key: str, *, by: str) -> None:
        """Take an override away. Raises UnknownManifest."""
        if not await self._deployer.overrides.remove(self._deployer.identity(instance), key, by=by):
            raise UnknownManifest(
                f"There is no override of {key}; what a file describes is removed in the file"
            )


async def _described(basis: Basis) -> list[Described]:
    found = await rendered(basis, tuple(basis.application.services))
    overridden = {named_after(one.key) for one in basis.overrides}
    return [Described(one, one.file in overridden) for one in found.manifests]


def _one(found: Sequence[Described], key: str) -> Described:
    for one in found:
        if str(one.manifest.key) == key:
            return one
    names = [str(one.manifest.key) for one in found]
    raise UnknownManifest(f"manifest {key}: {did_you_mean(key, names)}")


def _service(basis: Basis, service: str | None) -> str:
    names = list(basis.application.services)
    if service is None:
        raise UnfitOverride("The application describes no such object; to add one, name its `service`")
    if service not in names:
        raise UnfitOverride(f"There is no service {service!r}: {did_you_mean(service, names)}")
    return service


async def _check(basis: Basis, override: Override) -> None:
    others = tuple(one for one in basis.overrides if one.key != override.key)
    found = await rendered(replace(basis, overrides=(*others, override)), (override.service,))
    place = named_after(override.key)
    faults = [fault for fault in found.faults if fault.file == place]
    if faults:
        raise Faulty(faults)
    made = [str(one.key) for one in found.manifests if one.file == place]
    if made != [override.key]:
        raise UnfitOverride(f"The text describes {', '.join(made) or 'no object'}, not {override.key}")
