"""The services of an application: what each describes, and whether it is deployed."""

from collections.abc import Mapping
from dataclasses import dataclass

from stellwerk.release.application.application import groups_of
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.deploying import Deployer
from stellwerk.release.fault import Fault
from stellwerk.release.inventory import InventoryUnreadable
from stellwerk.release.objects import DEFAULT_NAMESPACE, Body, Manifest
from stellwerk.release.placing import SHARED
from stellwerk.release.preparing import Basis, rendered


@dataclass(frozen=True, slots=True)
class Listed:
    """One service."""

    name: str
    namespace: str
    port: int
    """The first one of its Service; 0 where it has none."""
    installed: bool
    described: bool
    """False for what is deployed and no longer described."""
    groups: tuple[str, ...]
    faults: tuple[Fault, ...]


async def list_services(deployer: Deployer, instance: str) -> list[Listed]:
    """List what is described, and what is deployed without being described any more, by name."""
    basis = await deployer.basis(instance, blind=True)
    services = tuple(basis.application.services)
    found = await rendered(basis, services)
    manifests: dict[str, list[Manifest]] = {}
    for manifest in found.manifests:
        manifests.setdefault(manifest.service, []).append(manifest)
    installed = await _installed(deployer, instance)
    listed = [
        _listed(basis, name, manifests.get(name, []), name in installed, found.faults) for name in services
    ]
    gone = [
        Listed(name, namespace, 0, True, False, (), ())
        for name, namespace in installed.items()
        if name not in services
    ]
    return sorted([*listed, *gone], key=lambda one: one.name)


def _listed(
    basis: Basis, name: str, manifests: list[Manifest], installed: bool, faults: tuple[Fault, ...]
) -> Listed:
    view = basis.view(name)
    ports = [port for one in manifests if one.key.kind == "Service" and (port := _port(one.body))]
    return Listed(
        name,
        str(view.get("namespace") or DEFAULT_NAMESPACE),
        next(iter(ports), 0),
        installed,
        True,
        groups_of(basis.application, name),
        tuple(one for one in faults if one.service == name),
    )


async def _installed(deployer: Deployer, instance: str) -> Mapping[str, str]:
    """Return the services that own objects, each with a namespace of theirs; by the last release where the
    cluster cannot be asked."""
    try:
        entries = (await deployer.owned(instance)).entries
    except (ClusterError, InventoryUnreadable):
        releases = await deployer.operations.releases(deployer.identity(instance))
        named = {*releases[0].contents} - {SHARED} if releases else set()
        return dict.fromkeys(sorted(named), DEFAULT_NAMESPACE)
    return {
        entry.service: key.namespace or DEFAULT_NAMESPACE
        for key, entry in entries.items()
        if entry.service != SHARED
    }


def _port(body: Body) -> int:
    ports = (body.get("spec") or {}).get("ports") or [{}]
    port = ports[0].get("port") if isinstance(ports[0], dict) else 0
    return port if isinstance(port, int) else 0
