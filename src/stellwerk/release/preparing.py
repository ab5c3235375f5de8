"""Preparing an operation: the application is read, rendered with its parameters, and judged.

Nothing here changes anything. A fault of a service that is named refuses the operation, because what it
lacks would be taken for what is no longer described, and be removed; faults of other services do not matter.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stellwerk.release.application.application import Application
from stellwerk.release.application.reading import REQUIREMENTS
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.fault import Fault
from stellwerk.release.objects import DEFAULT_NAMESPACE, Key, Manifest
from stellwerk.release.operations.record import Prepared
from stellwerk.release.parameters.merging import global_view, service_view
from stellwerk.release.placing import namespaces_for
from stellwerk.release.rendering.kinds import ClusterInfo
from stellwerk.release.rendering.renderer import Renderer
from stellwerk.release.rendering.rendering import AppInfo, Override, Rendered, render


class Faulty(Exception):
    """The files of the services named cannot be rendered; nothing was changed."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Basis:
    """What is rendered, and with what."""

    application: Application
    spec: Mapping[str, Any]
    """The stored parameters; empty where nothing is stored."""
    instance: str
    cluster: ClusterInfo = field(default_factory=ClusterInfo)
    secret_key: bytes = b""
    """Hashes the values of Secrets."""
    overrides: tuple[Override, ...] = ()
    renderer: Renderer | None = None
    """None renders Jinja with our filters alone."""

    @property
    def namespace(self) -> str:
        """Return where the inventory of a new instance is kept."""
        return str(global_view(self.application, self.spec).get("namespace") or DEFAULT_NAMESPACE)

    def view(self, service: str) -> dict[str, Any]:
        """Return everything that holds for one service."""
        return service_view(self.application, self.spec, service)


async def ask(cluster: Cluster) -> ClusterInfo:
    """Ask a cluster what templates may know of it. Raises ClusterUnavailable, NotSelected."""
    version, kinds = await asyncio.gather(cluster.version(), cluster.kinds())
    served = {(one.api_version, one.kind): one.namespaced for one in kinds.versions()}
    return ClusterInfo(cluster.name, version, cluster.simulated, served)


async def rendered(basis: Basis, services: Sequence[str]) -> Rendered:
    """Render services; in a thread, because templates take their time."""
    app = AppInfo(basis.application.name, basis.instance, basis.application.version)
    return await asyncio.to_thread(
        render,
        basis.application,
        services,
        basis.spec,
        app=app,
        secret_key=basis.secret_key,
        cluster=basis.cluster,
        renderer=basis.renderer,
        overrides=basis.overrides,
    )


async def prepare(basis: Basis, services: Sequence[str]) -> Prepared:
    """Return what the services want. Raises Faulty."""
    found = await rendered(basis, services)
    faults = [fault for fault in found.faults if fault.file not in REQUIREMENTS]
    if faults:
        raise Faulty(faults)
    spaces = namespaces_for(found.manifests, basis.view, basis.secret_key)
    return await around(basis, services, (*spaces, *found.manifests))


async def around(basis: Basis, services: Sequence[str], manifests: tuple[Manifest, ...] = ()) -> Prepared:
    """Return these manifests with what an operation has to know of the other services."""
    others = [name for name in basis.application.services if name not in services]
    elsewhere = await rendered(basis, others) if others else Rendered((), ())
    return Prepared(
        manifests,
        basis.spec,
        basis.application.depends_on,
        keys_of(elsewhere.manifests),
        basis.namespace,
    )


def keys_of(manifests: Sequence[Manifest]) -> frozenset[Key]:
    """Return what manifests describe."""
    return frozenset(manifest.key for manifest in manifests)
