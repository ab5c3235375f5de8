"""What stands around programs: addresses of services, claims of storage, quotas, kinds, namespaces."""

import zlib
from typing import Any

from stellwerk.release.clusters.sandbox.quotas import quota_status
from stellwerk.release.clusters.sandbox.statuses import is_ready, said, since
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import entries, part, status_of
from stellwerk.release.objects import Body, Key

EMPTYING_S = 0.1
"""How long a namespace is being deleted at least: a real one takes seconds, and somebody may look."""


def control_service(world: World, body: Body) -> None:
    """Write down which pods are behind a service, and give it its address outside."""
    spec, metadata = part(body, "spec"), body["metadata"]
    if spec.get("type") == "LoadBalancer":
        address = f"192.0.2.{zlib.crc32(metadata['uid'].encode()) % 254 + 1}"  # of those kept for examples
        world.report(body, {"loadBalancer": {"ingress": [{"ip": address}]}}, observed=False)
    if not spec.get("selector") or spec.get("type") == "ExternalName":
        return
    endpoints: Body = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "subsets": _subsets(world, body),
    }
    known = world.table.get(Key(metadata["namespace"], "Endpoints", metadata["name"]))
    if known is None and not metadata.get("deletionTimestamp"):
        world.make(endpoints)
    elif known is not None:
        world.change(known | {"subsets": endpoints["subsets"]})


def control_endpoints(world: World, body: Body) -> None:
    """Take the addresses of a service away that is gone."""
    metadata = body["metadata"]
    if world.table.get(Key(metadata["namespace"], "Service", metadata["name"])) is None:
        world.remove(body)


def control_claim(world: World, body: Body) -> None:
    """Bind a claim, unless its class is not there."""
    name = part(body, "spec").get("storageClassName")
    if name and world.table.get(Key("", "StorageClass", name, "storage.k8s.io")) is None:
        text = f'storageclass.storage.k8s.io "{name}" not found'
        world.tell(body, "ProvisioningFailed", text, warns=True)
        world.report(body, {"phase": "Pending"}, observed=False)
        return
    spec = part(body, "spec")
    status = {"phase": "Bound", "accessModes": spec.get("accessModes") or ["ReadWriteOnce"]}
    world.report(body, status | {"capacity": part(spec, "resources", "requests")}, observed=False)


def control_quota(world: World, body: Body) -> None:
    """Count what is used."""
    world.report(body, quota_status(world.table, body, world.infos), observed=False)


def control_definition(world: World, body: Body) -> None:
    """Say that the kind is served."""
    conditions = since(body, [said("NamesAccepted"), said("Established")], world.now)
    world.report(body, {"conditions": conditions}, observed=False)


def control_namespace(world: World, body: Body) -> None:
    """Let a namespace go that is being deleted and empty."""
    if not body["metadata"].get("deletionTimestamp"):
        return
    since_s = world.terminating_s(body)
    if since_s < EMPTYING_S:
        world.again(EMPTYING_S - since_s)
    else:
        world.finish(body)


def control_budget(world: World, body: Body) -> None:
    """Say how many pods may be disturbed."""
    selector = part(body, "spec", "selector", "matchLabels")
    pods = _selected(world, body["metadata"]["namespace"], selector)
    healthy = sum(map(is_ready, pods))
    status = {"currentHealthy": healthy, "expectedPods": len(pods), "disruptionsAllowed": max(0, healthy - 1)}
    world.report(body, status)


def _subsets(world: World, service: Body) -> list[dict[str, Any]]:
    pods = _selected(world, service["metadata"]["namespace"], part(service, "spec", "selector"))
    placed = [pod for pod in pods if status_of(pod).get("podIP")]
    subset: dict[str, Any] = {}
    for pod in placed:
        name = "addresses" if is_ready(pod) else "notReadyAddresses"
        target = {"kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        address = {"ip": status_of(pod)["podIP"], "nodeName": part(pod, "spec").get("nodeName")}
        subset.setdefault(name, []).append(address | {"targetRef": target})
    if not subset:
        return []
    ports = entries(part(service, "spec"), "ports")
    return [
        subset | {"ports": [{"port": _target(one), "protocol": one.get("protocol", "TCP")} for one in ports]}
    ]


def _target(port: dict[str, Any]) -> Any:
    target = port.get("targetPort")
    return target if isinstance(target, int) else port.get("port")


def _selected(world: World, namespace: str, selector: dict[str, Any]) -> list[Body]:
    return [
        pod
        for pod in world.table.of("Pod")
        if pod["metadata"]["namespace"] == namespace
        and not pod["metadata"].get("deletionTimestamp")
        and selector.items() <= part(pod, "metadata", "labels").items()
    ]
