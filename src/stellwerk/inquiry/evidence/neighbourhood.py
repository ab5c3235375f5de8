"""What around a target can be its cause: found by following what objects say of one another.

From the target the search goes to what it made, what it needs, whom it calls and what these need in turn:
each step is one further away, and what is far away is left out first. What only stands before it (services,
ingresses, autoscalers, policies) or carries it (nodes) is looked at and not followed: one target would lead
to a whole namespace.
"""

from collections import deque
from collections.abc import Iterator

from stellwerk.inquiry.facts.dependencies import dependencies
from stellwerk.inquiry.facts.facts import Facts, revision
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.references import WORKLOADS, ingress_backends, references_of
from stellwerk.inquiry.facts.resemblance import meant_by
from stellwerk.inquiry.facts.templates import labels_of, selects_by
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import condition, entries, part
from stellwerk.release.kinship import made_by
from stellwerk.release.objects import Body

AMBIENT = ("ResourceQuota", "LimitRange", "Namespace")
"""Kinds that concern everything in their namespace."""
MOST_PODS = 12
"""Of one workload: those that are not well first. More of the same prove nothing more."""
MOST_REVISIONS = 3

Distances = dict[ObjectRef, int]


def neighbourhood(facts: Facts, targets: list[ObjectRef]) -> Distances:
    """Tell what is around the targets, and how far."""
    found: Distances = {}
    leaves: set[ObjectRef] = set()
    queue: deque[tuple[ObjectRef, int, bool]] = deque((target, 0, True) for target in targets)
    while queue:
        ref, distance, followed = queue.popleft()
        if ref in found and not (followed and ref in leaves):
            continue
        found.setdefault(ref, distance)
        leaves.discard(ref)
        body = facts.get(ref)
        if not followed:
            leaves.add(ref)
            continue
        if body is None:
            continue
        queue.extend((one, distance + 1, True) for one in _ahead(facts, body))
        queue.extend((one, distance + 1, False) for one in _before(facts, body))
    for kind in AMBIENT:
        for body in facts.of(kind):
            found.setdefault(ref_of(body), 1)
    return found


def _ahead(facts: Facts, body: Body) -> Iterator[ObjectRef]:
    """List what an object is made of and what it needs."""
    ref, kind = ref_of(body), body.get("kind")
    top = facts.top(body)
    if top is not body:
        yield ref_of(top)
    yield from references_of(body)
    match kind:
        case "Service":
            yield named("Endpoints", ref.namespace, ref.name)
            behind = facts.behind(body) or meant_by(body, facts)
            yield from (ref_of(one) for one in behind)
        case "Ingress":
            yield from (named("Service", ref.namespace, name) for name, _ in ingress_backends(body))
        case "PodDisruptionBudget" | "NetworkPolicy":
            yield from (ref_of(one) for one in facts.workloads if _concerns(body, one))
        case "Namespace":
            yield from (ref_of(one) for one in facts.workloads if ref_of(one).namespace == ref.name)
        case "Node":
            yield from (
                ref_of(pod) for pod in facts.of("Pod") if part(pod, "spec").get("nodeName") == ref.name
            )
        case _:
            pass
    if kind not in WORKLOADS:
        yield from (ref_of(one) for one in facts.controlled(body))
    if kind in WORKLOADS and top is body:
        yield from (ref_of(one) for one in made(facts, body))
        yield from (one.service for one in dependencies(facts, body))


def made(facts: Facts, workload: Body) -> Iterator[Body]:
    """List what a workload made, and of much the part that tells most."""
    sets = sorted(made_by(workload, facts.of("ReplicaSet")), key=revision, reverse=True)
    yield from sets[:MOST_REVISIONS]
    yield from made_by(workload, facts.of("Job"))[-4:]
    pods = {id(pod): pod for pod in [*facts.pods(workload), *facts.pods(workload, every=True)]}
    yield from sorted(pods.values(), key=_well)[:MOST_PODS]
    if workload.get("kind") == "StatefulSet":
        prefixes = tuple(
            f"{part(one, 'metadata').get('name')}-{ref_of(workload).name}-"
            for one in entries(part(workload, "spec"), "volumeClaimTemplates")
        )
        for claim in facts.of("PersistentVolumeClaim", ref_of(workload).namespace):
            if prefixes and ref_of(claim).name.startswith(prefixes):
                yield claim


def _before(facts: Facts, body: Body) -> Iterator[ObjectRef]:
    """List what stands before an object or decides over it."""
    ref = ref_of(body)
    if ref.kind == "Pod" and (node := part(body, "spec").get("nodeName")):
        yield named("Node", "", str(node))
    if ref.kind == "PersistentVolumeClaim":
        yield from (ref_of(one) for one in facts.workloads if ref in set(references_of(one)))
    if body.get("kind") in WORKLOADS and facts.top(body) is body:
        services = facts.of("Service", ref.namespace)
        fronting = facts.fronting(body) + [
            one for one in services if not facts.behind(one) and body in meant_by(one, facts)
        ]
        for service in fronting:
            yield ref_of(service)
            yield named("Endpoints", ref.namespace, ref_of(service).name)
        names = {ref_of(one).name for one in fronting}
        for ingress in facts.of("Ingress", ref.namespace):
            if names & {name for name, _ in ingress_backends(ingress)}:
                yield ref_of(ingress)
        for scaler in facts.of("HorizontalPodAutoscaler", ref.namespace):
            if any(one[:3] == ref[:3] for one in references_of(scaler)):
                yield ref_of(scaler)
        for kind in ("PodDisruptionBudget", "NetworkPolicy"):
            yield from (ref_of(one) for one in facts.of(kind, ref.namespace) if _concerns(one, body))


def _concerns(body: Body, workload: Body) -> bool:
    """Whether a budget or a policy is about a workload's pods."""
    if ref_of(body).namespace != ref_of(workload).namespace:
        return False
    spec = part(body, "spec")
    return selects_by(
        part(spec, "podSelector" if body["kind"] == "NetworkPolicy" else "selector"), labels_of(workload)
    )


def _well(pod: Body) -> tuple[bool, str]:
    return condition(pod, "Ready").holds, str(part(pod, "metadata").get("name"))
