"""What the objects and logs that were read ask for: things that are read only where somebody names them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from stellwerk.inquiry.evidence.neighbourhood import Distances
from stellwerk.inquiry.evidence.reading import (
    BY_NAME,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    MOST_NEIGHBOURS,
    ROLE_KINDS,
    WEBHOOK_KINDS,
)
from stellwerk.inquiry.facts.dependencies import dependencies
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.conditions import condition, entries, part, status_of

MOST_NODES = 3
"""Read by name; more are listed, and only where a pod finds no place."""
_DENIED = re.compile(r"is forbidden: User \\?\"system:serviceaccount:|cannot \w+ resource \\?\"")
_WEBHOOK = re.compile(r"(?:failed calling|admission) webhook \"")


class Wanted(NamedTuple):
    """One read; an empty name means all of them."""

    kind: Kind
    namespace: str
    name: str


def further(facts: Facts, distances: Distances) -> list[Wanted]:
    """List what is to be read by name, the nearest first; what was read is left out."""
    nearest = sorted(distances, key=lambda ref: distances[ref])
    wanted = [
        Wanted(BY_NAME[ref.kind], ref.namespace, ref.name)
        for ref in nearest
        if ref.kind in BY_NAME and facts.get(ref) is None
    ]
    nodes = [one for one in wanted if one.kind == BY_NAME["Node"]]
    kept = [one for one in wanted if one not in nodes[MOST_NODES:]]
    around = [pod for pod in facts.of("Pod") if ref_of(pod) in distances]
    if any(condition(pod, "PodScheduled").fails for pod in around):
        kept = [Wanted(BY_NAME["Node"], "", "")] + [one for one in kept if one.kind != BY_NAME["Node"]]
    claims = [one for one in facts.of("PersistentVolumeClaim") if ref_of(one) in distances]
    if any(status_of(claim).get("phase") == "Pending" for claim in claims):
        kept = [Wanted(BY_NAME["StorageClass"], "", "")] + [
            one for one in kept if one.kind != BY_NAME["StorageClass"]
        ]
    if any(ref.kind == "Ingress" for ref in distances):
        kept = [Wanted(BY_NAME["IngressClass"], "", "")] + [
            one for one in kept if one.kind != BY_NAME["IngressClass"]
        ]
    return kept


def neighbours(facts: Facts, distances: Distances) -> list[str]:
    """List the other namespaces in which something that is needed runs, and that were not read yet."""
    read = {ref_of(one).namespace for one in facts.of("Service")} | {facts.bundle.target.object.namespace}
    read |= {gap.object.namespace for gap in facts.bundle.gaps if gap.object is not None}
    named = [
        one.service.namespace
        for workload in facts.workloads
        if ref_of(workload) in distances
        for one in dependencies(facts, workload)
    ]
    named += [namespace for namespace, _ in webhook_services(facts)]
    return [one for one in dict.fromkeys(named) if one not in read][:MOST_NEIGHBOURS]


def webhooks(facts: Facts) -> list[tuple[Kind, None]]:
    """List what is to be read because a webhook stands in the way."""
    said = any(_WEBHOOK.search(str(event.get("message", ""))) for event in facts.of("Event"))
    said = said or any(
        _WEBHOOK.search(condition(one, "ReplicaFailure").message) for one in facts.of("ReplicaSet")
    )
    return [(kind, None) for kind in WEBHOOK_KINDS] if said else []


def webhook_services(facts: Facts) -> Iterator[tuple[str, str]]:
    """List namespace and name of the services behind webhooks that events or the target name."""
    texts = " ".join(str(event.get("message", "")) for event in facts.of("Event"))
    for kind in WEBHOOK_KINDS:
        for body in facts.of(kind.kind):
            for hook in entries(body, "webhooks"):
                service = part(hook, "clientConfig", "service")
                if service and (
                    str(hook.get("name")) in texts or ref_of(body).name == facts.bundle.target.object.name
                ):
                    yield str(service.get("namespace")), str(service.get("name"))


def roles(facts: Facts) -> list[tuple[Kind, str | None]]:
    """List what is to be read because an account was denied something."""
    texts = [log.text for log in facts.bundle.logs] + [
        str(event.get("message", "")) for event in facts.of("Event")
    ]
    if not any(_DENIED.search(text) for text in texts):
        return []
    namespace = facts.bundle.target.object.namespace
    return [*((kind, namespace) for kind in ROLE_KINDS), (CLUSTER_ROLE_BINDING, None), (CLUSTER_ROLE, None)]
