"""What is around an object: its pods, the events about it, the addresses behind it, read from the cluster."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.health import Related
from stellwerk.release.kinship import events_about, newest_replica_set, pods_of
from stellwerk.release.objects import Body, Key

POD, EVENT, REPLICA_SET = Kind("Pod"), Kind("Event"), Kind("ReplicaSet", "apps")
RUNNING = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"})
EXPLAINED = RUNNING | {"Pod", "PersistentVolumeClaim"}
"""Kinds of which events say more than their status."""


def gather(
    body: Body, *, pods: Sequence[Body], replica_sets: Sequence[Body], events: Sequence[Body], now: datetime
) -> Related:
    """Choose what belongs to an object from everything in its namespace."""
    own = [body] if body.get("kind") == "Pod" else pods_of(body, pods, replica_sets)
    newest = newest_replica_set(body, replica_sets) if body.get("kind") == "Deployment" else None
    about = [body, *own, *([newest] if newest is not None else [])]
    return Related(now, () if body.get("kind") == "Pod" else own, events_about(about, events))


async def look_around(cluster: Cluster, body: Body, now: datetime) -> Related:
    """Read what is around an object; what we have no right to read counts as nothing. Raises ClusterError."""
    kind, metadata = body.get("kind"), body.get("metadata", {})
    namespace = metadata.get("namespace", "")
    if kind == "Service":
        return Related(
            now, endpoints=await _endpoints(cluster, Key(namespace, "Endpoints", metadata["name"]))
        )
    if kind not in EXPLAINED:
        return Related(now)
    pods, replica_sets, events = await asyncio.gather(
        _read(cluster, POD, namespace, wanted=kind in RUNNING),
        _read(cluster, REPLICA_SET, namespace, wanted=kind == "Deployment"),
        _read(cluster, EVENT, namespace),
    )
    return gather(body, pods=pods, replica_sets=replica_sets, events=events, now=now)


async def _read(cluster: Cluster, kind: Kind, namespace: str, *, wanted: bool = True) -> Sequence[Body]:
    if not wanted:
        return ()
    try:
        return await cluster.list(kind, namespace=namespace)
    except Refused:
        return ()


async def _endpoints(cluster: Cluster, key: Key) -> Body | None:
    try:
        return await cluster.get(key)
    except Refused:
        return None
