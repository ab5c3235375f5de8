"""Operations over the simulated cluster, for tests."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from stellwerk.clock import SystemClock
from stellwerk.database.database import Database
from stellwerk.journal.service import Journal
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.sandbox.sandbox import Sandbox
from stellwerk.release.objects import Body, Key, Manifest
from stellwerk.release.operations.record import Operation, OperationKind, Options, Prepared, Request
from stellwerk.release.operations.sealing import Sealer
from stellwerk.release.operations.service import Operations
from stellwerk.release.operations.settling import Settling
from stellwerk.release.operations.tools import Tools
from stellwerk.release.ownership import Identity
from stellwerk.settings import JournalSettings
from support.worlds import US, body, manifest

LIMIT_S = 20.0
MADE = frozenset({"Endpoints", "Event", "Pod", "ReplicaSet"})
"""Kinds that a cluster makes itself."""


class Restored:
    """Notes which parameters a rollback set."""

    def __init__(self) -> None:
        self.documents: list[Mapping[str, Any]] = []

    async def restore(self, identity: Identity, parameters: Mapping[str, Any], *, by: str, why: str) -> None:
        self.documents.append(parameters)


class Yard:
    """An application on a simulated cluster."""

    def __init__(
        self, database: Database, cluster: Cluster | None = None, *, namespace: str = "shop"
    ) -> None:
        self.cluster: Cluster = cluster or Sandbox(start_s=0.02)
        self._own = cluster is None
        self.namespace = namespace
        self.restored = Restored()
        self.journal = Journal(database, JournalSettings(), SystemClock())
        self.tools = Tools(
            self.cluster,
            Settling(self.cluster, SystemClock()),
            self.restored,
            database,
            self.journal,
            Sealer(b"s" * 32),
            SystemClock(),
        )
        self.operations = Operations(self.tools, holder="here")

    async def start(self) -> None:
        """Make the namespace and begin."""
        if self._own:
            await self.put(body("Namespace", self.namespace, namespace=""))
        await self.operations.start_loop()

    async def stop(self) -> None:
        """End; what is open stays open."""
        await self.operations.stop()
        await self.journal.stop()
        if self._own:
            await self.cluster.close()

    async def put(self, one: Body, manager: str = "somebody") -> None:
        """Make an object that is not ours."""
        await self.cluster.apply(one, manager=manager, force=True)

    async def begin(
        self,
        kind: OperationKind,
        wanted: Sequence[Manifest] = (),
        *,
        services: tuple[str, ...] = ("web",),
        revision: int | None = None,
        parameters: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Operation:
        """Ask for an operation."""
        chosen = Options(**{"deadline_s": LIMIT_S, **options})
        request = Request(kind, US, services, "tester", chosen, revision)
        return await self.operations.begin(
            request, Prepared(tuple(wanted), parameters or {}, namespace=self.namespace)
        )

    async def run(
        self,
        kind: OperationKind,
        wanted: Sequence[Manifest] = (),
        *,
        within_s: float = LIMIT_S,
        **rest: Any,
    ) -> Operation:
        """Carry an operation out."""
        operation = await self.begin(kind, wanted, **rest)
        return await self.operations.wait(operation.id, within_s)

    async def names(self) -> set[str]:
        """List what is in the application's namespace, but for what the cluster made itself."""
        found = set()
        for kind in await self.cluster.kinds():
            if kind.namespaced and kind.kind not in MADE:
                key = Key("shop", kind.kind, "", kind.group)
                found |= {
                    f"{key.kind}/{one['metadata']['name']}"
                    for one in await self.cluster.list(_kind(key), namespace="shop")
                }
        return found - {"ConfigMap/stellwerk-inventory-shop-default"}

    async def pods_of(self, name: str, count: int) -> None:
        """Wait until so many pods of a name are there."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                pods = await self.cluster.list(_kind(Key("", "Pod", "")), namespace="shop")
                if sum(one["metadata"]["name"].startswith(name) for one in pods) == count:
                    return
                await asyncio.sleep(0.01)


def config(name: str, service: str = "web", **data: str) -> Manifest:
    """Describe a ConfigMap."""
    return manifest(body(name=name, data=data), service, f"{service}/{name}.yaml")


def deployment(
    name: str, service: str = "web", *, replicas: int = 1, fail: str = "", tag: str = "1"
) -> Manifest:
    """Describe a Deployment, whose pods may fail."""
    template: dict[str, Any] = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": f"app:{tag}"}]},
    }
    if fail:
        template["metadata"]["annotations"] = {"sandbox.stellwerk.dev/fail": fail}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return manifest(
        body("Deployment", name, api_version="apps/v1", spec=spec), service, f"{service}/{name}.yaml"
    )


def _kind(key: Key) -> Any:
    from stellwerk.release.clusters.kinds import Kind

    return Kind(key.kind, key.group)
