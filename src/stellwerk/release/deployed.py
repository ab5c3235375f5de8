"""What services have in the cluster now: the values of theirs that parameters usually set."""

import asyncio
from collections.abc import Mapping
from typing import Any

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.deploying import Deployer
from stellwerk.release.inventory import InventoryUnreadable
from stellwerk.release.objects import Body, Key

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


async def deployed_values(deployer: Deployer, instance: str) -> dict[str, dict[str, Any]]:
    """Return the values of each service's first workload; nothing of those that cannot be read now."""
    try:
        owned = await deployer.owned(instance)
    except (ClusterError, InventoryUnreadable):
        return {}
    keys: dict[str, Key] = {}
    for key, entry in sorted(owned.entries.items()):
        if key.kind in _WORKLOADS and key.group == "apps":
            keys.setdefault(entry.service, key)
    bodies = await asyncio.gather(*(_read(deployer.cluster, key) for key in keys.values()))
    return {name: values_of(body) for name, body in zip(keys, bodies, strict=True) if body is not None}


async def _read(cluster: Cluster, key: Key) -> Body | None:
    try:
        return await cluster.get(key)
    except ClusterError:
        return None


def values_of(body: Body) -> dict[str, Any]:
    """Return what a workload says, in the words of parameters."""
    spec = body.get("spec") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or [{}]
    found: dict[str, Any] = {"namespace": body["metadata"].get("namespace", "default")}
    if "replicas" in spec:
        found["replicas"] = spec["replicas"]
    tag = image_tag(str(containers[0].get("image") or ""))
    if tag:
        found["imageTag"] = tag
    if containers[0].get("resources"):
        found["resources"] = containers[0]["resources"]
    size = _storage(spec)
    return found | ({"storageSize": size} if size else {})


def image_tag(image: str) -> str:
    """Return the tag of an image; empty if it has none. A port of the registry is no tag."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2]


def _storage(spec: Mapping[str, Any]) -> str:
    for claim in spec.get("volumeClaimTemplates") or ():
        requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
        if "storage" in requests:
            return str(requests["storage"])
    return ""
