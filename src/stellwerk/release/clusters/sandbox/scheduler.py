"""Where pods run: the node that has room, or why there is none, in the scheduler's words."""

from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from stellwerk.release.clusters.sandbox.quotas import total
from stellwerk.release.clusters.sandbox.statuses import is_over
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import condition, entries, part, status_of
from stellwerk.release.objects import Body, Key
from stellwerk.release.quantities import quantity

_RESOURCES = ("cpu", "memory")
_MISMATCH = "node(s) didn't match Pod's node affinity/selector"


def place(world: World, pod: Body) -> tuple[str, str]:
    """Return the name of the node for a pod, or why there is none."""
    if waits := _claims(world, pod):
        return "", waits
    nodes, why = world.table.of("Node"), Counter[str]()
    free: list[tuple[Decimal, str]] = []
    for node in nodes:
        name = node["metadata"]["name"]
        reason = _why_not(node, part(pod, "spec")) or _lacks(world, node, pod)
        if reason:
            why[reason] += 1
        else:
            free.append((_taken(world, name)["pods"], name))
    if not free:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
        return "", f"0/{len(nodes)} nodes are available: {reasons or 'there is no node'}."
    _, name = min(free)
    _take(_taken(world, name), pod)
    return name, ""


def takes(node: Body, spec: Mapping[str, Any]) -> bool:
    """Whether a node takes pods of such a description, as far as labels and taints say."""
    return not _why_not(node, spec)


def _why_not(node: Body, spec: Mapping[str, Any]) -> str:
    labels = part(node, "metadata", "labels")
    if part(node, "spec").get("unschedulable"):
        return "node(s) were unschedulable"
    if not condition(node, "Ready").holds:
        return "node(s) were not ready"
    for taint in entries(part(node, "spec"), "taints"):
        if taint.get("effect") in {"NoSchedule", "NoExecute"} and not _tolerated(taint, spec):
            return f"node(s) had untolerated taint {{{taint.get('key')}: {taint.get('value', '')}}}"
    if not part(spec, "nodeSelector").items() <= labels.items():
        return _MISMATCH
    affinity = part(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = entries(affinity, "nodeSelectorTerms")
    if terms and not any(all(map(_matcher(labels), entries(term, "matchExpressions"))) for term in terms):
        return _MISMATCH
    return ""


def _tolerated(taint: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    return any(
        one.get("key") in {None, taint.get("key")}
        and one.get("effect") in {None, "", taint.get("effect")}
        and (one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", ""))
        for one in entries(spec, "tolerations")
    )


def _matcher(labels: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    def matches(one: Mapping[str, Any]) -> bool:
        value, values = labels.get(one.get("key", "")), list(one.get("values") or ())
        match one.get("operator"):
            case "In":
                return value in values
            case "NotIn":
                return value not in values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt":
                return value is not None and int(value) > int(values[0])
            case "Lt":
                return value is not None and int(value) < int(values[0])
            case _:
                return False

    return matches


def _lacks(world: World, node: Body, pod: Body) -> str:
    """Return what a node has too little of; empty if nothing."""
    given, taken = part(status_of(node), "allocatable"), _taken(world, node["metadata"]["name"])
    for name in _RESOURCES:
        if taken[name] + total(pod, "requests", name) > quantity(str(given.get(name, "0"))):
            return f"Insufficient {name}"
    return "Too many pods" if taken["pods"] + 1 > quantity(str(given.get("pods", "110"))) else ""


def _taken(world: World, node: str) -> dict[str, Decimal]:
    if not world.taken:
        for one in world.table.of("Node"):
            world.taken[one["metadata"]["name"]] = dict.fromkeys((*_RESOURCES, "pods"), Decimal(0))
        for pod in world.table.of("Pod"):
            if (name := part(pod, "spec").get("nodeName")) in world.taken and not is_over(pod):
                _take(world.taken[name], pod)
    return world.taken.setdefault(node, dict.fromkeys((*_RESOURCES, "pods"), Decimal(0)))


def _take(taken: dict[str, Decimal], pod: Body) -> None:
    for name in _RESOURCES:
        taken[name] += total(pod, "requests", name)
    taken["pods"] += 1


def _claims(world: World, pod: Body) -> str:
    """Say which claim a pod waits for; empty if none."""
    for volume in entries(part(pod, "spec"), "volumes"):
        name = part(volume, "persistentVolumeClaim").get("claimName")
        if not name:
            continue
        claim = world.table.get(Key(pod["metadata"]["namespace"], "PersistentVolumeClaim", name))
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if status_of(claim).get("phase") != "Bound":
            return "pod has unbound immediate PersistentVolumeClaims"
    return ""
