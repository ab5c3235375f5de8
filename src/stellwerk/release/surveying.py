"""What a cluster has, as requirements ask for it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from stellwerk.release.application.judging import Facts
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Refused, UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body
from stellwerk.release.quantities import quantity

NODE, STORAGE = Kind("Node"), Kind("StorageClass", "storage.k8s.io")
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


async def survey(cluster: Cluster) -> Facts:
    """Ask a cluster; what we may not read stays unknown. Raises ClusterUnavailable, NotSelected."""
    version, nodes, classes = await asyncio.gather(
        cluster.version(), _listed(cluster, NODE), _listed(cluster, STORAGE)
    )
    if cluster.simulated and not nodes:
        # A simulation runs pods without nodes: it has as much as anybody asks for.
        return Facts(
            version,
            ready_nodes=1,
            cpu=Decimal(1_000),
            memory=Decimal(2**40),
            storage_classes={"sandbox": True},
        )
    return Facts(
        version,
        ready_nodes=None if nodes is None else sum(map(_is_ready, nodes)),
        cpu=None if nodes is None else _sum(nodes, "cpu"),
        memory=None if nodes is None else _sum(nodes, "memory"),
        storage_classes=None if classes is None else dict(map(_class, classes)),
    )


async def _listed(cluster: Cluster, kind: Kind) -> Sequence[Body] | None:
    try:
        return await cluster.list(kind)
    except (Refused, UnknownKind):
        return None


def _is_ready(node: Body) -> bool:
    conditions: Iterable[Mapping[str, str]] = (node.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _sum(nodes: Iterable[Body], what: str) -> Decimal:
    amounts = (((node.get("status") or {}).get("allocatable") or {}).get(what, "0") for node in nodes)
    return sum((quantity(str(one)) for one in amounts), Decimal(0))


def _class(body: Body) -> tuple[str, bool]:
    metadata = body["metadata"]
    return metadata["name"], (metadata.get("annotations") or {}).get(DEFAULT_CLASS) == "true"
