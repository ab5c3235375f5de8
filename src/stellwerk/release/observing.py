"""What is around an object: its pods, the events about it, the addresses behind it, read from the cluster."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError, Refused
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.health import Related
from stellwerk.release.objects import Body, Key
from stellwerk.release.reasons import Reason, with_log
from stellwerk.release.table import ObjectTable, named

POD, EVENT, REPLICA_SET = Kind("Pod"), Kind("Event"), Kind("ReplicaSet", "apps")
ENDPOINTS = Kind("Endpoints")
RUNNING = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"})
EXPLAINED = RUNNING | {"Pod", "PersistentVolumeClaim"}
"""Kinds of which events say more than their status."""
LOG_LINES = 5
"""Of which the last that says something is taken."""


class Watch(NamedTuple):
    """What one watch tells of."""

    kind: Kind
    namespace: str
    """Empty for all of them, and for kinds without."""
    labels: tuple[tuple[str, str], ...] = ()


def watches_around(key: Key) -> set[Watch]:
    """Return what has to be watched to know what is around an object, the object itself apart."""
    namespace, kind = key.namespace, key.kind
    found = set()
    if namespace:
        found.add(Watch(EVENT, namespace))
    if kind in RUNNING or kind in {"CronJob", "Pod"}:
        found |= {Watch(POD, namespace), Watch(REPLICA_SET, namespace)}
    return found


async def look_around(cluster: Cluster, body: Body, now: datetime) -> Related:
    """Read what is around an object; what we have no right to read counts as nothing. Raises ClusterError."""
    kind, namespace = body.get("kind"), body.get("metadata", {}).get("namespace", "")
    if kind != "Service" and kind not in EXPLAINED:
        return Related(now)
    found = await asyncio.gather(
        _endpoints(cluster, body, wanted=kind == "Service"),
        _read(cluster, POD, namespace, wanted=kind in RUNNING),
        _read(cluster, REPLICA_SET, namespace, wanted=kind == "Deployment"),
        _read(cluster, EVENT, namespace, wanted=kind in EXPLAINED),
    )
    return ObjectTable([body, *(one for part in found for one in part)]).related(body, now)


async def explained(cluster: Cluster, reason: Reason) -> Reason:
    """Add the last line of the log that a reason asks for; without it where it cannot be read."""
    log = reason.log
    if log is None:
        return reason
    try:
        text = await cluster.logs(
            log.namespace, log.pod, log.container, previous=log.previous, tail=LOG_LINES
        )
    except ClusterError:
        return reason
    return with_log(reason, text)


async def _read(cluster: Cluster, kind: Kind, namespace: str, *, wanted: bool) -> Sequence[Body]:
    if not wanted:
        return ()
    try:
        return await cluster.list(kind, namespace=namespace)
    except Refused:
        return ()


async def _endpoints(cluster: Cluster, body: Body, *, wanted: bool) -> Sequence[Body]:
    if not wanted:
        return ()
    key = named(body)
    try:
        found = await cluster.get(Key(key.namespace, "Endpoints", key.name))
    except Refused:
        return ()
    return () if found is None else (found,)
